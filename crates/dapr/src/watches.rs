//! Watches on configuration: who is told when an item changes, until the watch is ended.

use crate::app::To;
use crate::blocks;
use crate::error::Problem;
use crate::http::shown_items;
use crate::ids;
use crate::runtime::{Caller, Dapr};
use http::HeaderMap;
use sampan_capabilities::configuration::Watch;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::oneshot;

/// Watches of one app at once.
const WATCHES_MAX: usize = 1000;

/// The watches that go on. Dropping an entry's sender ends its watch.
#[derive(Default)]
pub struct Watches(Mutex<HashMap<String, oneshot::Sender<()>>>);

impl Watches {
    /// A new watch: its name, and what resolves when it shall end.
    pub fn begin(&self) -> Result<(String, oneshot::Receiver<()>), Problem> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose other side is gone have ended by themselves.
        watches.retain(|_, end| !end.is_closed());
        if watches.len() >= WATCHES_MAX {
            let message = format!("the app has {WATCHES_MAX} configuration subscriptions already");
            return Err(Problem::internal("ERR_CONFIGURATION_SUBSCRIBE", message));
        }
        let (end, ended) = oneshot::channel();
        let id = ids::uuid();
        watches.insert(id.clone(), end);
        Ok((id, ended))
    }

    /// `false`: there was no such watch.
    pub fn end(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }
}

pub async fn open(dapr: &Dapr, caller: &Caller, store: &str, keys: Vec<String>) -> Result<Watch, Problem> {
    let shown = keys.join(", ");
    let configuration = blocks::configuration_store(dapr, caller, store)?;
    configuration.watch(keys).await.map_err(|error| {
        let message = format!("failed to subscribe [{shown}] from Configuration store {store}: {error}");
        Problem::internal("ERR_CONFIGURATION_SUBSCRIBE", message)
    })
}

/// Tells the app over HTTP: `POST /configuration/STORE/KEY`.
pub async fn to_app(
    dapr: &Arc<Dapr>,
    caller: &Caller,
    store: &str,
    keys: Vec<String>,
) -> Result<String, Problem> {
    let watch = open(dapr, caller, store, keys).await?;
    let (id, ended) = dapr.watches.begin()?;
    let told = tell(Arc::downgrade(dapr), store.to_owned(), id.clone(), watch);
    dapr.spawn(async move {
        tokio::select! {
            () = told => {}
            _ = ended => {}
        }
    });
    Ok(id)
}

/// The watch does not keep an old version of the app alive.
async fn tell(dapr: Weak<Dapr>, store: String, id: String, mut watch: Watch) {
    loop {
        let changed = watch.next().await;
        let Some(dapr) = dapr.upgrade() else { return };
        for (key, item) in changed {
            let items = BTreeMap::from([(key.clone(), item)]);
            let body = json!({ "id": id, "items": shown_items(&items) }).to_string();
            let path = format!("/configuration/{store}/{}", encoded(&key));
            let headers = HeaderMap::new();
            // An app that does not want to know is not told again of this change.
            let _ = dapr.app.post(To::App, &path, "application/json", headers, body.into()).await;
        }
    }
}

fn encoded(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}
