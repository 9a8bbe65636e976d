//! One suite, run on every backend, and what is special about each.

mod durability;
mod redis;
mod sqlite;
mod suite;

use super::*;
use sampan_app::{KeyValueBackend, KeyValueStore, RedisLayout, Secret};

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
    Slot::open("test", &KeyValueStore { backend, lazy }).await
}

async fn opened(backend: KeyValueBackend) -> Store {
    open(backend, false).await.expect("a store").store().await.expect("an open store")
}

fn redis_backend(url: &str, prefix: &str) -> KeyValueBackend {
    KeyValueBackend::redis(Secret::new(url), prefix)
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
