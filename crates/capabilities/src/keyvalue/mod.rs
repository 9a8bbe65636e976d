//! Key-value stores: the embedded one, Redis, memory; one set of data behind every interface.
//!
//! A guest opens a store by its own name for it, and only those that it was granted. What it may put in is
//! bounded here, for every interface and every backend.

#[cfg(test)]
mod failing;
pub mod host;
mod memory;
mod open;
mod redis;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

pub use host::{Granted, KeyValue};
pub use memory::Memory;
pub use open::Slot;
pub use redis::Redis;
pub use sqlite::Sqlite;

use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The longest key. Redis and SQLite take more; nobody needs it, and every list of keys carries them.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// The largest value. It is copied through the memories of the guest and of the host.
pub const VALUE_BYTES_MAX: usize = 32 << 20;
/// Keys in one call of a batch.
pub const BATCH_KEYS_MAX: usize = 1000;
/// All keys and values of one batch, in and out.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Keys in one page of a list.
pub const PAGE_KEYS_MAX: usize = 1000;
/// What an interface without pages may list at most.
pub const KEYS_MAX: usize = 100_000;
/// The same in bytes.
pub const KEYS_BYTES_MAX: usize = 16 << 20;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such store")]
    NoSuchStore,
    #[error("the store is not granted")]
    AccessDenied,
    #[error("{what} of {bytes} bytes is larger than {max} bytes")]
    TooLarge {
        /// "a key", "a value", "a batch"…
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    /// It may be better later: the store is down, or behind.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

/// What an operation comes to.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A value, and what tells it from a later one under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Vec<u8>,
    /// `None` where the backend knows a value only by itself.
    pub version: Option<String>,
}

impl Entry {
    /// The condition that nothing was written since.
    pub fn unchanged(&self) -> Condition {
        match &self.version {
            Some(version) => Condition::Version(version.clone()),
            None => Condition::Value(self.value.clone()),
        }
    }
}

/// What must be true of a key for a write to happen, checked in the same step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// The key has no value.
    Absent,
    /// Its value has this version.
    Version(String),
    /// It has this value.
    Value(Vec<u8>),
}

impl Condition {
    fn holds(&self, now: Option<&Entry>) -> bool {
        match self {
            Condition::Always => true,
            Condition::Absent => now.is_none(),
            Condition::Version(version) => now.is_some_and(|entry| entry.version.as_ref() == Some(version)),
            Condition::Value(value) => now.is_some_and(|entry| entry.value == *value),
        }
    }
}

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub prefix: String,
    /// From the page before; `None` for the first.
    pub cursor: Option<String>,
    /// About so many keys; a page may be shorter or a little longer. At most [`PAGE_KEYS_MAX`] count.
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub keys: Vec<String>,
    /// For the next page; `None` at the end.
    pub cursor: Option<String>,
}

/// What a store is made of. Limits are checked before it is called: go through [`Store`].
pub trait Backend: Send + Sync {
    fn get(&self, key: String) -> Answer<'_, Option<Entry>>;
    /// `false`: the condition did not hold. A value without `ttl` stays, whatever the one before had.
    fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Answer<'_, bool>;
    /// `false`: the condition did not hold. A key without value is no error.
    fn delete(&self, key: String, condition: Condition) -> Answer<'_, bool>;
    fn exists(&self, key: String) -> Answer<'_, bool>;
    fn list(&self, query: Query) -> Answer<'_, Page>;
    /// Values in the order of the keys. More than [`BATCH_BYTES_MAX`] in all is an error.
    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Vec<u8>>>>;
    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Answer<'_, ()>;
    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()>;
    /// Adds to a decimal number; a key without value counts as 0. Keeps the time at which it expires.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64>;
}

/// An open store.
#[derive(Clone)]
pub struct Store(Arc<dyn Backend>);

impl Store {
    pub fn new(backend: impl Backend + 'static) -> Self {
        Store(Arc::new(backend))
    }

