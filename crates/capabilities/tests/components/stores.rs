//! Guests that use key-value stores, Redis and variables, by every version of the interfaces.

use crate::run::{Output, component, run_host};
use sampan_app::{
    App, ConfigValue, Grants, KeyValueBackend, KeyValueStore, Origin, Program, Secret, StoreGrant,
};
use sampan_capabilities::{Backends, GrantError, Prepared};
use sampan_testing::{servers, temp_dir};
use std::collections::BTreeMap;
use std::time::Instant;
use wasmtime::StoreLimits;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

/// What each step must print, and the step, whose words are separated by spaces.
type Table<'a> = &'a [(&'a str, &'a str)];

async fn output(guest: &str, prepared: &Prepared, args: &[&str]) -> Output {
    let mut wasi = WasiCtx::builder();
    let stdout = MemoryOutputPipe::new(1 << 22);
    let args: Vec<&str> = std::iter::once(guest).chain(args.iter().copied()).collect();
    wasi.args(&args).stdout(stdout.clone()).inherit_stderr().allow_blocking_current_thread(true);
    let host = prepared.host(wasi, Box::new(StoreLimits::default())).expect("a host");
    let code = run_host(&component(guest), host).await.expect("no trap");
    Output { stdout: String::from_utf8_lossy(&stdout.contents()).into_owned(), code }
}

async fn check(guest: &str, prepared: &Prepared, first: &[&str], table: Table<'_>) {
    let mut args = first.to_vec();
    for (index, (step, _)) in table.iter().enumerate() {
        if index > 0 {
            args.push("--");
        }
        args.extend(step.split(' '));
    }
    let output = output(guest, prepared, &args).await;
    let lines: Vec<&str> = output.stdout.lines().collect();
    for ((step, expected), line) in table.iter().zip(&lines) {
        assert_eq!(line, expected, "{guest}: {step}");
    }
    assert_eq!((lines.len(), output.code), (table.len(), 0), "{output:?}");
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

fn stores(backends: &[(&str, KeyValueBackend)], lazy: bool) -> App {
    let stores = backends.iter().map(|(name, backend)| {
        ((*name).to_owned(), KeyValueStore { lazy, ..KeyValueStore::new(backend.clone()) })
    });
    App { keyvalue: stores.collect(), ..App::default() }
}

fn granted(names: &[(&str, &str)]) -> Program {
    let grant = |(name, store): &(&str, &str)| StoreGrant { name: (*name).into(), store: (*store).into() };
    let grants = Grants { keyvalue: names.iter().map(grant).collect(), ..Grants::default() };
    Program { grants, ..Program::default() }
}

fn redis_program(host: &str, port: u16) -> Program {
    let rule = Origin {
        scheme: Some("redis".to_owned()),
        host: host.parse().expect("a host"),
        port: port.to_string().parse().expect("a port"),
    };
    let grants = Grants { services: vec![rule], ..Grants::default() };
    Program { grants, ..Program::default() }
}

#[test]
fn every_interface_sees_the_same_data() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        let app = stores(&[("main", KeyValueBackend::sqlite(path))], false);
        let backends = Backends::open(&app).await.expect("stores");
        // The guest's name for it is another one.
        let prepared = Prepared::new(granted(&[("default", "main")]), &backends).expect("granted");
        let others = ["draft", "draft2", "v1", "v2"];
        for writer in others {
            let set = format!("{writer} default set by-{writer} value-of-{writer}");
            let mut table = vec![(set, "set".to_owned())];
            for reader in others {
                table.push((format!("{reader} default get by-{writer}"), format!("value-of-{writer}")));
                table.push((format!("{reader} default exists by-{writer}"), "true".to_owned()));
                table.push((format!("{reader} default exists none"), "false".to_owned()));
            }
            let table: Vec<(&str, &str)> = table.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            check("keyvalue", &prepared, &[], &table).await;
        }
        let all = "by-draft by-draft2 by-v1 by-v2";
        check(
            "keyvalue",
            &prepared,
            &[],
            &[
                ("draft default get none", "-"),
                ("draft2 default get none", "-"),
                ("v1 default get none", "Error::NoSuchKey"),
                ("v2 default get none", "-"),
                ("draft default list", "4 keys, a page"),
                ("draft2 default list", all),
                ("v1 default list", all),
                ("v2 default list", all),
                ("draft default delete by-v2", "deleted"),
                ("v2 default delete by-draft", "deleted"),
                ("draft2 default delete by-v1", "deleted"),
                ("v1 default delete by-draft2", "deleted"),
                ("v1 default delete none", "deleted"),
                ("draft2 default list", ""),
            ],
        )
        .await;
        let at_once: Vec<String> = (0..200).map(|number| format!("at-once-{number:03}")).collect();
        let at_once = at_once.join(" ");
        check(
            "spin-async",
            &prepared,
            &[],
            &[
                ("store default set k ü", "set"),
                ("store default get k", "ü"),
                ("store default exists k", "true"),
                ("store default delete k", "deleted"),
                ("store default get k", "-"),
                ("store default end-first", ""),
                ("store default at-once 200", "200 of 200"),
                ("store default end-alone", "ended"),
                ("store default end-first", at_once.as_str()),
            ],
        )
        .await;
        check("keyvalue", &prepared, &[], &[("draft default list", "200 keys, a page")]).await;
    });
}

