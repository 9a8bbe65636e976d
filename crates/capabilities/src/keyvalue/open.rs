//! From a store's description to an open one: at start, or at its first use where it is `lazy`.

use super::database::{Database, Tables};
use super::sqlite::Settings;
use super::{Features, Memory, Redis, Sqlite, Store, StoreError};
use crate::GrantError;
use crate::redis::connect::Server;
use sampan_app::{KeyValueBackend, KeyValueDatabase, KeyValueStore};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

/// A store of an app, open or to be opened.
pub struct Slot {
    name: String,
    backend: KeyValueBackend,
    key_prefix: String,
    runtime: Handle,
    store: OnceCell<Store>,
}

impl Slot {
    /// Opens a store unless it is lazy. Must be called inside the runtime in which its driver shall run.
    pub async fn open(name: &str, description: &KeyValueStore) -> Result<Slot, GrantError> {
        let backend = description.backend.clone();
        let (name, key_prefix) = (name.to_owned(), description.key_prefix.clone());
        let slot = Slot { name, backend, key_prefix, runtime: Handle::current(), store: OnceCell::new() };
        if !description.lazy {
            let store = slot.connect(true).await?;
            // Nobody else has seen the slot.
            let _ = slot.store.set(store);
        }
        Ok(slot)
    }

    /// Whether it is already what the description says.
    pub fn is(&self, description: &KeyValueStore) -> bool {
        self.backend == description.backend && self.key_prefix == description.key_prefix
    }

    /// The store; an error that may be gone the next time.
    pub async fn store(&self) -> Result<Store, StoreError> {
        let opened = self.store.get_or_try_init(|| self.connect(false)).await;
        opened.cloned().map_err(|error| StoreError::Unavailable(error.what))
    }

    /// What the store can do, if it is open.
    pub fn features(&self) -> Option<Features> {
        self.store.get().map(Store::features)
    }

    async fn connect(&self, check: bool) -> Result<Store, GrantError> {
        self.connect_whole(check).await.map(|store| store.with_prefix(&self.key_prefix))
    }

    /// The store with everybody's keys.
    async fn connect_whole(&self, check: bool) -> Result<Store, GrantError> {
        match &self.backend {
            KeyValueBackend::Memory => Ok(Store::new(Memory::default())),
            KeyValueBackend::Sqlite { path, table, metadata_table, busy_timeout } => {
                let settings = Settings {
                    path: path.clone(),
                    table: table.clone(),
                    metadata_table: metadata_table.clone(),
                    busy_timeout: *busy_timeout,
                };
                let opened = self.runtime.spawn_blocking(move || Sqlite::open(&settings)).await;
                let opened = opened.map_err(|error| self.error(&error.to_string(), "start sampan again"))?;
                opened.map(Store::new)
            }
            KeyValueBackend::Redis { url, prefix, layout, ttl } => {
                let server = Server::parse_any(url.reveal()).ok_or_else(|| {
                    self.error(
                        "its url is not one of Redis",
                        "write redis://HOST:PORT, rediss:// for TLS, or unix://PATH; a login and a database may be added",
                    )
                })?;
                let redis = Redis::new(server, prefix, *layout, self.runtime.clone());
                if check {
                    let help =
                        "start the server, correct the url, or write `lazy = true` to start without it";
                    redis.check().await.map_err(|error| self.error(&error.to_string(), help))?;
                }
                Ok(Store::new(redis).with_ttl(*ttl))
            }
            KeyValueBackend::Postgres { layout, database } => {
                self.database(Tables::Postgres(*layout), database, check).await
            }
            KeyValueBackend::MySql { schema, database } => {
                self.database(Tables::MySql(schema.clone()), database, check).await
            }
        }
    }

    async fn database(
        &self,
        tables: Tables,
        settings: &KeyValueDatabase,
        check: bool,
    ) -> Result<Store, GrantError> {
        let database = Database::new(tables, settings, self.runtime.clone())
            .map_err(|error| self.error(&error.to_string(), "correct its address"))?;
        if check {
            let help = "start the server, correct the address, or write `lazy = true` to start without it";
            database.check().await.map_err(|error| self.error(&error.to_string(), help))?;
        }
        Ok(Store::new(database))
    }

    fn error(&self, why: &str, help: &str) -> GrantError {
        let what = format!("the key-value store `{}` cannot be opened: {why}", self.name);
        GrantError { what, help: Some(help.to_owned()) }
    }
}
