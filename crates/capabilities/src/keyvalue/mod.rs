//! Key-value stores: the embedded one, Redis, memory; one set of data behind every interface.
//!
//! A guest opens a store by its own name for it, and only those that it was granted. What it may put in is
//! bounded here, for every interface and every backend. Dapr's state is such a store too: what it needs beyond
//! the guests' interfaces (versions, transactions, times to live, queries) is in every backend alike.

pub mod component;
mod database;
#[cfg(test)]
mod failing;
mod filter_sql;
pub mod host;
mod memory;
mod open;
mod prefixed;
mod query;
mod redis;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

pub use host::{Granted, KeyValue};
pub use memory::Memory;
pub use open::Slot;
use prefixed::Prefixed;
pub use query::{Filter, QueryPage, Sort, StateQuery};
pub use redis::Redis;
pub use sqlite::Sqlite;

use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
/// A longer time to live is none: the value stays, also where the store has a time of its own for every value.
pub const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

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
    /// A version that no value of this store can have.
    #[error("{0:?} is no version of this store")]
    InvalidVersion(String),
    /// This kind of store has no such operation.
    #[error("the store does not support {0}")]
    Unsupported(&'static str),
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
    /// When it will be gone; `None`: it stays.
    pub expires: Option<SystemTime>,
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

/// One write of a transaction, or alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: String,
    /// `None` deletes. A key without value is no error then.
    pub value: Option<Vec<u8>>,
    /// `None`: as long as the store keeps values, which is for ever unless it was told otherwise. More than
    /// [`TTL_MAX`]: for ever.
    pub ttl: Option<Duration>,
    pub condition: Condition,
    /// Dapr's first-write: marks the record where the layout has such a mark (Redis: the field `first-write`).
    /// From then on a write whose condition is [`Condition::Always`] does not replace it, and answers `false`.
    pub first_write: bool,
}

impl Write {
    /// A write that happens whatever is there.
    pub fn set(key: String, value: Vec<u8>) -> Self {
        let condition = Condition::Always;
        Write { key, value: Some(value), ttl: None, condition, first_write: false }
    }

    pub fn delete(key: String) -> Self {
        Write { key, value: None, ttl: None, condition: Condition::Always, first_write: false }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// What a store can do beyond getting, setting and deleting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Values have versions ([`Condition::Version`]).
    pub versions: bool,
    pub transactions: bool,
    pub ttl: bool,
    pub query: bool,
}

/// What a store is made of. Limits are checked before it is called: go through [`Store`].
pub trait Backend: Send + Sync {
    fn features(&self) -> Features;
    fn get(&self, key: String) -> Answer<'_, Option<Entry>>;
    /// `false`: the condition did not hold. A value without `ttl` stays, whatever the one before had.
    fn write(&self, write: Write) -> Answer<'_, bool>;
    fn exists(&self, key: String) -> Answer<'_, bool>;
    fn list(&self, query: Query) -> Answer<'_, Page>;
    /// In the order of the keys. More than [`BATCH_BYTES_MAX`] in all is an error.
    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>>;
    /// All of them in order, or none: `Err` has the place of the first whose condition did not hold.
    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>>;
    /// Adds to a decimal number; a key without value counts as 0. Keeps the time at which it expires.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64>;

    fn query(&self, _query: StateQuery) -> Answer<'_, QueryPage> {
        Box::pin(std::future::ready(Err(StoreError::Unsupported("queries"))))
    }
}

/// An open store.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    /// How long a value stays that is written without a time.
    ttl: Option<Duration>,
}

impl Store {
    pub fn new(backend: impl Backend + 'static) -> Self {
        Store { backend: Arc::new(backend), ttl: None }
    }

    /// The same store, in which values stay for so long where a write does not say.
    pub fn with_ttl(self, ttl: Option<Duration>) -> Self {
        Store { ttl, ..self }
    }

