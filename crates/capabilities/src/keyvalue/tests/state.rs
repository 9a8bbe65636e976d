//! What Dapr's state needs, on every backend: the cases of its conformance tests (components-contrib,
//! tests/conformance/state), and what they leave out.

use super::suite::{on_each, text, value};
use super::*;

fn set(key: &str, value: &str) -> Write {
    Write::set(text(key), value.as_bytes().to_vec())
}

async fn entry(store: &Store, key: &str) -> Entry {
    store.get(text(key)).await.expect("an answer").expect("a value")
}

/// A version that is one of this store's kind, and nobody's.
fn strange(seen: &str) -> String {
    if seen.contains('-') {
        "00000000-0000-4000-8000-000000000000".to_owned()
    } else {
        "987654321".to_owned()
    }
}

#[test]
fn each_write_has_a_version_and_conditions_name_it() {
    run(async {
        on_each(async |name, store| {
            store.write(set("k", "1")).await.expect("a write");
            let first = entry(&store, "k").await;
            assert_eq!(store.features().versions, first.version.is_some(), "{name}");
            let Some(version) = first.version else { return };
            let stale = || Condition::Version(version.clone());
            let wrong = || Condition::Version(strange(&version));
            let with = |condition, write: Write| store.write(Write { condition, ..write });
            assert_eq!(with(wrong(), set("k", "x")).await, Ok(false), "{name}");
            assert_eq!(with(wrong(), Write::delete(text("k"))).await, Ok(false), "{name}");
            assert_eq!(with(wrong(), set("none", "x")).await, Ok(false), "{name}");
            assert_eq!(with(stale(), Write::delete(text("none"))).await, Ok(false), "{name}");
            assert_eq!(with(stale(), set("k", "2")).await, Ok(true), "{name}");
            let second = entry(&store, "k").await;
            assert_ne!(second.version.as_ref(), Some(&version), "{name}");
            assert_eq!(with(stale(), set("k", "x")).await, Ok(false), "{name}");
            assert_eq!(with(stale(), Write::delete(text("k"))).await, Ok(false), "{name}");
            assert_eq!(with(Condition::Absent, set("k", "x")).await, Ok(false), "{name}");
            assert_eq!(with(Condition::Absent, Write::delete(text("k"))).await, Ok(false), "{name}");
            assert_eq!(value(&store, "k").await.as_deref(), Some(&b"2"[..]), "{name}");
            assert_eq!(with(second.unchanged(), Write::delete(text("k"))).await, Ok(true), "{name}");
            assert_eq!(value(&store, "k").await, None, "{name}");
            assert_eq!(with(Condition::Absent, set("k", "3")).await, Ok(true), "{name}");
        })
        .await;
    });
}

#[test]
fn a_version_of_another_kind_is_said_to_be_none() {
    run(async {
        on_each(async |name, store| {
            let condition = Condition::Version(text("not-an-etag"));
            let done = store.write(Write { condition, ..set("k", "1") }).await;
            match name {
                "memory" | "sqlite" | "sqlite in memory" | "mariadb" => assert_eq!(done, Ok(false), "{name}"),
                "redis" | "redis, with a prefix" => {
                    assert!(done.unwrap_err().to_string().contains("has no versions"), "{name}");
                }
                _ => assert_eq!(done, Err(StoreError::InvalidVersion(text("not-an-etag"))), "{name}"),
            }
        })
        .await;
    });
}

