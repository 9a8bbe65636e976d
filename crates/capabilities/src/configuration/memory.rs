//! Configuration in memory: what a program, or a test, puts in.

use super::watch::Signal;
use super::{ConfigurationError, ITEMS_BYTES_MAX, Item, KEY_BYTES_MAX, KEYS_MAX};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A handle on a store; clones are the same store.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Data>>);

#[derive(Default)]
struct Data {
    items: BTreeMap<String, Item>,
    watches: Vec<Weak<Signal>>,
}

impl Memory {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    ///
    /// If the item, or one more, would be too much.
    pub fn set(&self, key: &str, item: Item) -> Result<(), ConfigurationError> {
        let mut data = self.data();
        let too_large = |what, max| Err(ConfigurationError::TooLarge { what, max });
        if key.len() > KEY_BYTES_MAX {
            return too_large("a key", KEY_BYTES_MAX);
        }
        let others = data.items.iter().filter(|(other, _)| *other != key);
        let bytes: usize = others.map(|(_, item)| item.value.len()).sum();
        if bytes + item.value.len() > ITEMS_BYTES_MAX {
            return too_large("the store", ITEMS_BYTES_MAX);
        }
        if data.items.len() >= KEYS_MAX && !data.items.contains_key(key) {
            return too_large("the number of items", KEYS_MAX);
        }
        data.items.insert(key.to_owned(), item);
        data.mark(key);
        Ok(())
    }

    pub fn delete(&self, key: &str) {
        let mut data = self.data();
        data.items.remove(key);
        data.mark(key);
    }

    pub(super) fn get(&self, keys: &[String]) -> BTreeMap<String, Item> {
        let data = self.data();
        let found = |key: &String| Some((key.clone(), data.items.get(key)?.clone()));
        let mut items = match keys {
            [] => data.items.clone(),
            keys => keys.iter().filter_map(found).collect(),
        };
        items.retain(|_, item| !item.value.is_empty());
        items
    }

    pub(super) fn tell(&self, signal: &Arc<Signal>) {
        self.data().watches.push(Arc::downgrade(signal));
    }
}

impl Data {
    fn mark(&mut self, key: &str) {
        self.watches.retain(|watch| {
            let Some(signal) = watch.upgrade() else { return false };
            signal.mark(key.to_owned());
            true
        });
    }
}
