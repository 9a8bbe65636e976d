//! `/v1.0/publish` and what subscribers get, with an ordinary program beside Sampan.

use crate::table::compare;
use crate::{Site, check, component};
use sampan_testing::servers::Redis;
use sampan_testing::{HttpServer, PATIENCE, Request, Response};
use std::sync::mpsc::{Receiver, channel};

/// An app that says what it wants, and hands over what it gets.
pub struct Beside {
    pub server: HttpServer,
    events: Receiver<Request>,
}

impl Beside {
    pub fn start(
        subscriptions: &'static str,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Beside {
        let (sender, events) = channel();
        let server = HttpServer::start(move |request| match (&*request.method, &*request.target) {
            ("GET", "/dapr/subscribe") => Response::new(200, subscriptions),
            ("GET", "/dapr/config") => Response::new(404, ""),
            _ => {
                let answered = answer(request);
                // The test may have ended.
                let _ = sender.send(request.clone());
                answered
            }
        });
        Beside { server, events }
    }

    pub fn port(&self) -> String {
        format!("app_port = {}", self.server.address.port())
    }

    #[track_caller]
    pub fn next(&self) -> Request {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }
}

fn text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

#[test]
fn every_row_of_the_route_table() {
    let scopes = component("scoped", "pubsub.in-memory", &["allowedTopics=open"]);
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[]), scopes]).up();
    let missing = "ERR_PUBSUB_NOT_FOUND DAPR_PUBSUB_NOT_FOUND";
    let no_topic = "ERR_TOPIC_NAME_EMPTY DAPR_PUBSUB_TOPIC_NAME_EMPTY";
    let forbidden = "ERR_PUBSUB_FORBIDDEN DAPR_PUBSUB_FORBIDDEN";
    let unreadable = "ERR_PUBSUB_EVENTS_SER DAPR_PUBSUB_UNMARSHAL_EVENTS";
    let one = r#"[{"entryId":"1","event":{"n":1},"contentType":"application/json"}]"#;
    check(
        &up,
        &[
            ("POST /v1.0/publish/pubsub/topic", r#"{"n":1}"#, 204, ""),
            ("PUT /v1.0/publish/pubsub/topic/of/parts?metadata.ttlInSeconds=60", "", 204, ""),
            ("POST /v1.0/publish/pubsub/topic?metadata.rawPayload=true", "raw", 204, ""),
            ("POST /v1.0/publish/scoped/open", "1", 204, ""),
            ("POST /v1.0/publish/scoped/closed", "1", 403, forbidden),
            ("POST /v1.0/publish/other/topic", "1", 404, missing),
            ("POST /v1.0/publish/pubsub", "1", 404, no_topic),
            ("POST /v1.0/publish/pubsub/", "1", 404, no_topic),
            ("POST /v1.0/publish/bulk/pubsub/topic", one, 204, ""),
            ("PUT /v1.0/publish/bulk/pubsub/topic", "[]", 204, ""),
            ("POST /v1.0-alpha1/publish/bulk/pubsub/topic", one, 204, ""),
            ("POST /v1.0/publish/bulk/scoped/closed", one, 403, forbidden),
            ("POST /v1.0/publish/bulk/other/topic", one, 404, missing),
            ("POST /v1.0/publish/bulk/pubsub/topic", "{}", 400, unreadable),
            ("POST /v1.0/publish/bulk/pubsub/topic", r#"[{"event":1}]"#, 400, unreadable),
            (
                "POST /v1.0/publish/bulk/pubsub/topic",
                r#"[{"entryId":"1","event":"a"},{"entryId":"1","event":"b"}]"#,
                400,
                unreadable,
            ),
            (
                "POST /v1.0/publish/bulk/pubsub/topic",
                r#"[{"entryId":"1","event":{"n":1},"contentType":"text/plain"}]"#,
                400,
                unreadable,
            ),
            (
                "POST /v1.0/publish/bulk/pubsub/topic",
                r#"[{"entryId":"1","event":"!","contentType":"application/octet-stream"}]"#,
                400,
                unreadable,
            ),
        ],
    );
    let text = up.post("/v1.0/publish/other/topic", "1").text();
    assert!(text.contains("\"resource_name\":\"other\""), "{text}");
}

/// Memory always, Redis where it is installed.
fn on_every_broker(test: impl Fn(&str, &str)) {
    test("memory", &component("pubsub", "pubsub.in-memory", &[]));
    if let Some(redis) = Redis::start() {
        let host = format!("redisHost=127.0.0.1:{}", redis.port);
        test("redis", &component("pubsub", "pubsub.redis", &[&host]));
    }
}

#[test]
fn events_are_cloud_events() {
    on_every_broker(|name, broker| {
        let wanted = r#"[{"pubsubname":"pubsub","topic":"t","route":"/events"},
            {"pubsubname":"pubsub","topic":"raw","route":"/raw","metadata":{"rawPayload":"true"}}]"#;
        let app = Beside::start(wanted, |_| Response::new(200, ""));
        let up = Site::new(&[broker.to_owned()]).dapr(&app.port()).up();
        up.subscribed(&["t", "raw"]);
        let send = |path: &str, content_type: &str, body: &[u8]| {
            let headers: &[_] = if content_type.is_empty() { &[] } else { &[("Content-Type", content_type)] };
            let answer = up.send("POST", path, headers, body);
            assert_eq!(answer.status, 204, "{name} {path}: {}", answer.text());
            app.next()
        };
        let json = send("/v1.0/publish/pubsub/t", "application/json", br#"{"z":1.10, "a":2}"#);
        assert_eq!((&*json.method, &*json.target), ("POST", "/events"), "{name}");
        assert_eq!(json.header("content-type"), Some("application/cloudevents+json"), "{name}");
        for part in [
            r#""data":{"z":1.10, "a":2}"#,
            r#""datacontenttype":"application/json""#,
            r#""pubsubname":"pubsub""#,
            r#""source":"shop""#,
            r#""specversion":"1.0""#,
            r#""topic":"t""#,
            r#""type":"com.dapr.event.sent""#,
            r#""traceparent":""#,
            r#""id":""#,
            r#""time":""#,
        ] {
            assert!(text(&json).contains(part), "{name} {part}: {}", text(&json));
        }
        let plain = text(&send("/v1.0/publish/pubsub/t", "", b"hello"));
        assert!(plain.contains(r#""data":"hello""#) && plain.contains("text/plain"), "{name}: {plain}");
        let binary = text(&send("/v1.0/publish/pubsub/t", "application/octet-stream", b"\0\xff"));
        assert!(binary.contains(r#""data_base64":"AP8=""#), "{name}: {binary}");
        let named = "/v1.0/publish/pubsub/t?metadata.cloudevent.type=mine&metadata.cloudevent.id=7";
        let named = text(&send(named, "text/plain", b"x"));
        assert!(named.contains(r#""type":"mine""#) && named.contains(r#""id":"7""#), "{name}: {named}");
        let own = br#"{"specversion":"1.0","id":"own","source":"me","type":"t","data":"d","more":1}"#;
        let own = text(&send("/v1.0/publish/pubsub/t", "application/cloudevents+json", own));
        for part in [r#""id":"own""#, r#""source":"me""#, r#""more":1"#, r#""pubsubname":"pubsub""#] {
            assert!(own.contains(part), "{name} {part}: {own}");
        }
        let raw = text(&send("/v1.0/publish/pubsub/raw?metadata.rawPayload=true", "", b"raw"));
        assert!(raw.contains(r#""data_base64":"cmF3""#), "{name}: {raw}");
        let empty = text(&send("/v1.0/publish/pubsub/t", "", b""));
        assert!(empty.contains(r#""topic":"t""#), "{name}: {empty}");
    });
}

#[test]
fn each_entry_of_a_bulk_is_an_event() {
    let wanted = r#"[{"pubsubname":"pubsub","topic":"one","route":"/one"},{"pubsubname":"pubsub",
        "topic":"many","route":"/many","bulkSubscribe":{"enabled":true,"maxMessagesCount":3,"maxAwaitDurationMs":60000}}]"#;
    let app = Beside::start(wanted, |request| {
        let ids = text(request);
        let ids = ids.match_indices("\"entryId\":\"").map(|(at, key)| {
            let rest = &ids[at + key.len()..];
            let id = rest.split('"').next().unwrap_or_default();
            format!("{{\"entryId\":\"{id}\",\"status\":\"SUCCESS\"}}")
        });
        let statuses = ids.collect::<Vec<_>>().join(",");
        Response::new(200, format!("{{\"statuses\":[{statuses}]}}"))
    });
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[])]).dapr(&app.port()).up();
    up.subscribed(&["one", "many"]);
    let entries = r#"[{"entryId":"1","event":{"n": 1},"contentType":"application/json"},
        {"entryId":"2","event":"two","contentType":"text/plain","metadata":{"cloudevent.type":"mine"}},
        {"entryId":"3","event":"AP8=","contentType":"application/octet-stream"}]"#;
    assert_eq!(up.post("/v1.0-alpha1/publish/bulk/pubsub/one", entries).status, 204);
    let mut events = [(); 3].map(|()| text(&app.next()));
    events.sort_by_key(|event| event.find("\"data"));
    for part in [r#""data":{"n": 1}"#, r#""data":"two""#, r#""data_base64":"AP8=""#, r#""type":"mine""#] {
        assert!(events.iter().any(|event| event.contains(part)), "{part}: {events:?}");
    }
    assert_eq!(up.post("/v1.0/publish/bulk/pubsub/many?metadata.cloudevent.type=all", entries).status, 204);
    let bulk = app.next();
    assert_eq!(bulk.target, "/many");
    for part in [
        r#""type":"com.dapr.event.sent.bulk""#,
        r#""topic":"many""#,
        r#""pubsubname":"pubsub""#,
        r#""type":"all""#,
        // An entry's own metadata goes before the request's.
        r#""type":"mine""#,
        r#""contentType":"application/cloudevents+json""#,
    ] {
        assert!(text(&bulk).contains(part), "{part}: {}", text(&bulk));
    }
    assert_eq!(text(&bulk).matches("\"entryId\"").count(), 3, "{}", text(&bulk));
}

#[test]
fn what_the_app_answers_decides() {
    on_every_broker(|name, broker| {
        let wanted = r#"[{"pubsubname":"pubsub","topic":"t","deadLetterTopic":"dead","routes":{"rules":[
            {"match":"event.type == \"fail\"","path":"/fail"},{"match":"event.type == \"drop\"","path":"/drop"}],
            "default":"/good"}},{"pubsubname":"pubsub","topic":"dead","route":"/dead"}]"#;
        let app = Beside::start(wanted, |request| match &*request.target {
            "/fail" => Response::new(500, "no"),
            "/drop" => Response::new(200, r#"{"status":"DROP"}"#),
            _ => Response::new(200, r#"{"status":"SUCCESS"}"#),
        });
        let up = Site::new(&[broker.to_owned()]).dapr(&app.port()).up();
        up.subscribed(&["t", "dead"]);
        let publish = |kind: &str| {
            let path = format!("/v1.0/publish/pubsub/t?metadata.cloudevent.type={kind}");
            assert_eq!(up.post(&path, &format!("{kind:?}")).status, 204);
        };
        publish("fine");
        assert_eq!(app.next().target, "/good", "{name}");
        publish("drop");
        assert_eq!([app.next().target, app.next().target], ["/drop", "/dead"], "{name}");
        publish("fail");
        let mut tries = 0;
        let dead = loop {
            let event = app.next();
            match &*event.target {
                "/fail" => tries += 1,
                _ => break event,
            }
        };
        assert_eq!((&*dead.target, tries), ("/dead", 4), "{name}: one and three more");
        assert!(text(&dead).contains(r#""data":"fail""#), "{name}: {}", text(&dead));
    });
}

#[test]
fn an_app_that_wants_nothing_gets_nothing_but_declared_subscriptions() {
    let app = Beside::start("[]", |_| Response::new(200, ""));
    let site = Site::new(&[
        component("pubsub", "pubsub.in-memory", &[]),
        "apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: s\nspec:\n  pubsubname: pubsub\n  \
         topic: t\n  routes:\n    default: /declared\nscopes:\n- shop\n"
            .to_owned(),
        "apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata:\n  name: o\nspec:\n  pubsubname: pubsub\n  \
         topic: t\n  route: /others\nscopes:\n- other\n"
            .to_owned(),
    ]);
    let up = site.dapr(&app.port()).up();
    up.subscribed(&["t"]);
    assert_eq!(up.post("/v1.0/publish/pubsub/t", "1").status, 204);
    assert_eq!(app.next().target, "/declared");
    let metadata = up.get("/v1.0/metadata").text();
    for part in [r#""topic":"t""#, r#""path":"/declared""#, r#""type":"DECLARATIVE""#] {
        assert!(metadata.contains(part), "{part}: {metadata}");
    }
    assert!(!metadata.contains("/others"), "{metadata}");
}

#[test]
fn a_message_of_the_limit_plus_one_is_refused() {
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[])]).dapr("max_body = \"64KiB\"").up();
    let body = vec![b'x'; (64 << 10) + 1];
    let send = |body: &[u8]| up.send("POST", "/v1.0/publish/pubsub/t", &[], body);
    assert_eq!(send(&body[1..]).status, 204);
    compare(&send(&body), 413, "ERR_BODY_READ", "one byte more");
}

/// Entries that cannot be published are named, and the others are published.
#[test]
fn a_bulk_names_the_entries_that_failed() {
    let app =
        Beside::start(r#"[{"pubsubname":"pubsub","topic":"t","route":"/t"}]"#, |_| Response::new(200, ""));
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[])]).dapr(&app.port()).up();
    up.subscribed(&["t"]);
    let entries = r#"[{"entryId":"good","event":"x","contentType":"text/plain"},
        {"entryId":"bad","event":[1],"contentType":"application/cloudevents+json"}]"#;
    for path in ["/v1.0/publish/bulk/pubsub/t", "/v1.0-alpha1/publish/bulk/pubsub/t"] {
        let answer = up.post(path, entries);
        let text = answer.text();
        assert_eq!(answer.status, 500, "{path}: {text}");
        let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["errorCode"], "ERR_PUBSUB_PUBLISH_MESSAGE", "{text}");
        let failed = body["failedEntries"].as_array().expect("a list");
        assert_eq!((failed.len(), &failed[0]["entryId"]), (1, &"bad".into()), "{text}");
        assert!(failed[0]["error"].as_str().is_some_and(|why| !why.is_empty()), "{text}");
        assert!(self::text(&app.next()).contains(r#""data":"x""#), "{path}");
    }
}
