//! One suite on every configuration store, and what is special about each.

use crate::with::{eventually, properties, redis, redis_host, run, soon, texts};
use sampan_capabilities::configuration::component::{describe, open};
use sampan_capabilities::configuration::{
    Configuration, ConfigurationError, Item, KEY_BYTES_MAX, KEYS_MAX, Memory, WATCHES_MAX, Watch,
};
use sampan_testing::servers;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A store, and how another program changes it.
struct Store {
    name: &'static str,
    configuration: Configuration,
    writer: Writer,
}

enum Writer {
    Memory(Memory),
    File {
        path: PathBuf,
        items: RefCell<serde_json::Map<String, serde_json::Value>>,
        _folder: tempfile::TempDir,
    },
    Redis(redis::aio::MultiplexedConnection),
}

impl Store {
    async fn set(&self, key: &str, value: &str, version: &str) {
        match &self.writer {
            Writer::Memory(memory) => memory.set(key, item(value, version)).expect("room"),
            Writer::File { path, items, .. } => {
                let item = serde_json::json!({ "value": value, "version": version });
                items.borrow_mut().insert(key.to_owned(), item);
                write(path, &serde_json::to_string(&*items.borrow()).expect("JSON"));
            }
            Writer::Redis(connection) => {
                let mut command = redis::cmd("SET");
                command.arg(key).arg(format!("{value}||{version}"));
                command.query_async::<()>(&mut connection.clone()).await.expect("a write");
            }
        }
    }

    async fn delete(&self, key: &str) {
        match &self.writer {
            Writer::Memory(memory) => memory.delete(key),
            Writer::File { path, items, .. } => {
                items.borrow_mut().remove(key);
                write(path, &serde_json::to_string(&*items.borrow()).expect("JSON"));
            }
            Writer::Redis(connection) => {
                let mut command = redis::cmd("DEL");
                command.arg(key).query_async::<()>(&mut connection.clone()).await.expect("a deletion");
            }
        }
    }

    async fn watch(&self, keys: &[&str]) -> Watch {
        soon(self.configuration.watch(names(keys))).await.expect("a watch")
    }

    async fn get(&self, keys: &[&str]) -> BTreeMap<String, Item> {
        self.configuration.get(&names(keys)).await.expect("items")
    }
}

/// As editors and the kubelet do: the new file takes the place of the old one.
fn write(path: &PathBuf, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a file in our own folder");
    std::fs::rename(new, path).expect("a file in our own folder");
}

fn item(value: &str, version: &str) -> Item {
    Item { value: value.to_owned(), version: version.to_owned(), metadata: BTreeMap::new() }
}

fn items(list: &[(&str, &str, &str)]) -> BTreeMap<String, Item> {
    list.iter().map(|(key, value, version)| ((*key).to_owned(), item(value, version))).collect()
}