#[test]
fn batches_counters_swaps_and_pages() {
    run(async {
        let app = stores(&[("default", KeyValueBackend::Memory)], false);
        let backends = Backends::open(&app).await.expect("stores");
        let prepared = Prepared::new(granted(&[("default", "default")]), &backends).expect("granted");
        check(
            "keyvalue",
            &prepared,
            &[],
            &[
                ("draft default set-many a=1 b=2", "set"),
                ("draft2 default set-many c=3 d=4", "set"),
                ("draft default get-many b none a", "b=2 - a=1"),
                ("draft2 default get-many b none a", "b=2 none=- a=1"),
                ("draft default delete-many a none", "deleted"),
                ("draft2 default delete-many b c", "deleted"),
                ("draft2 default list", "d"),
                ("draft default increment n 5", "5"),
                ("draft2 default increment n -7", "-2"),
                ("draft default increment n 1", "Error::Other(\"the sum is negative\")"),
                (
                    "draft default increment n 9223372036854775808",
                    "Error::Other(\"the delta does not fit into a 64-bit integer\")",
                ),
                ("draft2 default set word abc", "set"),
                ("draft2 default increment word 1", "Error::Other(\"the value is not a 64-bit integer\")"),
                ("draft2 default swap new 1", "- became 1"),
                ("draft2 default swap new 2", "1 became 2"),
                ("draft2 default swap new 4 3", "2, no: 3 became 4"),
                ("draft2 default get new", "4"),
            ],
        )
        .await;
        let entries: Vec<String> = (0..600).map(|number| format!("key{number:03}=x")).collect();
        let fill = format!("draft default set-many {}", entries.join(" "));
        check(
            "keyvalue",
            &prepared,
            &[],
            &[
                (fill.as_str(), "set"),
                ("draft default list", "604 keys, pages"),
                // A number from another request goes on where it stands for.
                ("draft default list-at 250", "250 keys, then Some(500)"),
                ("draft default list-at 500", "104 keys, then None"),
                ("draft default list-at 10000", "0 keys, then None"),
            ],
        )
        .await;
    });
}

#[test]
fn nothing_is_opened_without_a_grant() {
    run(async {
        let app = stores(&[("default", KeyValueBackend::Memory), ("other", KeyValueBackend::Memory)], false);
        let backends = Backends::open(&app).await.expect("stores");
        let prepared = Prepared::new(granted(&[("default", "default")]), &backends).expect("granted");
        for store in ["other", "nonsense", "Default", "default "] {
            let mut table = Vec::new();
            for interface in ["draft", "draft2", "v1", "v2"] {
                table.push([interface, store, "open"]);
            }
            for [interface, store, call] in table {
                let output = output("keyvalue", &prepared, &[interface, store, call]).await;
                assert_eq!(output.stdout, "Error::AccessDenied\n", "{interface} {store}");
            }
            let output = output("spin-async", &prepared, &["store", store, "open"]).await;
            assert_eq!(output.stdout, "Error::AccessDenied\n", "{store}");
        }
        let error = Prepared::new(granted(&[("x", "missing")]), &backends).err().expect("no such store");
        assert!(error.what.contains("`missing`"), "{}", error.what);
        assert!(error.help.as_ref().is_some_and(|help| help.contains("[keyvalue.missing]")));
    });
}

#[test]
fn handles_are_limited_and_checked() {
    run(async {
        let app = stores(&[("default", KeyValueBackend::Memory)], false);
        let backends = Backends::open(&app).await.expect("stores");
        let prepared = Prepared::new(granted(&[("default", "default")]), &backends).expect("granted");
        let large = (32 << 20) + 1;
        check(
            "keyvalue",
            &prepared,
            &[],
            &[
                ("v1 default forged", "Error::InvalidStore"),
                ("v1 default closed", "Error::InvalidStore"),
                ("draft2 default open-many", "256 and Error::Other(\"too many open stores and swaps\")"),
                // Those of the step before were closed.
                ("draft2 default open", "open"),
                (
                    &format!("v2 default set-large k {large}"),
                    "Error::Other(\"a value of 33554433 bytes is larger than 33554432 bytes\")",
                ),
            ],
        )
        .await;
        let output = output("keyvalue", &prepared, &["v1", "default", "open-many"]).await;
        assert_eq!(output.stdout, "Error::StoreTableFull\n256\n");
    });
}