#[test]
fn a_transaction_happens_in_order_and_as_a_whole() {
    run(async {
        on_each(async |name, store| {
            let absent = |write: Write| Write { condition: Condition::Absent, ..write };
            let equal = |value: &str, write: Write| {
                let condition = Condition::Value(value.as_bytes().to_vec());
                Write { condition, ..write }
            };
            // The last write of a key counts, and a deletion of nothing is no error.
            let writes = vec![
                set("a", "1"),
                set("b", "2"),
                set("a", "3"),
                Write::delete(text("b")),
                Write::delete(text("none")),
            ];
            assert_eq!(store.transact(writes).await, Ok(Ok(())), "{name}");
            assert_eq!(value(&store, "a").await.as_deref(), Some(&b"3"[..]), "{name}");
            assert_eq!(value(&store, "b").await, None, "{name}");
            // Conditions see the writes before them.
            let writes = vec![
                Write::delete(text("a")),
                absent(set("a", "4")),
                equal("4", set("a", "5")),
                set("c", "6"),
                equal("6", Write::delete(text("c"))),
                absent(Write::delete(text("c"))),
            ];
            assert_eq!(store.transact(writes).await, Ok(Ok(())), "{name}");
            assert_eq!(value(&store, "a").await.as_deref(), Some(&b"5"[..]), "{name}");
            assert_eq!(store.keys().await.expect("keys"), ["a"], "{name}");
            // What fails says where, and nothing of it has happened.
            let writes =
                vec![set("a", "x"), set("new", "x"), Write::delete(text("a")), equal("x", set("a", "y"))];
            assert_eq!(store.transact(writes).await, Ok(Err(3)), "{name}");
            assert_eq!(value(&store, "a").await.as_deref(), Some(&b"5"[..]), "{name}");
            assert_eq!(store.keys().await.expect("keys"), ["a"], "{name}");
            assert_eq!(store.transact(vec![]).await, Ok(Ok(())), "{name}");
            if let Some(version) = entry(&store, "a").await.version {
                let wrong = Condition::Version(strange(&version));
                let writes = vec![set("b", "x"), Write { condition: wrong, ..Write::delete(text("a")) }];
                assert_eq!(store.transact(writes).await, Ok(Err(1)), "{name}");
                let right = Condition::Version(version);
                let writes = vec![Write { condition: right, ..set("a", "7") }, set("b", "8")];
                assert_eq!(store.transact(writes).await, Ok(Ok(())), "{name}");
                assert_eq!(store.keys().await.expect("keys"), ["a", "b"], "{name}");
            }
        })
        .await;
    });
}

#[test]
fn transactions_that_meet_all_happen() {
    run(async {
        on_each(async |name, store| {
            // In opposite orders, which databases end as deadlocks.
            let tasks = (0..6).map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut writes = vec![set("a", "1"), set("b", "1"), set(&format!("own{number}"), "1")];
                    if number % 2 == 0 {
                        writes.reverse();
                    }
                    store.transact(writes).await
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                assert_eq!(task.await.expect("a task"), Ok(Ok(())), "{name}");
            }
            assert_eq!(store.keys().await.expect("keys").len(), 8, "{name}");
        })
        .await;
    });
}

#[test]
fn entries_have_versions_and_ends_in_the_order_of_the_keys() {
    run(async {
        on_each(async |name, store| {
            let hour = Duration::from_secs(3600);
            store.write(Write { ttl: Some(hour), ..set("a||1", "1") }).await.expect("a write");
            store.write(set("a||2", "2")).await.expect("a write");
            let keys = ["a||2", "none", "a||1", "a||2"].map(text).to_vec();
            let found = store.entries(keys).await.expect("entries");
            let values: Vec<_> =
                found.iter().map(|entry| entry.as_ref().map(|entry| entry.value.clone())).collect();
            let [one, two] = [b"1".to_vec(), b"2".to_vec()];
            assert_eq!(values, [Some(two.clone()), None, Some(one), Some(two)], "{name}");
            assert_eq!(found[0], store.get(text("a||2")).await.expect("an answer"), "{name}");
            assert_eq!(found[0].as_ref().and_then(|entry| entry.expires), None, "{name}");
            let expires = found[2].as_ref().and_then(|entry| entry.expires).expect("an end");
            let left = expires.duration_since(SystemTime::now()).expect("it is not over");
            assert!(
                left <= hour + Duration::from_secs(2) && left > hour - Duration::from_secs(60),
                "{name}: {left:?}"
            );
        })
        .await;
    });
}

#[test]
fn times_to_live_are_the_writes_or_the_stores() {
    run(async {
        on_each(async |name, store| {
            let hour = Some(Duration::from_secs(3600));
            let ends = async |store: &Store, ttl| {
                store.write(Write { ttl, ..set("k", "1") }).await.expect("a write");
                entry(store, "k").await.expires.is_some()
            };
            assert!(!ends(&store, None).await, "{name}");
            assert!(ends(&store, hour).await, "{name}");
            assert!(!ends(&store, None).await, "{name}: a write without a time takes it away");
            let hourly = store.clone().with_ttl(hour);
            assert!(ends(&hourly, None).await, "{name}");
            assert!(!ends(&hourly, Some(Duration::MAX)).await, "{name}: for ever is said");
            let soon = Some(Duration::from_millis(1));
            store.write(Write { ttl: soon, ..set("soon", "1") }).await.expect("a write");
            eventually(async || value(&store, "soon").await.is_none().then_some(())).await;
            // What is over is absent, and no version of it counts.
            let done = store.write(Write { condition: Condition::Absent, ..set("soon", "2") }).await;
            assert_eq!(done, Ok(true), "{name}");
        })
        .await;
    });
}