fn names(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

async fn opened(kind: &str, values: &[(&str, &str)]) -> Configuration {
    let description = describe(kind, &properties(values)).expect("metadata").expect("a configuration store");
    open("test", &description).await.unwrap_or_else(|error| panic!("{}", error.what))
}

async fn memory_store() -> Store {
    let (configuration, memory) = Configuration::in_memory();
    Store { name: "memory", configuration, writer: Writer::Memory(memory) }
}

async fn file_store() -> Store {
    let folder = sampan_testing::temp_dir();
    let path = folder.path().join("items.json");
    write(&path, "{}");
    let configuration =
        opened("configuration.file", &[("path", path.to_str().expect("a path in UTF-8"))]).await;
    Store {
        name: "file",
        configuration,
        writer: Writer::File { path, items: RefCell::default(), _folder: folder },
    }
}

async fn redis_store(server: &servers::Redis) -> Store {
    let configuration = opened("configuration.redis", &[("redisHost", &redis_host(server))]).await;
    Store { name: "redis", configuration, writer: Writer::Redis(redis(server).await) }
}

/// Runs a test on every store.
fn each(test: impl AsyncFn(Store)) {
    run(async {
        test(memory_store().await).await;
        test(file_store().await).await;
        let Some(server) = servers::Redis::start() else { return };
        test(redis_store(&server).await).await;
    });
}

/// Waits for changes until all of these have come.
async fn expect(name: &str, watch: &mut Watch, expected: &[(&str, &str, &str)]) {
    let expected = items(expected);
    let mut seen = BTreeMap::new();
    while seen != expected {
        let changed = soon(watch.next()).await;
        assert!(!changed.is_empty(), "{name}");
        for key in changed.keys() {
            assert!(expected.contains_key(key), "{name}: {key} was not to change; {changed:?}");
        }
        seen.extend(changed);
    }
}

#[test]
fn items_are_read_by_key_or_all() {
    each(async |store| {
        let name = store.name;
        assert_eq!(store.get(&[]).await, items(&[]), "{name}: empty");
        store.set("a", "1", "v1").await;
        store.set("b", "zwei ü", "").await;
        store.set("none", "", "v1").await;
        let both = items(&[("a", "1", "v1"), ("b", "zwei ü", "")]);
        assert_eq!(store.get(&[]).await, both, "{name}: an item without a value is none");
        assert_eq!(store.get(&["a"]).await, items(&[("a", "1", "v1")]), "{name}");
        assert_eq!(store.get(&["a", "absent", "a", "b", "none"]).await, both, "{name}");
        assert_eq!(store.get(&["absent"]).await, items(&[]), "{name}");
        store.delete("a").await;
        assert_eq!(store.get(&["a"]).await, items(&[]), "{name}");
    });
}

/// Dapr's conformance case: three subscribers, an update, a deletion, and one who leaves.
#[test]
fn three_watches_see_what_is_theirs() {
    each(async |store| {
        let name = store.name;
        store.set("a", "1", "v1").await;
        store.set("b", "1", "v1").await;
        let mut one = store.watch(&["a"]).await;
        let mut two = store.watch(&["b", "c"]).await;
        let mut all = store.watch(&[]).await;

        store.set("a", "2", "v2").await;
        expect(name, &mut one, &[("a", "2", "v2")]).await;
        expect(name, &mut all, &[("a", "2", "v2")]).await;

        store.set("c", "new", "v1").await;
        store.delete("b").await;
        expect(name, &mut two, &[("c", "new", "v1"), ("b", "", "")]).await;
        expect(name, &mut all, &[("c", "new", "v1"), ("b", "", "")]).await;

        drop(all);
        store.set("a", "3", "v3").await;
        expect(name, &mut one, &[("a", "3", "v3")]).await;
        store.set("c", "newer", "v2").await;
        expect(name, &mut two, &[("c", "newer", "v2")]).await;
    });
}

#[test]
fn a_slow_reader_gets_the_newest_and_nothing_twice() {
    each(async |store| {
        let name = store.name;
        let mut watch = store.watch(&["a", "end"]).await;
        for number in 0..200 {
            store.set("a", &number.to_string(), "v").await;
        }
        store.set("end", "1", "v").await;
        let mut seen = Vec::new();
        loop {
            let changed = soon(watch.next()).await;
            seen.extend(changed.get("a").map(|item| item.value.parse::<u32>().expect("a number")));
            if changed.contains_key("end") {
                break;
            }
        }
        assert_eq!(seen.last(), Some(&199), "{name}");
        assert!(seen.is_sorted_by(|a, b| a < b), "{name}: {seen:?}");
    });
}

#[test]
fn a_future_that_is_dropped_loses_no_change() {
    each(async |store| {
        let name = store.name;
        let mut watch = store.watch(&["a", "b"]).await;
        store.set("a", "1", "v").await;
        for _ in 0..20 {
            let polled = tokio::time::timeout(std::time::Duration::from_micros(50), watch.next()).await;
            if let Ok(changed) = polled {
                assert_eq!(changed, items(&[("a", "1", "v")]), "{name}");
                return;
            }
        }
        expect(name, &mut watch, &[("a", "1", "v")]).await;
    });
}

#[test]
fn limits_hold() {
    each(async |store| {
        let name = store.name;
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        let too_large = |what, max| ConfigurationError::TooLarge { what, max };
        assert_eq!(
            store.configuration.get(&names(&[&long])).await,
            Err(too_large("a key", KEY_BYTES_MAX)),
            "{name}"
        );
        let many = vec!["k".to_owned(); KEYS_MAX + 1];
        let error = store.configuration.watch(many).await.err();
        assert_eq!(error, Some(too_large("the list of keys", KEYS_MAX)));
    });
    run(async {
        let store = memory_store().await;
        let mut watches = Vec::new();
        for _ in 0..WATCHES_MAX {
            watches.push(store.watch(&["a"]).await);
        }
        let error = store.configuration.watch(names(&["a"])).await.err();
        assert_eq!(error, Some(ConfigurationError::TooManyWatches));
        watches.pop();
        store.watch(&["a"]).await;
    });
}

#[test]
fn watches_go_on_when_redis_comes_back() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let store = redis_store(&server).await;
        store.set("a", "1", "v1").await;
        store.set("lost", "1", "v1").await;
        let mut watch = store.watch(&["a", "lost", "b"]).await;
        let mut all = store.watch(&[]).await;
        server.kill();
        let error = eventually(async || store.configuration.get(&names(&["a"])).await.err()).await;
        assert!(matches!(error, ConfigurationError::Unavailable(_)), "{error:?}");
        assert!(store.configuration.watch(names(&["a"])).await.is_err());
        // It comes back empty, and is changed before anybody listens again.
        server.restart();
        let after = Store { writer: Writer::Redis(redis(&server).await), ..store };
        after.set("a", "2", "v2").await;
        for watch in [&mut watch, &mut all] {
            let mut changed = BTreeMap::new();
            while changed != items(&[("a", "2", "v2"), ("lost", "", "")]) {
                // The deletion may be seen before the new value.
                changed.extend(soon(watch.next()).await);
            }
        }
        after.set("b", "3", "v3").await;
        expect("redis", &mut watch, &[("b", "3", "v3")]).await;
        expect("redis", &mut all, &[("b", "3", "v3")]).await;
    });
}

