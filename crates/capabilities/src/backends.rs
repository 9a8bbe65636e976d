//! What stands behind an app's capabilities, opened once for all its components.

use crate::GrantError;
use crate::keyvalue::Slot;
use crate::messaging;
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
    /// Brokers by their names in the app.
    pub messaging: BTreeMap<String, Arc<messaging::Slot>>,
}

impl Backends {
    /// Opens the stores that the app declares; those that are `lazy` at their first use. Must be called
    /// inside the Tokio runtime in which drivers shall run.
    pub async fn open(app: &App) -> Result<Self, GrantError> {
        let redis = Arc::new(Pool::new(Some(Handle::current())));
        Backends { redis, ..Backends::default() }.reopen(app).await
    }

    /// The stores of a changed app: what is as before stays open, with what is only in memory.
    pub async fn reopen(&self, app: &App) -> Result<Self, GrantError> {
        let mut keyvalue = BTreeMap::new();
        for (name, description) in &app.keyvalue {
            let slot = match self.keyvalue.get(name).filter(|slot| slot.is(description)) {
                Some(slot) => Arc::clone(slot),
                None => Arc::new(Slot::open(name, description).await?),
            };
            keyvalue.insert(name.clone(), slot);
        }
        let mut messaging = BTreeMap::new();
        for (name, description) in &app.messaging {
            let slot = match self.messaging.get(name).filter(|slot| slot.is(description)) {
                Some(slot) => Arc::clone(slot),
                None => Arc::new(messaging::Slot::open(name, description).await?),
            };
            messaging.insert(name.clone(), slot);
        }
        // Databases hold nothing that a new pool would lose.
        let sql = Arc::new(Databases::open(app).await?);
        Ok(Backends { keyvalue, redis: Arc::clone(&self.redis), sql, messaging })
    }
}