#[test]
fn json_keeps_its_bytes() {
    run(async {
        let values = [
            "\"\"",
            "1",
            "true",
            "null",
            "\"text\"",
            r#"{"a":1,"b":2}"#,
            r#"{ "b" : 2,  "a":1 }"#,
            "1.50",
            "1e2",
            "-0.0",
            "0.1234567890123456789",
            "123456789012345678901234567890",
            r#"{"a":1,"a":2}"#,
            "[1, 2,\n3]",
            r#""\u00e9\/\u0000""#,
            "\"ü😀\"",
            r#"{"long":1,"b":{"z":[],"y":{}}}"#,
            " 1",
            "{broken",
            "\u{feff}1",
        ];
        on_each(async |name, store| {
            for text in values {
                store.write(set("k", text)).await.expect("a write");
                let found = value(&store, "k").await.expect("a value");
                assert_eq!(String::from_utf8(found).as_deref(), Ok(text), "{name}");
                let same = Condition::Value(text.as_bytes().to_vec());
                assert_eq!(store.delete_if("k".to_owned(), same).await, Ok(true), "{name}: {text}");
            }
        })
        .await;
    });
}

#[test]
fn keys_are_told_apart() {
    run(async {
        let keys = [
            "app||k",
            "app||K",
            "app||k ",
            "app||ключ",
            "app||é",
            "app||e\u{301}",
            "a/b/../c",
            "%",
            "_",
            "'\";--",
            "\\",
            "{}",
        ];
        on_each(async |name, store| {
            let writes = keys.iter().map(|key| (text(key), key.as_bytes().to_vec())).collect();
            store.set_many(writes).await.expect("a batch");
            for key in keys {
                assert_eq!(value(&store, key).await.as_deref(), Some(key.as_bytes()), "{name}: {key:?}");
            }
            let found = store.get_many(keys.map(text).to_vec()).await.expect("values");
            assert!(found.iter().all(Option::is_some), "{name}: {found:?}");
            let page =
                store.list(Query { prefix: text("app||"), cursor: None, limit: 100 }).await.expect("a page");
            assert_eq!(page.keys.len(), 6, "{name}: {:?}", page.keys);
        })
        .await;
    });
}

#[test]
fn a_hundred_thousand_keys_are_listed() {
    run(async {
        on_each(async |name, store| {
            // Databases take their time for single statements.
            let count =
                if matches!(name, "memory" | "sqlite" | "redis" | "redis, Dapr's") { 100_000 } else { 2_000 };
            for first in (0..count).step_by(1000) {
                let batch =
                    (first..first + 1000).map(|number| (format!("key{number:06}"), vec![b'1'])).collect();
                store.set_many(batch).await.expect("a batch");
            }
            let (mut cursor, mut found) = (None, std::collections::HashSet::new());
            loop {
                let page =
                    store.list(Query { prefix: text("key"), cursor, limit: 1000 }).await.expect("a page");
                found.extend(page.keys);
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found.len(), count, "{name}");
        })
        .await;
    });
}

#[test]
fn first_write_protects_what_it_has_marked() {
    run(async {
        let Some(redis) = sampan_testing::servers::Redis::start() else { return };
        let store = opened(dapr_backend(&redis.url(), "")).await;
        let marked = Write { first_write: true, condition: Condition::Absent, ..set("k", "1") };
        assert_eq!(store.write(marked.clone()).await, Ok(true));
        assert_eq!(store.write(marked).await, Ok(false), "it is there");
        assert_eq!(store.write(set("k", "2")).await, Ok(false), "it names no version");
        let error = store.set(text("k"), b"2".to_vec()).await.unwrap_err();
        assert!(error.to_string().contains("first-write"), "{error}");
        assert!(store.set_many(vec![(text("k"), vec![])]).await.is_err());
        assert_eq!(store.transact(vec![set("other", "1"), set("k", "2")]).await, Ok(Err(1)));
        let seen = entry(&store, "k").await;
        assert_eq!((seen.value.as_slice(), seen.version.as_deref()), (&b"1"[..], Some("1")));
        let right = Write { condition: seen.unchanged(), ..set("k", "2") };
        assert_eq!(store.write(right).await, Ok(true));
        assert_eq!(store.increment(text("k"), 40).await, Ok(42), "it is one step");
        store.delete(text("k")).await.expect("a deletion is allowed");
        assert_eq!(store.write(set("k", "3")).await, Ok(true), "the mark is gone with the record");
    });
}