#[test]
fn redis_keeps_notifications_of_others_and_reads_only_strings() {
    run(async {
        let Some(server) = servers::Redis::start_with(&["--notify-keyspace-events", "El"]) else { return };
        let store = redis_store(&server).await;
        let mut other = redis(&server).await;
        redis::cmd("RPUSH").arg("list").arg("x").query_async::<()>(&mut other).await.expect("a list");
        redis::cmd("SET")
            .arg("three")
            .arg("v||1||more")
            .query_async::<()>(&mut other)
            .await
            .expect("a string");
        redis::cmd("SET").arg("bare").arg("v").query_async::<()>(&mut other).await.expect("a string");
        let expected = items(&[("three", "v", "1"), ("bare", "v", "")]);
        assert_eq!(store.get(&[]).await, expected);
        assert_eq!(store.get(&["list", "three", "bare"]).await, expected);
        let mut watch = store.watch(&[]).await;
        let mut expiring = redis::cmd("SET");
        expiring
            .arg("short")
            .arg("v||1")
            .arg("PX")
            .arg(50)
            .query_async::<()>(&mut other)
            .await
            .expect("a string");
        expect("redis", &mut watch, &[("short", "v", "1")]).await;
        expect("redis", &mut watch, &[("short", "", "")]).await;
        let events: BTreeMap<String, String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("notify-keyspace-events")
            .query_async(&mut other)
            .await
            .expect("events");
        let events = &events["notify-keyspace-events"];
        for event in ['E', 'l', 'K', 'g', '$', 'x', 'e'] {
            assert!(events.contains(event), "{event} in {events}");
        }
    });
}