#[test]
fn a_store_that_is_down_is_an_error_and_no_trap() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let url = Secret::new(server.url());
        let app = stores(&[("default", KeyValueBackend::redis(url, "p:"))], false);
        let backends = Backends::open(&app).await.expect("stores");
        let prepared = Prepared::new(granted(&[("default", "default")]), &backends).expect("granted");
        check(
            "keyvalue",
            &prepared,
            &[],
            &[
                ("draft2 default swap new 1", "- became 1"),
                ("draft2 default swap new 4 3", "1, no: 3 became 4"),
                ("draft default increment n 5", "5"),
                ("draft default get-many new none", "new=4 -"),
                ("v1 default list", "n new"),
            ],
        )
        .await;
        server.kill();
        for interface in ["draft", "draft2", "v1", "v2"] {
            let output = output("keyvalue", &prepared, &[interface, "default", "get", "k"]).await;
            assert!(output.stdout.contains("the store is not available: "), "{interface}: {output:?}");
        }
        let down = output("spin-async", &prepared, &["store", "default", "list"]).await;
        assert!(down.stdout.contains("the store is not available: "), "{down:?}");
        let down = output("spin-async", &prepared, &["store", "default", "end-alone"]).await;
        assert!(down.stdout.contains("the store is not available: "), "{down:?}");
        let error = Backends::open(&app).await.err().expect("the server is down");
        assert!(error.what.starts_with("the key-value store `default` cannot be opened"), "{}", error.what);
        server.restart();
        let deadline = Instant::now() + sampan_testing::PATIENCE;
        let mut answer = String::new();
        while answer != "-\n" {
            // The next attempt is made a moment after the last one.
            assert!(answer.is_empty() || answer.contains("not available"), "{answer}");
            assert!(Instant::now() < deadline, "it does not come back: {answer}");
            answer = output("keyvalue", &prepared, &["v2", "default", "get", "k"]).await.stdout;
        }
    });
}

#[test]
fn redis_by_every_interface() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let url = server.url();
        let backends = Backends::open(&App::default()).await.expect("nothing to open");
        let prepared = Prepared::new(redis_program("127.0.0.1", server.port), &backends).expect("granted");
        check(
            "redis",
            &prepared,
            &[&url],
            &[
                ("v1 get k", ""),
                ("v2 get k", "-"),
                ("v1 set k a", "set"),
                ("v2 get k", "a"),
                ("v2 set k b", "set"),
                ("v1 get k", "b"),
                ("v1 incr n", "1"),
                ("v2 incr n", "2"),
                ("v1 incr k", "error"),
                ("v2 incr k", "Error::TypeError"),
                ("v1 sadd s x y", "2"),
                ("v2 sadd s y z", "1"),
                ("v1 smembers s", "x y z"),
                ("v2 smembers s", "x y z"),
                ("v1 srem s x", "1"),
                ("v2 srem s x y", "1"),
                ("v1 del k none", "1"),
                ("v2 del n s", "2"),
                ("v1 publish news hello", "published"),
                ("v2 publish news hello", "published"),
                ("v1 execute SET k 5", "status OK"),
                ("v1 execute MGET k none", "binary 5, nil"),
                ("v1 execute EXISTS k", "int 1"),
                ("v1 execute PING", "status PONG"),
                ("v2 execute PING", "1 replies"),
                ("v2 execute CLIENT KILL TYPE normal SKIPME no", "1 replies"),
                ("v2 get k", "5"),
                ("v2 open-many", "32 and Error::TooManyConnections"),
            ],
        )
        .await;
        let steps = [
            ("set k a", "set"),
            ("get k", "a"),
            ("get none", "-"),
            ("incr n", "1"),
            ("incr k", "Error::TypeError"),
            ("sadd s x y", "2"),
            ("smembers s", "x y"),
            ("srem s x", "1"),
            ("del k n s", "3"),
            ("publish news hello", "published"),
            ("execute PING", "status PONG"),
            ("execute LRANGE none 0 5", ""),
        ];
        let table: Vec<(String, &str)> =
            steps.iter().map(|(step, expected)| (format!("redis {url} {step}"), *expected)).collect();
        let table: Vec<(&str, &str)> =
            table.iter().map(|(step, expected)| (step.as_str(), *expected)).collect();
        check("spin-async", &prepared, &[], &table).await;
    });
}

