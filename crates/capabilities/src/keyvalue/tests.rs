//! One suite, run on every backend, and what is special about each.

mod cross_read;
mod databases;
mod durability;
mod questions;
mod redis;
mod sqlite;
mod state;
mod suite;

use super::*;
use sampan_app::{KeyValueBackend, KeyValueDatabase, KeyValueStore, PostgresLayout, RedisLayout, Secret};
use sampan_testing::servers::{MariaDb, Postgres};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a test with the tasks it spawns in one thread.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Waits until the answer is as wanted, which must not take longer than tests have patience.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(sampan_testing::PATIENCE, waiting).await.expect("it comes at last")
}

async fn open(backend: KeyValueBackend, lazy: bool) -> Result<Slot, crate::GrantError> {
    Slot::open("test", &KeyValueStore { lazy, ..KeyValueStore::new(backend) }).await
}

async fn opened(backend: KeyValueBackend) -> Store {
    open(backend, false).await.expect("a store").store().await.expect("an open store")
}

fn redis_backend(url: &str, prefix: &str) -> KeyValueBackend {
    KeyValueBackend::redis(Secret::new(url), prefix)
}

fn dapr_backend(url: &str, prefix: &str) -> KeyValueBackend {
    let (url, prefix) = (Secret::new(url), prefix.to_owned());
    KeyValueBackend::Redis { url, prefix, layout: RedisLayout::Dapr, ttl: None }
}

/// The servers that all tests share.
fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

fn mariadb() -> Option<&'static MariaDb> {
    static SERVER: OnceLock<Option<MariaDb>> = OnceLock::new();
    SERVER.get_or_init(MariaDb::start).as_ref()
}

/// Tables of their own on a shared server.
fn tables(url: &str) -> KeyValueDatabase {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    KeyValueDatabase {
        table: format!("t{number}_state"),
        metadata_table: format!("t{number}_metadata"),
        connections: 4,
        ..KeyValueDatabase::new(Secret::new(url))
    }
}

fn postgres_backend(layout: PostgresLayout) -> Option<KeyValueBackend> {
    let database = tables(&postgres()?.url());
    Some(KeyValueBackend::Postgres { layout, database })
}

fn mariadb_backend() -> Option<KeyValueBackend> {
    let schema = "dapr_state_store".to_owned();
    Some(KeyValueBackend::MySql { schema, database: tables(&mariadb()?.url()) })
}

/// A new, empty store of each kind, but for Redis, whose server is each test's own.
fn backends(folder: &Path) -> Vec<(&'static str, KeyValueBackend)> {
    let mut all = vec![
        ("memory", KeyValueBackend::Memory),
        ("sqlite", KeyValueBackend::sqlite(folder.join("state.sqlite"))),
        ("sqlite in memory", KeyValueBackend::sqlite(":memory:")),
    ];
    all.extend(postgres_backend(PostgresLayout::V1).map(|backend| ("postgres v1", backend)));
    all.extend(postgres_backend(PostgresLayout::V2).map(|backend| ("postgres v2", backend)));
    all.extend(mariadb_backend().map(|backend| ("mariadb", backend)));
    all
}

#[test]
fn a_store_that_fails_says_so_in_every_operation() {
    run(async {
        let store = Store::new(failing::Failing);
        let key = || "key".to_owned();
        let down = StoreError::Unavailable("it is a test".to_owned());
        assert_eq!(store.get(key()).await.unwrap_err(), down);
        assert_eq!(store.set(key(), vec![]).await.unwrap_err(), down);
        assert_eq!(store.delete(key()).await.unwrap_err(), down);
        assert_eq!(store.exists(key()).await.unwrap_err(), down);
        assert_eq!(store.keys().await.unwrap_err(), down);
        assert_eq!(store.get_many(vec![key()]).await.unwrap_err(), down);
        assert_eq!(store.set_many(vec![(key(), vec![])]).await.unwrap_err(), down);
        assert_eq!(store.delete_many(vec![key()]).await.unwrap_err(), down);
        assert_eq!(store.increment(key(), 1).await.unwrap_err(), down);
        assert_eq!(store.entries(vec![key()]).await.unwrap_err(), down);
        assert_eq!(store.transact(vec![Write::delete(key())]).await.unwrap_err(), down);
        assert_eq!(store.query(StateQuery::default()).await.unwrap_err(), down);
    });
}

#[test]
fn memory_is_bounded_and_frees_what_is_replaced() {
    run(async {
        let store = Store::new(Memory::default());
        let value = || vec![0; VALUE_BYTES_MAX];
        // Each write replaces the one before: many times what fits at once.
        for _ in 0..12 {
            store.set("same".to_owned(), value()).await.expect("room");
        }
        let mut number = 0;
        let error = loop {
            number += 1;
            if let Err(error) = store.set(number.to_string(), value()).await {
                break error;
            }
        };
        assert!(matches!(error, StoreError::TooLarge { what: "a store in memory", .. }), "{error:?}");
        store.delete("same".to_owned()).await.expect("a deletion");
        store.set(number.to_string(), value()).await.expect("room again");
    });
}
