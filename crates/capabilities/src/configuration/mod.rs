//! Configuration that changes while apps run: items by key, read or watched.
//!
//! A component's own variables, which its manifest says, are the folder `config`.

pub mod component;
mod file;
mod memory;
mod redis;
mod watch;

pub use memory::Memory;
pub use watch::Watch;

use file::File;
use redis::Redis;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The longest key.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// Keys in one request, and items of a store that is read as a whole.
pub const KEYS_MAX: usize = 10_000;
/// All items of one answer.
pub const ITEMS_BYTES_MAX: usize = 16 << 20;
/// Watches of one store. In Redis each has a connection.
pub const WATCHES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// "a key", "the list of keys"…
        what: &'static str,
        max: usize,
    },
    #[error("there are {WATCHES_MAX} watches already")]
    TooManyWatches,
    /// It may be better later.
    #[error("the configuration store is not available: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    pub value: String,
    /// Empty where the item has none.
    pub version: String,
    pub metadata: BTreeMap<String, String>,
}

/// An open configuration store.
pub struct Configuration {
    backend: Arc<Backend>,
    watches: Arc<Semaphore>,
}

enum Backend {
    Memory(Memory),
    File(File),
    Redis(Redis),
}

impl Configuration {
    /// A store in memory, and the handle that changes it.
    pub fn in_memory() -> (Configuration, Memory) {
        let memory = Memory::default();
        (Configuration::new(Backend::Memory(memory.clone())), memory)
    }

    fn new(backend: Backend) -> Self {
        Configuration { backend: Arc::new(backend), watches: Arc::new(Semaphore::new(WATCHES_MAX)) }
    }

    /// The items of these keys that exist; of all keys where none is named.
    pub async fn get(&self, keys: &[String]) -> Result<BTreeMap<String, Item>, ConfigurationError> {
        check(keys)?;
        self.backend.get(keys).await
    }

    /// Watches these keys, or all, from now on.
    pub async fn watch(&self, keys: Vec<String>) -> Result<Watch, ConfigurationError> {
        check(&keys)?;
        let place = Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| ConfigurationError::TooManyWatches)?;
        Watch::start(Arc::clone(&self.backend), keys, place).await
    }
}

impl Backend {
    /// Calls with the same keys read the same moment; an item without a value is as one that does not exist.
    async fn get(&self, keys: &[String]) -> Result<BTreeMap<String, Item>, ConfigurationError> {
        match self {
            Backend::Memory(memory) => Ok(memory.get(keys)),
            Backend::File(file) => file.get(keys).await,
            Backend::Redis(redis) => redis.get(keys).await,
        }
    }
}

fn check(keys: &[String]) -> Result<(), ConfigurationError> {
    if keys.len() > KEYS_MAX {
        return Err(ConfigurationError::TooLarge { what: "the list of keys", max: KEYS_MAX });
    }
    match keys.iter().any(|key| key.len() > KEY_BYTES_MAX) {
        true => Err(ConfigurationError::TooLarge { what: "a key", max: KEY_BYTES_MAX }),
        false => Ok(()),
    }
}
