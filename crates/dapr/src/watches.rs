//! Watches on configuration: who is told when an item changes, until the watch is ended.

use crate::app::To;
use crate::blocks;
use crate::components::Configurations;
use crate::error::Problem;
use crate::http::shown_items;
use crate::ids;
use crate::invoke::Peers;
use crate::runtime::{Caller, Dapr};
use http::HeaderMap;
use sampan_capabilities::configuration::{Configuration, Watch};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::oneshot;

/// Watches of one app at once.
const WATCHES_MAX: usize = 1000;

/// The watches that go on, the same for all versions of an app.
#[derive(Default)]
pub struct Watches(Mutex<HashMap<String, Entry>>);

/// Dropping it ends the watch.
struct Entry {
    store: String,
    /// What is watched: another store of that name is another matter.
    watched: Weak<Configuration>,
    end: oneshot::Sender<()>,
}

impl Watches {
    /// A new watch: its name, and what resolves when it shall end.
    fn begin(
        &self,
        store: &str,
        watched: &Arc<Configuration>,
    ) -> Result<(String, oneshot::Receiver<()>), Problem> {
        let mut watches = self.lock();
        // Those whose other side is gone have ended by themselves.
        watches.retain(|_, entry| !entry.end.is_closed());
        if watches.len() >= WATCHES_MAX {
            let message = format!("the app has {WATCHES_MAX} configuration subscriptions already");
            return Err(Problem::internal("ERR_CONFIGURATION_SUBSCRIBE", message));
        }
        let (end, ended) = oneshot::channel();
        let id = ids::uuid();
        watches.insert(id.clone(), Entry { store: store.to_owned(), watched: Arc::downgrade(watched), end });
        Ok((id, ended))
    }

    /// `false`: there was no such watch.
    pub fn end(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    /// Ends those whose store is not that of the app's new version; their names.
    pub fn end_others(&self, stores: &Configurations) -> Vec<String> {
        let mut ended = Vec::new();
        self.lock().retain(|_, entry| {
            let now = stores.get(&entry.store).map(|opened| Arc::downgrade(&opened.store));
            let same = now.is_some_and(|now| now.ptr_eq(&entry.watched));
            if !same {
                ended.push(entry.store.clone());
            }
            same
        });
        ended
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch that has begun.
pub struct Begun {
    pub id: String,
    pub watch: Watch,
    /// Resolves when it shall end.
    pub ended: oneshot::Receiver<()>,
}

pub async fn begin(dapr: &Dapr, caller: &Caller, store: &str, keys: Vec<String>) -> Result<Begun, Problem> {
    let shown = keys.join(", ");
    let configuration = blocks::configuration_store(dapr, caller, store)?;
    let watch = configuration.watch(keys).await.map_err(|error| {
        let message = format!("failed to subscribe [{shown}] from Configuration store {store}: {error}");
        Problem::internal("ERR_CONFIGURATION_SUBSCRIBE", message)
    })?;
    let (id, ended) = dapr.watches.begin(store, configuration)?;
    Ok(Begun { id, watch, ended })
}

/// Tells the app over HTTP: `POST /configuration/STORE/KEY`.
pub async fn to_app(
    dapr: &Arc<Dapr>,
    caller: &Caller,
    store: &str,
    keys: Vec<String>,
) -> Result<String, Problem> {
    let Begun { id, watch, ended } = begin(dapr, caller, store, keys).await?;
    let (peers, app_id) = (Arc::clone(&dapr.peers), dapr.app_id().to_owned());
    let told = tell(peers, app_id, store.to_owned(), id.clone(), watch);
    // Not as a task of this version of the app, which may be replaced meanwhile.
    dapr.runtime.spawn(async move {
        tokio::select! {
            () = told => {}
            _ = ended => {}
        }
    });
    Ok(id)
}

/// Tells whichever version of the app is there.
async fn tell(peers: Arc<Peers>, app_id: String, store: String, id: String, mut watch: Watch) {
    loop {
        let changed = watch.next().await;
        let Some(dapr) = peers.find(&app_id) else { return };
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