    /// The same store, with a prefix before every key.
    pub fn with_prefix(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        let prefixed = Prefixed { inner: self.backend, prefix: prefix.to_owned() };
        Store { backend: Arc::new(prefixed), ..self }
    }

    pub fn features(&self) -> Features {
        self.backend.features()
    }

    pub async fn get(&self, key: String) -> Result<Option<Entry>, StoreError> {
        check_key(&key)?;
        self.backend.get(key).await
    }

    pub async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        if self.write(Write::set(key, value)).await? { Ok(()) } else { Err(marked()) }
    }

    /// `false`: the condition did not hold.
    pub async fn set_if(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Result<bool, StoreError> {
        self.write(Write { ttl, condition, ..Write::set(key, value) }).await
    }

    pub async fn delete(&self, key: String) -> Result<(), StoreError> {
        self.write(Write::delete(key)).await.map(drop)
    }

    /// `false`: the condition did not hold.
    pub async fn delete_if(&self, key: String, condition: Condition) -> Result<bool, StoreError> {
        self.write(Write { condition, ..Write::delete(key) }).await
    }

    /// `false`: the condition did not hold.
    pub async fn write(&self, write: Write) -> Result<bool, StoreError> {
        check_key(&write.key)?;
        check("a value", write.value.as_ref().map_or(0, Vec::len), VALUE_BYTES_MAX)?;
        self.backend.write(self.timed(write)).await
    }

    /// All of them in order, or none: `Err` inside has the place of the first whose condition did not hold.
    pub async fn transact(&self, writes: Vec<Write>) -> Result<Result<(), usize>, StoreError> {
        for write in &writes {
            check("a value", write.value.as_ref().map_or(0, Vec::len), VALUE_BYTES_MAX)?;
        }
        check_batch(writes.iter().map(|write| (&write.key, write.bytes() - write.key.len())))?;
        if writes.is_empty() {
            return Ok(Ok(()));
        }
        self.backend.transact(writes.into_iter().map(|write| self.timed(write)).collect()).await
    }

    /// From what a caller says about time to what a backend does.
    fn timed(&self, mut write: Write) -> Write {
        write.ttl = write.ttl.or(self.ttl).filter(|ttl| *ttl <= TTL_MAX);
        write
    }

    pub async fn exists(&self, key: String) -> Result<bool, StoreError> {
        check_key(&key)?;
        self.backend.exists(key).await
    }

    pub async fn list(&self, mut query: Query) -> Result<Page, StoreError> {
        check_key(&query.prefix)?;
        query.limit = query.limit.clamp(1, PAGE_KEYS_MAX);
        self.backend.list(query).await
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

    /// Values with versions and expiry, in the order of the keys.
    pub async fn entries(&self, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        check_batch(keys.iter().map(|key| (key, 0)))?;
        if keys.is_empty() { Ok(Vec::new()) } else { self.backend.entries(keys).await }
    }

    pub async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let entries = self.entries(keys).await?;
        Ok(entries.into_iter().map(|entry| entry.map(|entry| entry.value)).collect())
    }

    pub async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let writes = entries.into_iter().map(|(key, value)| Write::set(key, value)).collect();
        self.transact(writes).await?.map_err(|_| marked())
    }

    pub async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.transact(keys.into_iter().map(Write::delete).collect()).await?.map_err(|_| marked())
    }

    pub async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        check_key(&key)?;
        self.backend.increment(key, delta).await
    }

    /// What [`StateQuery`] asks for; [`StoreError::Unsupported`] where [`Features::query`] is not set.
    pub async fn query(&self, mut query: StateQuery) -> Result<QueryPage, StoreError> {
        check_key(&query.prefix)?;
        let limit = query.limit.unwrap_or(query::ITEMS_MAX);
        query.limit = Some(limit.clamp(1, query::ITEMS_MAX));
        self.backend.query(query).await
    }
}

/// What an unconditional write meets, and nothing else.
fn marked() -> StoreError {
    let what =
        "the value was written with Dapr's first-write: only a write that names its version replaces it";
    StoreError::Other(what.to_owned())
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
