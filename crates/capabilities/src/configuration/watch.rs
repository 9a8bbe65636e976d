//! A watch: what changed among some keys since it was asked last.
//!
//! A backend says only which keys may have changed; the watch reads them, and compares with what it knew. So a
//! reader that is slow gets the newest items instead of all that came between, memory is bounded by the keys,
//! and what a backend could not hear of (its server was away) is found when it marks everything.

use super::{Backend, ConfigurationError, Item, KEYS_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::AbortHandle;

/// After a failed read there is none for so long.
const RETRY: Duration = Duration::from_millis(500);

/// Dropping it ends the watch.
pub struct Watch {
    backend: Arc<Backend>,
    /// Empty: all.
    keys: Vec<String>,
    /// A digest of every item that exists, as it was delivered or was at the start.
    known: BTreeMap<String, u64>,
    signal: Arc<Signal>,
    /// Keys to be read. They stay here until a read is done, because the future of [`Watch::next`] may be
    /// dropped at any time.
    pending: Marks,
    _listener: Option<Listener>,
    _place: OwnedSemaphorePermit,
}

/// The backend's task for one watch.
struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a backend marks what may have changed.
#[derive(Default)]
pub(super) struct Signal {
    marks: Mutex<Marks>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    all: bool,
    keys: BTreeSet<String>,
}

impl Marks {
    fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty()
    }

    fn merge(&mut self, other: Marks) {
        self.all |= other.all;
        self.keys.extend(other.keys);
        if self.all || self.keys.len() > KEYS_MAX {
            *self = Marks { all: true, keys: BTreeSet::new() };
        }
    }
}

impl Signal {
    pub fn mark(&self, key: String) {
        self.add(Marks { all: false, keys: BTreeSet::from([key]) });
    }

    pub fn mark_all(&self) {
        self.add(Marks { all: true, keys: BTreeSet::new() });
    }

    fn add(&self, marks: Marks) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).merge(marks);
        self.changed.notify_one();
    }

    fn take(&self) -> Marks {
        std::mem::take(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch {
    pub(super) async fn start(
        backend: Arc<Backend>,
        mut keys: Vec<String>,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, ConfigurationError> {
        keys.sort_unstable();
        keys.dedup();
        let signal = Arc::new(Signal::default());
        // The listener is there before the first read, so that nothing is between the two.
        let task = match &*backend {
            Backend::Memory(memory) => {
                memory.tell(&signal);
                None
            }
            Backend::File(file) => Some(file.listen(&signal)),
            Backend::Redis(redis) => Some(redis.listen(&keys, &signal)),
        };
        let listener = task.map(Listener);
        let items = backend.get(&keys).await?;
        let known = items.iter().map(|(key, item)| (key.clone(), digest(item))).collect();
        let pending = Marks::default();
        Ok(Watch { backend, keys, known, signal, pending, _listener: listener, _place: place })
    }

    /// Waits until something changed, and returns it. A key that was deleted has an item without value. While the
    /// store is away this waits until it is back.
    pub async fn next(&mut self) -> BTreeMap<String, Item> {
        loop {
            self.pending.merge(self.signal.take());
            if self.pending.is_empty() {
                self.signal.changed.notified().await;
                continue;
            }
            let asked = self.asked();
            if asked.is_empty() && !self.pending.all {
                self.pending = Marks::default();
                continue;
            }
            match self.backend.get(&asked).await {
                Ok(items) => {
                    let changed = self.learn(&asked, items);
                    if !changed.is_empty() {
                        return changed;
                    }
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// The keys to read, none for all.
    fn asked(&self) -> Vec<String> {
        if self.pending.all {
            return self.keys.clone();
        }
        let mut marked: Vec<String> = self.pending.keys.iter().cloned().collect();
        if !self.keys.is_empty() {
            marked.retain(|key| self.keys.binary_search(key).is_ok());
        }
        marked
    }

    /// Takes over what was read; what differs from before is the result.
    fn learn(&mut self, asked: &[String], mut items: BTreeMap<String, Item>) -> BTreeMap<String, Item> {
        self.pending = Marks::default();
        let gone = |key: &String| !items.contains_key(key);
        let deleted: Vec<String> = match asked {
            [] => self.known.keys().filter(|key| gone(key)).cloned().collect(),
            asked => asked.iter().filter(|key| gone(key) && self.known.contains_key(*key)).cloned().collect(),
        };
        items.retain(|key, item| {
            let digest = digest(item);
            match self.known.get_mut(key) {
                Some(before) => std::mem::replace(before, digest) != digest,
                None => self.known.insert(key.clone(), digest).is_none(),
            }
        });
        for key in deleted {
            self.known.remove(&key);
            items.insert(key, Item::default());
        }
        items
    }
}

fn digest(item: &Item) -> u64 {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    hasher.finish()
}
