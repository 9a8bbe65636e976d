//! `/v1.0/state` by plain HTTP.

use crate::table::compare;
use crate::{Row, Site, check, component};
use sampan_testing::servers::Redis;

const STORE: &str = "/v1.0/state/statestore";

/// Memory and SQLite always, Redis where it is installed.
fn on_every_store(test: impl Fn(&crate::site::Up, &str)) {
    let redis = Redis::start();
    let mut backends = vec![
        ("memory", component("statestore", "state.in-memory", &[])),
        ("sqlite", component("statestore", "state.sqlite", &["connectionString=state.db"])),
    ];
    if let Some(redis) = &redis {
        let host = format!("redisHost=127.0.0.1:{}", redis.port);
        backends.push(("redis", component("statestore", "state.redis", &[&host])));
    }
    for (name, backend) in backends {
        // Relative paths are those of the folder in which Sampan runs.
        let folder = sampan_testing::temp_dir();
        let backend = backend.replace("state.db", &folder.path().join("state.db").display().to_string());
        test(&Site::new(&[backend]).up(), name);
    }
}

const INVALID: &str = "ERR_MALFORMED_REQUEST";
const ILLEGAL: &str = "ERR_MALFORMED_REQUEST DAPR_STATE_ILLEGAL_KEY";

/// In this order.
const ROWS: &[Row<'_>] = &[
    // Saving.
    ("POST /v1.0/state/statestore", "[]", 204, ""),
    ("POST /v1.0/state/statestore", r#"[{"key":"a","value":{"n":1}},{"key":"b","value":"two"}]"#, 204, ""),
    ("PUT /v1.0/state/statestore", r#"[{"key":"c","value":3}]"#, 204, ""),
    ("POST /v1.0/state/statestore/", r#"[{"key":"d"}]"#, 204, ""),
    ("POST /v1.0/state/statestore", "", 400, INVALID),
    ("POST /v1.0/state/statestore", "{}", 400, INVALID),
    ("POST /v1.0/state/statestore", "[", 400, INVALID),
    ("POST /v1.0/state/statestore", r#"[{"key":"a","value":1,"etag":2}]"#, 400, INVALID),
    ("POST /v1.0/state/statestore", r#"[{"value":1}]"#, 400, ILLEGAL),
    ("POST /v1.0/state/statestore", r#"[{"key":"a||b","value":1}]"#, 400, ILLEGAL),
    (
        "POST /v1.0/state/statestore",
        r#"[{"key":"a","value":1,"metadata":{"ttlInSeconds":"x"}}]"#,
        500,
        "ERR_STATE_SAVE",
    ),
    // Reading.
    ("GET /v1.0/state/statestore/a", "", 200, r#"{"n":1}"#),
    ("GET /v1.0/state/statestore/a?consistency=strong", "", 200, r#"{"n":1}"#),
    ("GET /v1.0//state/statestore/a/", "", 200, r#"{"n":1}"#),
    ("GET /v1.0/x/../state/./statestore/a", "", 200, r#"{"n":1}"#),
    ("GET /v1.0/state/statestore/b", "", 200, "\"two\""),
    ("GET /v1.0/state/statestore/c", "", 200, "3"),
    ("GET /v1.0/state/statestore/d", "", 200, "null"),
    ("GET /v1.0/state/statestore/absent", "", 204, ""),
    ("GET /v1.0/state/statestore/a%7C%7Cb", "", 400, ILLEGAL),
    // Many at once.
    ("POST /v1.0/state/statestore/bulk", r#"{"keys":[]}"#, 200, "[]"),
    ("POST /v1.0/state/statestore/bulk", "", 400, INVALID),
    ("POST /v1.0/state/statestore/bulk", r#"{"keys":["x||y"]}"#, 400, ILLEGAL),
    (
        "PUT /v1.0/state/statestore/bulk",
        r#"{"keys":["absent"],"parallelism":4}"#,
        200,
        r#"[{"key":"absent"}]"#,
    ),
    // Transactions.
    ("POST /v1.0/state/statestore/transaction", r#"{"operations":[]}"#, 204, ""),
    ("POST /v1.0/state/statestore/transaction", "x", 400, INVALID),
    (
        "POST /v1.0/state/statestore/transaction",
        r#"{"operations":[{"operation":"upsert","request":{"key":"t","value":[1, 2]}},{"operation":"delete","request":{"key":"c"}},{"operation":"delete","request":{"key":"absent"}}]}"#,
        204,
        "",
    ),
    ("GET /v1.0/state/statestore/t", "", 200, "[1, 2]"),
    ("GET /v1.0/state/statestore/c", "", 204, ""),
    (
        "PUT /v1.0/state/statestore/transaction",
        r#"{"operations":[{"operation":"upsert","request":{"key":"t","value":9}},{"operation":"upsert","request":{"key":"t","value":10}}]}"#,
        204,
        "",
    ),
    ("GET /v1.0/state/statestore/t", "", 200, "10"),
    (
        "POST /v1.0/state/statestore/transaction",
        r#"{"operations":[{"operation":"read","request":{"key":"t"}}]}"#,
        400,
        "ERR_NOT_SUPPORTED_STATE_OPERATION",
    ),
    (
        "POST /v1.0/state/statestore/transaction",
        r#"{"operations":[{"operation":"upsert","request":{"key":"a||b"}}]}"#,
        400,
        ILLEGAL,
    ),
    // Deleting.
    ("DELETE /v1.0/state/statestore/a?concurrency=first-write&consistency=strong", "", 204, ""),
    ("DELETE /v1.0/state/statestore/a", "", 204, ""),
    ("DELETE /v1.0/state/statestore/a%7C%7Cb", "", 400, ILLEGAL),
    ("GET /v1.0/state/statestore/a", "", 204, ""),
    // No such store.
    ("POST /v1.0/state/other", "[]", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
    ("GET /v1.0/state/other/a", "", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
    ("DELETE /v1.0/state/other/a", "", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
    ("POST /v1.0/state/other/bulk", "{}", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
    ("POST /v1.0/state/other/transaction", "{}", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
    ("POST /v1.0-alpha1/state/other/query", "{}", 400, "ERR_STATE_STORE_NOT_FOUND DAPR_STATE_NOT_FOUND"),
];

#[test]
fn every_row_of_the_route_table() {
    on_every_store(|up, _| check(up, ROWS));
}

#[test]
fn no_store_at_all() {
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[])]).up();
    let none = "ERR_STATE_STORE_NOT_CONFIGURED DAPR_STATE_NOT_CONFIGURED";
    check(
        &up,
        &[
            ("GET /v1.0/state/statestore/a", "", 500, none),
            ("POST /v1.0/state/statestore", "[]", 500, none),
            ("POST /v1.0-alpha1/state/statestore/query", "{}", 500, none),
        ],
    );
}

#[test]
fn tags_guard_writes() {
    on_every_store(|up, name| {
        let save = |key: &str, more: &str| {
            up.post(STORE, &format!("[{{\"key\":\"{key}\",\"value\":1{more}}}]")).status
        };
        let tag = |key: &str| {
            let answer = up.get(&format!("{STORE}/{key}"));
            answer.header("etag").map(str::to_owned)
        };
        let first_write = ",\"options\":{\"concurrency\":\"first-write\"}";
        assert_eq!(save("k", ""), 204, "{name}");
        let first = tag("k").expect("a tag");
        assert_eq!(save("k", &format!(",\"etag\":\"{first}\"{first_write}")), 204, "{name}");
        let second = tag("k").expect("a tag");
        assert_ne!(first, second, "{name}: each write makes a new tag");
        let stale = up.post(STORE, &format!("[{{\"key\":\"k\",\"value\":1,\"etag\":\"{first}\"}}]"));
        compare(&stale, 409, "ERR_STATE_SAVE", name);
        assert!(stale.text().contains("possible etag mismatch"), "{name}: {}", stale.text());
        // Who says that the last write wins need not know what was there. Redis, as with Dapr, does not replace by it
        // what a client asked to guard.
        let last_write = ",\"etag\":\"no tag\",\"options\":{\"concurrency\":\"last-write\"}";
        assert_eq!((save("l", ""), save("l", last_write)), (204, 204), "{name}");
        // Only the first of two writers without a tag.
        assert_eq!((save("new", first_write), save("new", first_write)), (204, 409), "{name}");
        let delete =
            |key: &str, tag: &str| up.send("DELETE", &format!("{STORE}/{key}"), &[("If-Match", tag)], b"");
        compare(&delete("k", &first), 409, "ERR_STATE_DELETE", name);
        assert_eq!(delete("k", &tag("k").expect("a tag")).status, 204, "{name}");
        assert_eq!(tag("k"), None, "{name}");
        // One operation that may not be ends the transaction; Redis keeps what went before, as with Dapr.
        let operations = format!(
            "{{\"operations\":[{{\"operation\":\"upsert\",\"request\":{{\"key\":\"new\",\"value\":2,\
             \"etag\":\"{first}7\"}}}}]}}"
        );
        let refused = up.post(&format!("{STORE}/transaction"), &operations);
        compare(&refused, 500, "ERR_STATE_TRANSACTION", name);
    });
}

/// What can be no tag of a store is another error than the tag of another version; where any text may be a tag, as in
/// Dapr's stores, it is the same.
#[test]
fn what_is_no_tag() {
    on_every_store(|up, name| {
        assert_eq!(up.post(STORE, r#"[{"key":"k","value":1}]"#).status, 204, "{name}");
        let status = if name == "redis" { 400 } else { 409 };
        let saved = up.post(STORE, r#"[{"key":"k","value":2,"etag":"no tag"}]"#);
        compare(&saved, status, "ERR_STATE_SAVE", name);
        let deleted = up.send("DELETE", &format!("{STORE}/k"), &[("If-Match", "no tag")], b"");
        compare(&deleted, status, "ERR_STATE_DELETE", name);
        let why = if name == "redis" { "invalid etag value" } else { "possible etag mismatch" };
        assert!(saved.text().contains(why) && deleted.text().contains(why), "{name}: {}", saved.text());
        assert_eq!(up.get(&format!("{STORE}/k")).text(), "1", "{name}");
    });
}

#[test]
fn a_transaction_has_a_limit() {
    let up = Site::new(&[component("statestore", "state.in-memory", &[])]).up();
    let transaction = |operations: usize| {
        let one =
            |index| format!("{{\"operation\":\"upsert\",\"request\":{{\"key\":\"{index}\",\"value\":1}}}}");
        let all: Vec<_> = (0..operations).map(one).collect();
        up.post(&format!("{STORE}/transaction"), &format!("{{\"operations\":[{}]}}", all.join(",")))
    };
    let refused = transaction(1001);
    compare(
        &refused,
        400,
        "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS DAPR_STATE_TOO_MANY_TRANSACTIONS",
        "1001 operations",
    );
    for part in [r#""currentOpsTransaction":"1001""#, r#""maxOpsPerTransaction":"1000""#] {
        assert!(refused.text().contains(part), "{part}: {}", refused.text());
    }
    assert_eq!(up.get(&format!("{STORE}/0")).status, 204, "nothing of it is done");
    assert_eq!(transaction(1000).status, 204);
    assert_eq!(up.get(&format!("{STORE}/999")).text(), "1");
}

#[test]
fn values_keep_their_bytes_and_their_keys() {
    on_every_store(|up, name| {
        for value in [
            "1.10",
            "1e400",
            "12345678901234567890123",
            "0.1234567890123456789",
            r#"{"z":1, "a" : [ 2 ],"z":3}"#,
            r#""é\u00e9\/""#,
            "null",
            "\"\"",
            "[  ]",
            "{\n \"n\":1\t}",
        ] {
            let saved = up.post(STORE, &format!("[{{\"key\":\"v\",\"value\":{value}}}]"));
            assert_eq!(saved.status, 204, "{name} {value}: {}", saved.text());
            let answer = up.get(&format!("{STORE}/v"));
            assert_eq!(answer.text(), value, "{name}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
            let tag = answer.header("etag").expect("a tag");
            let bulk = up.post(&format!("{STORE}/bulk"), r#"{"keys":["v","none"]}"#).text();
            let expected =
                format!("[{{\"key\":\"v\",\"data\":{value},\"etag\":\"{tag}\"}},{{\"key\":\"none\"}}]");
            assert_eq!(bulk, expected, "{name}");
        }
        // A key as it stands in JSON, and in a path, where a plus is a space.
        for (key, path) in
            [("a b", "a+b"), ("a b", "a%20b"), ("a+b", "a%2Bb"), ("ü/1", "%C3%BC%2F1"), ("|", "%7C")]
        {
            let saved = up.post(STORE, &format!("[{{\"key\":{key:?},\"value\":{key:?}}}]"));
            assert_eq!(saved.status, 204, "{name} {key}: {}", saved.text());
            assert_eq!(up.get(&format!("{STORE}/{path}")).text(), format!("{key:?}"), "{name} {path}");
        }
        assert_eq!(up.get(&format!("{STORE}/%FF")).status, 400, "{name}");
    });
}

#[test]
fn times_to_live() {
    on_every_store(|up, name| {
        let save = |item: &str, query: &str| up.post(&format!("{STORE}{query}"), item).status;
        let read = || up.get(&format!("{STORE}/k"));
        let expires =
            |answer: &sampan_testing::Response| answer.header("metadata.ttlexpiretime").map(str::to_owned);
        assert_eq!(save(r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":"600"}}]"#, ""), 204, "{name}");
        let answer = read();
        assert_eq!(answer.status, 200, "{name}");
        let time = expires(&answer).unwrap_or_else(|| panic!("{name}: no time in {:?}", answer.headers));
        assert!(time.contains('T') && time.ends_with('Z'), "{name}: {time}");
        let bulk = up.post(&format!("{STORE}/bulk"), r#"{"keys":["k"]}"#).text();
        assert!(bulk.contains("\"metadata\":{\"ttlExpireTime\":\""), "{name}: {bulk}");
        // What the query says goes first; a number that is not positive means for ever.
        let one = r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":"600"}}]"#;
        assert_eq!(save(one, "?metadata.ttlInSeconds=-1"), 204, "{name}");
        assert_eq!(expires(&read()), None, "{name}");
        assert_eq!(save(r#"[{"key":"k","value":1}]"#, "?metadata.ttlInSeconds=1"), 204, "{name}");
        let begun = std::time::Instant::now();
        while read().status != 204 {
            assert!(begun.elapsed() < sampan_testing::PATIENCE, "{name}: the value stays");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
}

#[test]
fn queries() {
    let folder = sampan_testing::temp_dir();
    let path = format!("connectionString={}", folder.path().join("state.db").display());
    let up = Site::new(&[
        component("statestore", "state.sqlite", &[&path]),
        component("memory", "state.in-memory", &[]),
    ])
    .up();
    let people = r#"[{"key":"1","value":{"name":"Ada","age":36}},{"key":"2","value":{"name":"Bob","age":20}},
        {"key":"3","value":{"name":"Eve","age":50}}]"#;
    assert_eq!(up.post(STORE, people).status, 204);
    let query = |text: &str| up.post("/v1.0-alpha1/state/statestore/query", text);
    let found = query(r#"{"filter":{"GT":{"age":30}},"sort":[{"key":"age","order":"DESC"}]}"#);
    assert_eq!(found.status, 200, "{}", found.text());
    let text = found.text();
    let (eve, ada) = (text.find("\"Eve\""), text.find("\"Ada\""));
    assert!(eve.is_some() && eve < ada && !text.contains("Bob"), "{text}");
    assert!(
        text.starts_with("{\"results\":[{\"key\":\"3\",\"data\":{\"name\":\"Eve\",\"age\":50},\"etag\":"),
        "{text}"
    );
    let page = query(r#"{"sort":[{"key":"age"}],"page":{"limit":2}}"#).text();
    assert!(page.contains("\"token\":\"") && !page.contains("Eve"), "{page}");
    assert_eq!(query(r#"{"filter":{"EQ":{"name":"Nobody"}}}"#).status, 204);
    check(
        &up,
        &[
            (
                "POST /v1.0-alpha1/state/statestore/query",
                "no",
                500,
                "ERR_STATE_QUERY DAPR_STATE_QUERY_FAILED",
            ),
            (
                "POST /v1.0-alpha1/state/memory/query",
                "{}",
                500,
                "ERR_STATE_STORE_NOT_SUPPORTED DAPR_STATE_QUERYING_NOT_SUPPORTED",
            ),
            // Only under the alpha version.
            ("POST /v1.0/state/statestore/query", "{}", 404, "ERR_DIRECT_INVOKE"),
        ],
    );
}

#[test]
fn details_name_the_store_and_the_key() {
    let up = Site::new(&[component("statestore", "state.in-memory", &[])]).up();
    let text = up.post(STORE, r#"[{"key":"a||b","value":1}]"#).text();
    for part in [
        "\"@type\":\"type.googleapis.com/google.rpc.ResourceInfo\"",
        "\"resource_name\":\"statestore\"",
        "\"resource_type\":\"state\"",
        "\"@type\":\"type.googleapis.com/google.rpc.BadRequest\"",
        "\"field\":\"a||b\"",
        "input key/keyPrefix 'a||b' can't contain '||'",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = up.get("/v1.0/state/other/a").text();
    assert!(text.contains("\"metadata\":{\"appID\":\"shop\"}"), "{text}");
}