    pub async fn get(&self, key: String) -> Result<Option<Entry>, StoreError> {
        check_key(&key)?;
        self.0.get(key).await
    }

    pub async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.set_if(key, value, None, Condition::Always).await.map(drop)
    }

    /// `false`: the condition did not hold.
    pub async fn set_if(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        check_key(&key)?;
        check("a value", value.len(), VALUE_BYTES_MAX)?;
        self.0.set(key, value, ttl, condition).await
    }

    pub async fn delete(&self, key: String) -> Result<(), StoreError> {
        self.delete_if(key, Condition::Always).await.map(drop)
    }

    /// `false`: the condition did not hold.
    pub async fn delete_if(&self, key: String, condition: Condition) -> Result<bool, StoreError> {
        check_key(&key)?;
        self.0.delete(key, condition).await
    }

    pub async fn exists(&self, key: String) -> Result<bool, StoreError> {
        check_key(&key)?;
        self.0.exists(key).await
    }

    pub async fn list(&self, mut query: Query) -> Result<Page, StoreError> {
        check_key(&query.prefix)?;
        query.limit = query.limit.clamp(1, PAGE_KEYS_MAX);
        self.0.list(query).await
    }

    /// All keys, each once.
    pub async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = std::collections::BTreeSet::new();
        let mut bytes = 0;
        let mut cursor = None;
        loop {
            let page = self.list(Query { prefix: String::new(), cursor, limit: PAGE_KEYS_MAX }).await?;
            for key in page.keys {
                bytes += key.len();
                keys.insert(key);
            }
            check("a list of keys", bytes, KEYS_BYTES_MAX)?;
            if keys.len() > KEYS_MAX {
                return Err(StoreError::Other(format!(
                    "the store has more than {KEYS_MAX} keys; wasi:keyvalue lists them in pages"
                )));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys.into_iter().collect());
            }
        }
    }

    pub async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        check_batch(keys.iter().map(|key| (key, 0)))?;
        if keys.is_empty() { Ok(Vec::new()) } else { self.0.get_many(keys).await }
    }

    pub async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        for (_, value) in &entries {
            check("a value", value.len(), VALUE_BYTES_MAX)?;
        }
        check_batch(entries.iter().map(|(key, value)| (key, value.len())))?;
        if entries.is_empty() { Ok(()) } else { self.0.set_many(entries).await }
    }

    pub async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        check_batch(keys.iter().map(|key| (key, 0)))?;
        if keys.is_empty() { Ok(()) } else { self.0.delete_many(keys).await }
    }

    pub async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        check_key(&key)?;
        self.0.increment(key, delta).await
    }
}

fn check(what: &'static str, bytes: usize, max: usize) -> Result<(), StoreError> {
    if bytes > max { Err(StoreError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    check("a key", key.len(), KEY_BYTES_MAX)
}

fn check_batch<'a>(items: impl ExactSizeIterator<Item = (&'a String, usize)>) -> Result<(), StoreError> {
    if items.len() > BATCH_KEYS_MAX {
        let message = format!("a batch of {} keys is larger than {BATCH_KEYS_MAX} keys", items.len());
        return Err(StoreError::Other(message));
    }
    let mut bytes = 0;
    for (key, value_bytes) in items {
        check_key(key)?;
        bytes += key.len() + value_bytes;
    }
    check("a batch", bytes, BATCH_BYTES_MAX)
}

/// Adds to a number as text.
fn incremented(value: Option<&[u8]>, delta: i64) -> Result<i64, StoreError> {
    let number = match value {
        None => Some(0),
        Some(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok()),
    };
    let number = number.ok_or_else(|| StoreError::Other("the value is not a 64-bit integer".to_owned()))?;
    let overflow = || StoreError::Other("the sum does not fit into a 64-bit integer".to_owned());
    number.checked_add(delta).ok_or_else(overflow)
}
