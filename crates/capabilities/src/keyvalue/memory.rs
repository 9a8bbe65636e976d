//! A store in memory: gone with the process, bounded.

use super::{
    Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Page, Query, StoreError, check, incremented,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// All keys and values together.
const BYTES_MAX: usize = 256 << 20;
/// What an entry takes beside key and value, about.
const ENTRY_BYTES: usize = 128;

#[derive(Default)]
pub struct Memory(Mutex<Data>);

#[derive(Default)]
struct Data {
    items: BTreeMap<String, Item>,
    bytes: usize,
    /// Counts writes, which gives each its version.
    writes: u64,
}

struct Item {
    entry: Entry,
    expires: Option<Instant>,
}

impl Item {
    fn is_alive(&self, now: Instant) -> bool {
        self.expires.is_none_or(|at| at > now)
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Data {
    fn get(&self, key: &str) -> Option<&Entry> {
        self.item(key).map(|item| &item.entry)
    }

    fn item(&self, key: &str) -> Option<&Item> {
        self.items.get(key).filter(|item| item.is_alive(Instant::now()))
    }

    fn put(&mut self, key: String, value: Vec<u8>, expires: Option<Instant>) -> Result<(), StoreError> {
        let size = size(&key, &value);
        if self.bytes_without(&key) + size > BYTES_MAX {
            self.sweep();
        }
        check("a store in memory", self.bytes_without(&key) + size, BYTES_MAX)?;
        self.remove(&key);
        self.bytes += size;
        self.writes += 1;
        let entry = Entry { value, version: Some(self.writes.to_string()) };
        self.items.insert(key, Item { entry, expires });
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        if let Some(item) = self.items.remove(key) {
            self.bytes -= size(key, &item.entry.value);
        }
    }

    fn bytes_without(&self, key: &str) -> usize {
        self.bytes - self.items.get(key).map_or(0, |item| size(key, &item.entry.value))
    }

    /// Removes what has expired. It was invisible before.
    fn sweep(&mut self) {
        let now = Instant::now();
        let gone = self.items.iter().filter(|(_, item)| !item.is_alive(now));
        for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    fn list(&self, query: &Query) -> Page {
        let from = match &query.cursor {
            Some(cursor) if *cursor >= query.prefix => Bound::Excluded(cursor.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let now = Instant::now();
        let rest = self.items.range::<str, _>((from, Bound::Unbounded));
        let mut alive = rest
            .take_while(|(key, _)| key.starts_with(&query.prefix))
            .filter(|(_, item)| item.is_alive(now))
            .map(|(key, _)| key.clone());
        let keys: Vec<String> = alive.by_ref().take(query.limit).collect();
        let cursor = alive.next().and(keys.last().cloned());
        Page { keys, cursor }
    }
}

impl Memory {
    /// Nothing in here waits, so a lock is held for a moment only.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut MutexGuard<'_, Data>) -> Result<T, StoreError>,
    ) -> Answer<'_, T> {
        let done = work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(done))
    }
}

impl Backend for Memory {
    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        self.with(|data| Ok(data.get(&key).cloned()))
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Answer<'_, bool> {
        self.with(|data| {
            if !condition.holds(data.get(&key)) {
                return Ok(false);
            }
            // A time beyond what the clock can hold never comes.
            let expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
            data.put(key, value, expires).map(|()| true)
        })
    }

    fn delete(&self, key: String, condition: Condition) -> Answer<'_, bool> {
        self.with(|data| {
            let holds = condition.holds(data.get(&key));
            if holds {
                data.remove(&key);
            }
            Ok(holds)
        })
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        self.with(|data| Ok(data.get(&key).is_some()))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.with(|data| Ok(data.list(&query)))
    }

    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        self.with(|data| {
            let found: Vec<Option<&Entry>> = keys.iter().map(|key| data.get(key)).collect();
            let bytes = found.iter().flatten().map(|entry| entry.value.len()).sum();
            check("a batch", bytes, BATCH_BYTES_MAX)?;
            Ok(found.into_iter().map(|entry| entry.map(|entry| entry.value.clone())).collect())
        })
    }

    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        self.with(|data| entries.into_iter().try_for_each(|(key, value)| data.put(key, value, None)))
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        self.with(|data| {
            keys.iter().for_each(|key| data.remove(key));
            Ok(())
        })
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        self.with(|data| {
            let item = data.item(&key);
            let sum = incremented(item.map(|item| item.entry.value.as_slice()), delta)?;
            let expires = item.and_then(|item| item.expires);
            data.put(key, sum.to_string().into_bytes(), expires)?;
            Ok(sum)
        })
    }
}
