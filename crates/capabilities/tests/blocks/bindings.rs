//! Bindings of Redis and of a schedule, and what every component file gets wrong.

use crate::with::{Pairs, binding, eventually, invoke, output, properties, redis, redis_host, run, soon};
use sampan_capabilities::bindings::component::{Binding, BindingDescription, describe, open};
use sampan_capabilities::bindings::{BindingError, DATA_BYTES_MAX};
use sampan_testing::servers;

#[test]
fn redis_creates_gets_increments_and_deletes() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let redis_binding = output("bindings.redis", &[("redisHost", &redis_host(&server))]).await;
        let mut other = redis(&server).await;
        assert_eq!(redis_binding.operations(), ["create", "delete", "get", "increment"]);
        let key = [("key", "k")];
        let bytes = b"{\"a\": 1.50}\0\xff";
        let done = invoke(&redis_binding, "create", bytes, &key).await.expect("a write");
        assert_eq!((done.data, done.metadata.len()), (None, 0));
        let stored: Vec<u8> = redis::cmd("GET").arg("k").query_async(&mut other).await.expect("a value");
        assert_eq!(stored, bytes, "the exact bytes");
        let got = invoke(&redis_binding, "get", b"", &key).await.expect("a value");
        assert_eq!(got.data.as_deref(), Some(&bytes[..]));
        invoke(&redis_binding, "delete", b"", &key).await.expect("a deletion");
        invoke(&redis_binding, "delete", b"", &key).await.expect("a deletion of nothing");
        assert_eq!(invoke(&redis_binding, "get", b"", &key).await.expect("an answer").data, None);

        for _ in 0..3 {
            invoke(&redis_binding, "increment", b"", &[("key", "n")]).await.expect("a sum");
        }
        let taken = invoke(&redis_binding, "get", b"", &[("key", "n"), ("delete", "true")]).await;
        assert_eq!(taken.expect("a value").data.as_deref(), Some(&b"3"[..]));
        assert_eq!(invoke(&redis_binding, "get", b"", &[("key", "n")]).await.expect("an answer").data, None);

        for operation in ["create", "increment"] {
            let metadata = [("key", "ttl"), ("ttlInSeconds", "100")];
            invoke(&redis_binding, operation, b"1", &metadata).await.expect("a write");
            let left: i64 = redis::cmd("TTL").arg("ttl").query_async(&mut other).await.expect("a time");
            assert!((1..=100).contains(&left), "{operation}: {left}");
            redis::cmd("PERSIST").arg("ttl").query_async::<()>(&mut other).await.expect("no time");
        }
    });
}

#[test]
fn redis_says_what_is_wrong() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let redis_binding = output("bindings.redis", &[("redisHost", &redis_host(&server))]).await;
        let table: [(&str, Pairs, &str); 6] = [
            ("create", &[], "redis binding: missing key in request metadata"),
            ("get", &[("key", "")], "redis binding: missing key in request metadata"),
            (
                "list",
                &[("key", "k")],
                "invalid operation: list; this binding has create, delete, get, increment",
            ),
            (
                "create",
                &[("key", "k"), ("ttlInSeconds", "x")],
                "ttlInSeconds value must be a valid integer: actual is 'x'",
            ),
            (
                "create",
                &[("key", "k"), ("ttlInSeconds", "0")],
                "ttlInSeconds value must be higher than zero: actual is '0'",
            ),
            ("increment", &[("key", "text")], "not an integer"),
        ];
        invoke(&redis_binding, "create", b"text", &[("key", "text")]).await.expect("a write");
        for (operation, metadata, expected) in table {
            let error = invoke(&redis_binding, operation, b"", metadata).await.expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let large = vec![0; DATA_BYTES_MAX + 1];
        let error = invoke(&redis_binding, "create", &large, &[("key", "k")]).await.expect_err("too much");
        assert_eq!(error, BindingError::TooLarge { what: "the data", max: DATA_BYTES_MAX });
        server.kill();
        let failing = async || invoke(&redis_binding, "get", b"", &[("key", "k")]).await.err();
        let error = eventually(failing).await;
        assert!(matches!(error, BindingError::Unavailable(_)), "{error:?}");
        server.restart();
        eventually(async || invoke(&redis_binding, "get", b"", &[("key", "k")]).await.ok()).await;
    });
}

