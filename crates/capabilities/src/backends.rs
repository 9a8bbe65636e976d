//! What stands behind an app's capabilities, opened once for all its components.

use crate::GrantError;
use sampan_app::App;

/// The stores of one app. There is one field per capability that has backends.
#[derive(Default)]
pub struct Backends {}

impl Backends {
    /// Opens the stores that the app declares; those that are `lazy` at their first use. Must be called
    /// inside the Tokio runtime in which drivers shall run.
    pub async fn open(app: &App) -> Result<Self, GrantError> {
        let _ = app;
        Ok(Backends {})
    }
}
