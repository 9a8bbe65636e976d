//! What stands behind an app's capabilities, opened once for all its components.

use crate::GrantError;
use crate::keyvalue::Slot;
use crate::redis::Pool;
use crate::sql::Databases;
use sampan_app::App;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The stores of one app. There is one field per capability that has backends.
#[derive(Default)]
pub struct Backends {
    /// Key-value stores by their names in the app.
    pub keyvalue: BTreeMap<String, Arc<Slot>>,
    /// Connections to Redis by addresses of the guests' choice.
    pub redis: Arc<Pool>,
    pub sql: Arc<Databases>,
}

impl Backends {
    /// Opens the stores that the app declares; those that are `lazy` at their first use. Must be called
    /// inside the Tokio runtime in which drivers shall run.
    pub async fn open(app: &App) -> Result<Self, GrantError> {
        let mut keyvalue = BTreeMap::new();
        for (name, description) in &app.keyvalue {
            keyvalue.insert(name.clone(), Arc::new(Slot::open(name, description).await?));
        }
        let redis = Arc::new(Pool::new(Some(Handle::current())));
        let sql = Arc::new(Databases::open(app).await?);
        Ok(Backends { keyvalue, redis, sql })
    }
}