#[test]
fn a_dropped_watch_closes_its_connection() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let store = redis_store(&server).await;
        let clients = async || {
            let mut command = redis::cmd("CLIENT");
            command.arg("LIST").arg("TYPE").arg("pubsub");
            let list: String = command.query_async(&mut redis(&server).await).await.expect("a list");
            list.lines().filter(|line| line.contains("id=")).count()
        };
        let watches = [store.watch(&["a"]).await, store.watch(&[]).await];
        eventually(async || (clients().await == 2).then_some(())).await;
        drop(watches);
        eventually(async || (clients().await == 0).then_some(())).await;
    });
}

#[test]
fn keys_of_another_database_are_not_seen() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let values = [("redisHost", &*redis_host(&server)), ("redisDB", "3")];
        let configuration = opened("configuration.redis", &values).await;
        let mut watch = configuration.watch(vec![]).await.expect("a watch");
        let mut other = redis(&server).await;
        redis::cmd("SET").arg("a").arg("elsewhere||1").query_async::<()>(&mut other).await.expect("a write");
        redis::cmd("SELECT").arg(3).query_async::<()>(&mut other).await.expect("another database");
        redis::cmd("SET").arg("b").arg("here||1").query_async::<()>(&mut other).await.expect("a write");
        expect("redis", &mut watch, &[("b", "here", "1")]).await;
    });
}

#[test]
fn a_file_has_items_in_several_forms() {
    run(async {
        let store = file_store().await;
        let Writer::File { path, .. } = &store.writer else { unreachable!("it is a file") };
        let text = r#"{"a": "x", "n": 1.5, "t": true,
            "full": {"value": "v", "version": 7, "metadata": {"by": "ann", "size": 2}}}"#;
        write(path, text);
        let mut expected = items(&[("a", "x", ""), ("n", "1.5", ""), ("t", "true", ""), ("full", "v", "7")]);
        expected.get_mut("full").expect("an item").metadata = texts(&[("by", "ann"), ("size", "2")]);
        assert_eq!(store.get(&[]).await, expected);

        let mut watch = store.watch(&["a"]).await;
        let table = [
            (r#"{"a": ["x"]}"#, "the item `a` is neither"),
            (r#"{"a": null}"#, "the item `a` is neither"),
            (r#"{"a": {"version": "1"}}"#, "the item `a` is neither"),
            (r#"{"a": {"value": "1", "more": "1"}}"#, "the item `a` is neither"),
            ("[]", "is no JSON object of items"),
            (r#"{"a": "#, "is no JSON object of items"),
        ];
        for (text, expected) in table {
            write(path, text);
            let error = store.configuration.get(&[]).await.expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains("items.json"), "{text}: {error}");
        }
        // Whoever watches does not see what was wrong meanwhile.
        write(path, r#"{"a": "right again"}"#);
        expect("file", &mut watch, &[("a", "right again", "")]).await;
        std::fs::remove_file(path).expect("our own file");
        assert!(matches!(store.configuration.get(&[]).await, Err(ConfigurationError::Unavailable(_))));
        write(path, r#"{"a": "back"}"#);
        expect("file", &mut watch, &[("a", "back", "")]).await;
    });
}

#[test]
fn metadata_are_read_and_their_faults_said() {
    run(async {
        assert_eq!(describe("configuration.azure.appconfig", &properties(&[])), Ok(None));
        for (kind, name) in [("configuration.redis", "redisHost"), ("configuration.file", "path")] {
            assert_eq!(describe(kind, &properties(&[])).expect_err(kind).name, name);
        }
        let port = sampan_testing::free_port().to_string();
        let values = [("redisHost", "127.0.0.1"), ("redisPort", &*port), ("redisPassword", "hunter2")];
        for (kind, values) in
            [("configuration.redis", &values[..]), ("configuration.file", &[("path", "/no/such")])]
        {
            let description = describe(kind, &properties(values)).expect("metadata").expect("a store");
            let error = open("mine", &description).await.err().expect(kind);
            assert!(error.what.contains("the configuration store `mine` cannot be opened"), "{}", error.what);
            assert!(error.help.is_some() && !format!("{error:?}").contains("hunter2"));
        }
    });
}
