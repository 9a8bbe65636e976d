//! What every backend must do.

use super::*;
use sampan_testing::temp_dir;

/// Runs one test on every backend, each with an empty store.
pub async fn on_each(test: impl AsyncFn(&str, Store)) {
    let folder = temp_dir();
    for (name, backend) in backends(folder.path()) {
        test(name, opened(backend).await).await;
    }
    let Some(redis) = sampan_testing::servers::Redis::start() else { return };
    test("redis", opened(redis_backend(&redis.url(), "")).await).await;
    // The letters are special in Redis' patterns, and must not be here.
    test("redis, with a prefix", opened(redis_backend(&redis.url(), "a*[b]?\\:")).await).await;
    test("redis, Dapr's", opened(dapr_backend(&redis.url(), "dapr:")).await).await;
}

/// Whether keys of any length and with any character are possible: not in databases.
fn takes_every_key(name: &str) -> bool {
    !name.starts_with("postgres") && name != "mariadb"
}

pub fn text(text: &str) -> String {
    text.to_owned()
}

pub async fn value(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.get(key.to_owned()).await.expect("an answer").map(|entry| entry.value)
}

#[test]
fn values_come_back_as_they_were() {
    run(async {
        let all_bytes: Vec<u8> = (0..=255).collect();
        let values: [&[u8]; 7] =
            [b"", b"text", "ü€😀".as_bytes(), b"nul\0inside", b"\xff\xfe", &all_bytes, &[7; 300_000]];
        let keys = ["", "key", "with space", "ü€😀", "a/b:c*?[d]\\", "nul\0key", &"k".repeat(KEY_BYTES_MAX)];
        on_each(async |name, store| {
            let possible = |key: &&str| takes_every_key(name) || (key.len() < 250 && !key.contains('\0'));
            for key in keys.into_iter().filter(possible) {
                assert_eq!(value(&store, key).await, None, "{name}: {key:?}");
                assert!(!store.exists(text(key)).await.expect("an answer"), "{name}: {key:?}");
                for one in values {
                    store.set(text(key), one.to_vec()).await.expect("a write");
                    assert_eq!(value(&store, key).await.as_deref(), Some(one), "{name}: {key:?}");
                }
                assert!(store.exists(text(key)).await.expect("an answer"), "{name}: {key:?}");
            }
            for key in keys.into_iter().filter(possible) {
                store.delete(text(key)).await.expect("a deletion");
                assert_eq!(value(&store, key).await, None, "{name}: {key:?}");
                store.delete(text(key)).await.expect("no error where nothing is");
            }
        })
        .await;
    });
}

#[test]
fn what_is_too_large_is_refused() {
    run(async {
        on_each(async |name, store| {
            let long = "k".repeat(KEY_BYTES_MAX + 1);
            let error = store.get(long.clone()).await.unwrap_err();
            let bytes = KEY_BYTES_MAX + 1;
            assert_eq!(error, StoreError::TooLarge { what: "a key", bytes, max: KEY_BYTES_MAX }, "{name}");
            let error = store.set(text("key"), vec![0; VALUE_BYTES_MAX + 1]).await.unwrap_err();
            assert!(matches!(error, StoreError::TooLarge { what: "a value", .. }), "{name}: {error:?}");
            let error = store.get_many(vec![text("key"); BATCH_KEYS_MAX + 1]).await.unwrap_err();
            assert!(error.to_string().contains("a batch of 1001 keys"), "{name}: {error}");
            if !takes_every_key(name) {
                // A database has a limit of its own for what comes in one piece.
                let large = store.set(text("key"), vec![0; VALUE_BYTES_MAX]).await.unwrap_err();
                assert!(large.to_string().contains("larger than 32 MiB"), "{name}: {large}");
                return;
            }
            // Three values that fit alone, but not in one answer.
            for key in ["a", "b", "c"] {
                store.set(text(key), vec![1; VALUE_BYTES_MAX]).await.expect("a large value");
            }
            assert_eq!(value(&store, "a").await.map(|value| value.len()), Some(VALUE_BYTES_MAX), "{name}");
            let error = store.get_many(["a", "b", "c"].map(text).to_vec()).await.unwrap_err();
            assert!(matches!(error, StoreError::TooLarge { what: "a batch", .. }), "{name}: {error:?}");
        })
        .await;
    });
}