#[test]
fn redis_is_refused_without_a_grant() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let url = server.url();
        let backends = Backends::open(&App::default()).await.expect("nothing to open");
        let port = server.port;
        for program in [Program::default(), redis_program("db.example.com", port), redis_program("*", port)] {
            let prepared = Prepared::new(program, &backends).expect("granted");
            let refused = [("v1 get k", "error"), ("v2 open", "Error::InvalidAddress")];
            check("redis", &prepared, &[&url], &refused).await;
            let step = format!("redis {url} open");
            check("spin-async", &prepared, &[], &[(&step, "Error::InvalidAddress")]).await;
        }
    });
}

fn configured() -> Program {
    let value = |name: &str, value: &str, secret| ConfigValue {
        name: name.to_owned(),
        value: Secret::new(value),
        secret,
    };
    let config = vec![value("colour", "red", false), value("api_token", "hunter2", true)];
    Program { grants: Grants { config, ..Grants::default() }, ..Program::default() }
}

#[test]
fn variables_by_every_interface() {
    run(async {
        let prepared = Prepared::new(configured(), &Backends::default()).expect("granted");
        let all = "Ok([(\"colour\", \"red\"), (\"api_token\", \"hunter2\")])";
        let undefined = "the component has no variable `size`";
        let invalid = "`Bad-Name` is no name of a variable: it has lower-case letters, digits and single \
                       underscores, and begins with a letter";
        let table: BTreeMap<&str, String> = BTreeMap::from([
            ("draft:colour", "Ok(Some(\"red\"))".to_owned()),
            ("rc1:api_token", "Ok(Some(\"hunter2\"))".to_owned()),
            ("v1:api_token", "Ok(\"hunter2\")".to_owned()),
            ("v2:colour", "Ok(\"red\")".to_owned()),
            ("draft:size", "Ok(None)".to_owned()),
            ("rc1:Bad-Name", "Ok(None)".to_owned()),
            ("draft:*", all.to_owned()),
            ("rc1:*", all.to_owned()),
            ("v1:size", format!("Err(Error::Provider({undefined:?}))")),
            ("v1:Bad-Name", format!("Err(Error::InvalidKey({invalid:?}))")),
            ("v2:size", format!("Err(Error::Undefined({undefined:?}))")),
            ("v2:Bad-Name", format!("Err(Error::InvalidName({invalid:?}))")),
        ]);
        let questions: Vec<&str> = table.keys().copied().collect();
        let output = output("config", &prepared, &questions).await;
        for ((question, expected), line) in table.iter().zip(output.stdout.lines()) {
            assert_eq!(line, expected, "{question}");
        }
        assert_eq!(output.stdout.lines().count(), table.len());
        check(
            "spin-async",
            &prepared,
            &[],
            &[
                ("variable api_token", "hunter2"),
                ("variable size", &format!("Error::Undefined({undefined:?})")),
                ("variable Bad-Name", &format!("Error::InvalidName({invalid:?})")),
            ],
        )
        .await;
    });
}

#[test]
fn lazy_stores_wait_for_their_first_use() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("file/state.sqlite");
        std::fs::write(folder.path().join("file"), "").expect("a file in the way");
        let backends = [("default", KeyValueBackend::sqlite(path))];
        let error: GrantError =
            Backends::open(&stores(&backends, false)).await.err().expect("it cannot be made");
        assert!(error.what.contains("cannot create the folder"), "{}", error.what);
        let opened = Backends::open(&stores(&backends, true)).await.expect("nothing is opened yet");
        let prepared = Prepared::new(granted(&[("default", "default")]), &opened).expect("granted");
        let down = output("keyvalue", &prepared, &["draft2", "default", "get", "k"]).await;
        assert!(down.stdout.contains("the store is not available: "), "{down:?}");
        std::fs::remove_file(folder.path().join("file")).expect("the file is removed");
        check("keyvalue", &prepared, &[], &[("draft2 default get k", "-")]).await;
    });
}

#[test]
fn a_changed_app_keeps_the_stores_that_did_not_change() {
    run(async {
        let folder = temp_dir();
        let sqlite = |name| KeyValueBackend::sqlite(folder.path().join(name));
        let first = stores(&[("memory", KeyValueBackend::Memory), ("file", sqlite("a"))], false);
        let second = stores(&[("memory", KeyValueBackend::Memory), ("file", sqlite("b"))], false);
        let before = Backends::open(&first).await.expect("stores");
        let both = || granted(&[("memory", "memory"), ("file", "file")]);
        let prepared = Prepared::new(both(), &before).expect("granted");
        let steps = [("v2 memory set k 1", "set"), ("v2 file set k 1", "set")];
        check("keyvalue", &prepared, &[], &steps).await;
        let after = before.reopen(&second).await.expect("stores");
        let prepared = Prepared::new(both(), &after).expect("granted");
        let steps = [("v2 memory get k", "1"), ("v2 file get k", "-")];
        check("keyvalue", &prepared, &[], &steps).await;
    });
}