#[test]
fn a_schedule_ticks() {
    run(async {
        let Binding::Input(mut input) = binding("bindings.cron", &[("schedule", "@every 1s")]).await else {
            panic!("a schedule brings events")
        };
        let event = soon(input.next()).await.expect("a tick");
        assert!(event.data.is_empty());
        assert_eq!(event.metadata["timeZone"], "Local");
        assert!(event.metadata["readTimeUTC"].ends_with(" +0000 UTC"), "{:?}", event.metadata);
    });
}

#[test]
fn metadata_are_read_and_their_faults_said() {
    let cases: [(&str, Pairs, &str); 19] = [
        ("bindings.cron", &[], "schedule"),
        ("bindings.cron", &[("schedule", "* * *")], "schedule"),
        ("bindings.http", &[], "url"),
        ("bindings.http", &[("url", "localhost:80")], "url"),
        ("bindings.http", &[("url", "ftp://h/")], "url"),
        ("bindings.http", &[("url", "http://user:hunter2@h/")], "url"),
        ("bindings.http", &[("url", "http://*.example.com/")], "url"),
        ("bindings.http", &[("url", "http://h/"), ("MTLSRootCA", "hunter2")], "MTLSRootCA"),
        ("bindings.http", &[("url", "http://h/"), ("errorIfNot2XX", "perhaps")], "errorIfNot2XX"),
        ("bindings.http", &[("url", "http://h/"), ("responseTimeout", "soon")], "responseTimeout"),
        ("bindings.http", &[("url", "http://h/"), ("maxResponseBodySize", "much")], "maxResponseBodySize"),
        ("bindings.http", &[("url", "http://h/"), ("maxResponseBodySize", "2Gi")], "maxResponseBodySize"),
        (
            "bindings.http",
            &[("url", "http://h/"), ("securityToken", "hunter2"), ("securityTokenHeader", "a b")],
            "securityTokenHeader",
        ),
        ("bindings.redis", &[], "redisHost"),
        ("bindings.postgresql", &[], "connectionString"),
        ("bindings.postgresql", &[("connectionString", "x"), ("timeout", "1ms")], "timeout"),
        ("bindings.postgres", &[("connectionString", "x"), ("maxConns", "5000")], "maxConns"),
        ("bindings.postgres", &[("connectionString", "x"), ("useAzureAD", "true")], "useAzureAD"),
        ("bindings.localstorage", &[], "rootPath"),
    ];
    for (kind, values, name) in cases {
        let error = describe(kind, &properties(values)).expect_err(name);
        assert_eq!(error.name, name, "{kind} {values:?}: {error}");
        assert!(!error.help.is_empty() && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(describe("bindings.kafka", &properties(&[])), Ok(None));
    for (size, bytes) in [("10", 10), ("1Ki", 1024), ("2k", 2000), ("0", 1 << 30), ("-1", 1 << 30)] {
        let described =
            describe("bindings.http", &properties(&[("url", "http://h"), ("maxResponseBodySize", size)]));
        let Ok(Some(BindingDescription::Http(http))) = described else { panic!("{size}") };
        assert_eq!(http.response_bytes_max, bytes, "{size}");
    }
}

#[test]
fn a_binding_that_cannot_be_opened_says_so_without_secrets() {
    run(async {
        let port = sampan_testing::free_port();
        let postgres = format!("postgres://ann:hunter2@127.0.0.1:{port}/db");
        let host = format!("127.0.0.1:{port}");
        let table: [(&str, Pairs, &str); 5] = [
            (
                "bindings.redis",
                &[("redisHost", &host), ("redisPassword", "hunter2")],
                "cannot reach redis://127.0.0.1",
            ),
            (
                "bindings.postgresql",
                &[("connectionString", &postgres)],
                "cannot connect to postgres://127.0.0.1",
            ),
            ("bindings.postgresql", &[("connectionString", "hunter2")], "the address is not postgres://"),
            ("bindings.localstorage", &[("rootPath", "/proc/self")], "disallowed location"),
            ("bindings.localstorage", &[("rootPath", "/dev/null/x")], "cannot open the folder"),
        ];
        for (kind, values, expected) in table {
            let description = describe(kind, &properties(values)).expect("metadata").expect("a binding");
            assert!(!format!("{description:?}").contains("hunter2"));
            let error = open("mine", &description).await.err().expect(kind);
            assert!(error.what.contains("the binding `mine` cannot be opened"), "{}", error.what);
            assert!(error.what.contains(expected), "{kind}: {}", error.what);
            assert!(error.help.is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    });
}