#[test]
fn lists_have_every_key_once() {
    run(async {
        on_each(async |name, store| {
            let mut expected: Vec<String> = (0..700).map(|number| format!("user:{number}")).collect();
            expected.sort();
            let all = expected.iter().cloned().chain(["user", "use", "vser:1", "user;", "a", "%"].map(text));
            store.set_many(all.map(|key| (key, vec![1])).collect()).await.expect("a batch");
            for limit in [1, 100, 699, 700, 701, usize::MAX] {
                let mut keys = Vec::new();
                let mut cursor = None;
                loop {
                    let query = Query { prefix: text("user:"), cursor, limit };
                    let page = store.list(query).await.expect("a page");
                    keys.extend(page.keys);
                    cursor = page.cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                keys.sort();
                keys.dedup();
                assert_eq!(keys, expected, "{name}, by {limit}");
            }
            assert_eq!(store.keys().await.expect("all").len(), 706, "{name}");
            let none = Query { prefix: text("nobody"), cursor: None, limit: 10 };
            assert_eq!(store.list(none).await.expect("a page").keys, Vec::<String>::new(), "{name}");
        })
        .await;
    });
}

#[test]
fn batches_write_read_and_delete() {
    run(async {
        on_each(async |name, store| {
            let entries = [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")];
            let entries = entries.map(|(key, value)| (text(key), value.as_bytes().to_vec()));
            store.set_many(entries.to_vec()).await.expect("a batch");
            let keys = ["c", "none", "a", "c"].map(text).to_vec();
            let values = store.get_many(keys).await.expect("values");
            let expected = [Some("3"), None, Some("4"), Some("3")];
            assert_eq!(values, expected.map(|value| value.map(|text| text.as_bytes().to_vec())), "{name}");
            store.delete_many(["a", "none", "b"].map(text).to_vec()).await.expect("deletions");
            assert_eq!(store.keys().await.expect("keys"), ["c"], "{name}");
            assert_eq!(
                store.get_many(vec![]).await.expect("nothing"),
                Vec::<Option<Vec<u8>>>::new(),
                "{name}"
            );
            store.set_many(vec![]).await.expect("nothing");
            store.delete_many(vec![]).await.expect("nothing");
        })
        .await;
    });
}

#[test]
fn increments_of_many_tasks_are_all_counted() {
    run(async {
        on_each(async |name, store| {
            let tasks = (0..8).map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..25 {
                        store.increment(text("n"), 2).await.expect("a sum");
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("a task");
            }
            assert_eq!(value(&store, "n").await.as_deref(), Some("400".as_bytes()), "{name}");
            assert_eq!(store.increment(text("n"), -500).await, Ok(-100), "{name}");
            for (before, delta) in [("no number", 1), ("1.5", 1), (" 1", 1), ("9223372036854775807", 1)] {
                store.set(text("n"), before.as_bytes().to_vec()).await.expect("a write");
                let error = store.increment(text("n"), delta).await.unwrap_err();
                assert!(matches!(error, StoreError::Other(_)), "{name}: {before}: {error:?}");
                assert_eq!(value(&store, "n").await.as_deref(), Some(before.as_bytes()), "{name}");
            }
        })
        .await;
    });
}

#[test]
fn one_of_many_swaps_wins() {
    run(async {
        on_each(async |name, store| {
            let absent = store.set_if(text("k"), b"1".to_vec(), None, Condition::Absent);
            assert_eq!(absent.await, Ok(true), "{name}");
            let again = store.set_if(text("k"), b"x".to_vec(), None, Condition::Absent);
            assert_eq!(again.await, Ok(false), "{name}");
            let seen = store.get(text("k")).await.expect("an answer").expect("a value");
            let tasks = (0..8u8).map(|number| {
                let (store, condition) = (store.clone(), seen.unchanged());
                tokio::spawn(
                    async move { store.set_if(text("k"), vec![b'a' + number], None, condition).await },
                )
            });
            let mut won = 0;
            for task in tasks.collect::<Vec<_>>() {
                won += i32::from(task.await.expect("a task").expect("an answer"));
            }
            assert_eq!(won, 1, "{name}");
            assert_eq!(store.delete_if(text("k"), seen.unchanged()).await, Ok(false), "{name}");
            let now = store.get(text("k")).await.expect("an answer").expect("a value");
            let wrong = Condition::Value(b"wrong".to_vec());
            assert_eq!(store.set_if(text("k"), vec![], None, wrong.clone()).await, Ok(false), "{name}");
            assert_eq!(store.set_if(text("none"), vec![], None, wrong).await, Ok(false), "{name}");
            let right = Condition::Value(now.value);
            assert_eq!(store.set_if(text("k"), b"2".to_vec(), None, right).await, Ok(true), "{name}");
            let right = Condition::Value(b"2".to_vec());
            assert_eq!(store.delete_if(text("k"), right).await, Ok(true), "{name}");
            assert_eq!(value(&store, "k").await, None, "{name}");
            assert_eq!(store.delete_if(text("k"), Condition::Absent).await, Ok(true), "{name}");
        })
        .await;
    });
}

#[test]
fn values_expire_and_writes_set_the_time_anew() {
    run(async {
        on_each(async |name, store| {
            let long = Some(Duration::from_secs(3600));
            let short = Some(Duration::from_millis(20));
            let set = async |key, ttl| {
                let done = store.set_if(text(key), b"1".to_vec(), ttl, Condition::Always).await;
                assert_eq!(done, Ok(true), "{name}");
            };
            set("long", long).await;
            set("short", short).await;
            set("kept", short).await;
            store.set(text("kept"), b"1".to_vec()).await.expect("a write without a time");
            set("counted", short).await;
            // An increment keeps the time; once that has come, it counts from 0 and for ever.
            let counted = async || (store.increment(text("counted"), 0).await == Ok(0)).then_some(());
            eventually(counted).await;
            eventually(async || value(&store, "short").await.is_none().then_some(())).await;
            assert!(!store.exists(text("short")).await.expect("an answer"), "{name}");
            assert_eq!(store.keys().await.expect("keys"), ["counted", "kept", "long"], "{name}");
            let values = store.get_many(vec![text("short"), text("long")]).await.expect("values");
            assert_eq!(values, [None, Some(b"1".to_vec())], "{name}");
            let absent = store.set_if(text("short"), b"2".to_vec(), None, Condition::Absent).await;
            assert_eq!(absent, Ok(true), "{name}: what has expired is absent");
            assert_eq!(value(&store, "short").await.as_deref(), Some(&b"2"[..]), "{name}");
        })
        .await;
    });
}
