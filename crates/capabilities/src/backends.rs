//! What stands behind an app's capabilities, opened once for all its components.

use crate::GrantError;
use crate::sql::Databases;
use sampan_app::App;
use std::sync::Arc;

/// The stores of one app. There is one field per capability that has backends.
#[derive(Default)]
pub struct Backends {
    pub sql: Arc<Databases>,
}

impl Backends {
    /// Opens the stores that the app declares; those that are `lazy` at their first use. Must be called
    /// inside the Tokio runtime in which drivers shall run.
    pub async fn open(app: &App) -> Result<Self, GrantError> {
        let sql = Arc::new(Databases::open(app).await?);
        Ok(Backends { sql })
    }
}
