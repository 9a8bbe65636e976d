//! A store in memory: gone with the process, bounded.

use super::{
    Answer, BATCH_BYTES_MAX, Backend, Entry, Features, Page, Query, StoreError, Write, check, incremented,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// All keys and values together.
const BYTES_MAX: usize = 256 << 20;
/// What an entry takes beside key and value, about.
const ENTRY_BYTES: usize = 128;

#[derive(Default)]
pub struct Memory(Mutex<Data>);

#[derive(Default)]
struct Data {
    items: BTreeMap<String, Entry>,
    bytes: usize,
    /// Counts writes, which gives each its version.
    writes: u64,
}

fn is_alive(entry: &Entry, now: SystemTime) -> bool {
    entry.expires.is_none_or(|at| at > now)
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Data {
    fn get(&self, key: &str) -> Option<&Entry> {
        self.items.get(key).filter(|entry| is_alive(entry, SystemTime::now()))
    }

    fn put(&mut self, key: String, value: Vec<u8>, expires: Option<SystemTime>) -> Result<(), StoreError> {
        let size = size(&key, &value);
        if self.bytes_without(&key) + size > BYTES_MAX {
            self.sweep();
        }
        check("a store in memory", self.bytes_without(&key) + size, BYTES_MAX)?;
        self.writes += 1;
        let version = Some(self.writes.to_string());
        self.restore(key, Some(Entry { value, version, expires }));
        Ok(())
    }

    /// Puts an entry as it is, or removes it, and returns the one before.
    fn restore(&mut self, key: String, entry: Option<Entry>) -> Option<Entry> {
        let before = self.remove(&key);
        if let Some(entry) = entry {
            self.bytes += size(&key, &entry.value);
            self.items.insert(key, entry);
        }
        before
    }

    /// `false`: the condition did not hold.
    fn write(&mut self, write: Write) -> Result<bool, StoreError> {
        if !write.condition.holds(self.get(&write.key)) {
            return Ok(false);
        }
        let Some(value) = write.value else {
            self.remove(&write.key);
            return Ok(true);
        };
        // A time beyond what the clock can hold never comes.
        let expires = write.ttl.and_then(|ttl| SystemTime::now().checked_add(ttl));
        self.put(write.key, value, expires).map(|()| true)
    }

    /// All or none.
    fn transact(&mut self, writes: Vec<Write>) -> Result<Result<(), usize>, StoreError> {
        let mut undo = Vec::with_capacity(writes.len());
        let mut outcome = Ok(Ok(()));
        for (place, write) in writes.into_iter().enumerate() {
            undo.push((write.key.clone(), self.items.get(&write.key).cloned()));
            match self.write(write) {
                Ok(true) => {}
                Ok(false) => outcome = Ok(Err(place)),
                Err(error) => outcome = Err(error),
            }
            if outcome != Ok(Ok(())) {
                for (key, before) in undo.into_iter().rev() {
                    self.restore(key, before);
                }
                break;
            }
        }
        outcome
    }

    fn remove(&mut self, key: &str) -> Option<Entry> {
        let entry = self.items.remove(key)?;
        self.bytes -= size(key, &entry.value);
        Some(entry)
    }

    fn bytes_without(&self, key: &str) -> usize {
        self.bytes - self.items.get(key).map_or(0, |entry| size(key, &entry.value))
    }

    /// Removes what has expired. It was invisible before.
    fn sweep(&mut self) {
        let now = SystemTime::now();
        let gone = self.items.iter().filter(|(_, entry)| !is_alive(entry, now));
        for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    fn list(&self, query: &Query) -> Page {
        let from = match &query.cursor {
            Some(cursor) if *cursor >= query.prefix => Bound::Excluded(cursor.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let now = SystemTime::now();
        let rest = self.items.range::<str, _>((from, Bound::Unbounded));
        let mut alive = rest
            .take_while(|(key, _)| key.starts_with(&query.prefix))
            .filter(|(_, entry)| is_alive(entry, now))
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
    fn features(&self) -> Features {
        Features { versions: true, transactions: true, ttl: true, query: false }
    }

    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        self.with(|data| Ok(data.get(&key).cloned()))
    }

    fn write(&self, write: Write) -> Answer<'_, bool> {
        self.with(|data| data.write(write))
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        self.with(|data| Ok(data.get(&key).is_some()))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.with(|data| Ok(data.list(&query)))
    }

    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        self.with(|data| {
            let found: Vec<Option<&Entry>> = keys.iter().map(|key| data.get(key)).collect();
            let bytes = found.iter().flatten().map(|entry| entry.value.len()).sum();
            check("a batch", bytes, BATCH_BYTES_MAX)?;
            Ok(found.into_iter().map(Option::<&Entry>::cloned).collect())
        })
    }

    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        self.with(|data| data.transact(writes))
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        self.with(|data| {
            let entry = data.get(&key);
            let sum = incremented(entry.map(|entry| entry.value.as_slice()), delta)?;
            let expires = entry.and_then(|entry| entry.expires);
            data.put(key, sum.to_string().into_bytes(), expires)?;
            Ok(sum)
        })
    }
}
