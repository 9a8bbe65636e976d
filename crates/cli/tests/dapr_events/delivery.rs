//! What comes to the app, and where.

use super::{App, MEMORY, Sampan};
use sampan_testing::{Request, Response, free_port};
use serde_json::json;

fn ok(_: &Request) -> Response {
    Response::new(200, "")
}

#[test]
fn an_event_comes_in_dapr_s_envelope() {
    let app = App::start(r#"[{"pubsubname":"pubsub","topic":"placed","route":"/orders"}]"#, ok);
    let sampan = Sampan::subscribed(&[MEMORY], &app, 1);
    let published = sampan.publish("placed", "application/json", br#"{"id": 1.50,  "a":[]}"#);
    assert_eq!(published.status, 204, "{}", published.text());

    let request = app.next();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/orders"));
    assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
    let text = String::from_utf8(request.body.clone()).expect("text");
    assert!(text.contains(r#"{"id": 1.50,  "a":[]}"#), "the data keeps its exact text: {text}");
    let event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (name, value) in [
        ("source", "orders"),
        ("type", "com.dapr.event.sent"),
        ("specversion", "1.0"),
        ("datacontenttype", "application/json"),
        ("topic", "placed"),
        ("pubsubname", "pubsub"),
    ] {
        assert_eq!(event[name], value, "{name} of {text}");
    }
    assert_eq!(event["id"].as_str().map(str::len), Some(36), "{text}");
}

#[test]
fn text_bytes_and_events_of_the_publisher_keep_their_kind() {
    let app = App::start(r#"[{"pubsubname":"pubsub","topic":"t","route":"e"}]"#, ok);
    let sampan = Sampan::subscribed(&[MEMORY], &app, 1);

    sampan.publish("t", "text/plain", b"hello");
    let (path, event) = app.next_event();
    assert_eq!((path.as_str(), &event["data"]), ("/e", &json!("hello")));

    sampan.publish("t", "application/octet-stream", &[0, 159, 146, 150]);
    let (_, event) = app.next_event();
    assert_eq!(event["data_base64"], "AJ+Slg==");

    let own = br#"{"specversion":"1.0","id":"own","source":"s","type":"mine","data":7}"#;
    sampan.publish("t", "application/cloudevents+json", own);
    let (_, event) = app.next_event();
    assert_eq!((&event["id"], &event["type"], &event["data"]), (&json!("own"), &json!("mine"), &json!(7)));
    assert_eq!(event["topic"], "t");

    sampan.publish("t", "text/plain", b"");
    let (_, event) = app.next_event();
    assert_eq!(event["data"], "");
}

#[test]
fn rules_choose_the_path_and_what_none_matches_goes_nowhere() {
    let subscriptions = r#"[{"pubsubname":"pubsub","topic":"t","deadLetterTopic":"dead","routes":{"rules":[
        {"match":"event.type == 'big' && event.data.amount > 100","path":"/big"},
        {"match":"event.type == 'small'","path":"/small"}]}},
        {"pubsubname":"pubsub","topic":"dead","route":"/dead"}]"#;
    let app = App::start(subscriptions, ok);
    let sampan = Sampan::subscribed(&[MEMORY], &app, 2);
    for (kind, amount, expected) in
        [("big", 101, "/big"), ("small", 1, "/small"), ("big", 100, "/dead"), ("other", 1, "/dead")]
    {
        let path = format!("/v1.0/publish/pubsub/t?metadata.cloudevent.type={kind}");
        let body = format!("{{\"amount\":{amount}}}");
        sampan.publish_to(&path, "application/json", body.as_bytes());
        let (path, event) = app.next_event();
        assert_eq!(path, expected, "{kind} {amount}: {event}");
    }
}

#[test]
fn declared_subscriptions_count_for_the_apps_in_their_scopes() {
    let version_1 = "apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata:\n  name: one\nspec:\n  \
        topic: one\n  route: /one\n  pubsubname: pubsub\nscopes: [orders]\n";
    let version_2 = "apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: two\nspec:\n  \
        topic: two\n  routes:\n    default: /two\n  pubsubname: pubsub\n---\n\
        apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: three\nspec:\n  topic: two\n  \
        routes:\n    default: /never\n  pubsubname: pubsub\nscopes: [others]\n";
    let app = App::start("[]", ok);
    let components = [MEMORY, ("one", version_1), ("two", version_2)];
    let sampan = Sampan::subscribed(&components, &app, 2);
    for topic in ["one", "two"] {
        sampan.publish(topic, "text/plain", b"x");
        assert_eq!(app.next_event().0, format!("/{topic}"));
    }
}

#[test]
fn raw_messages_come_as_bytes() {
    let subscriptions =
        r#"[{"pubsubname":"pubsub","topic":"t","route":"/raw","metadata":{"rawPayload":"true"}}]"#;
    let app = App::start(subscriptions, ok);
    let sampan = Sampan::subscribed(&[MEMORY], &app, 1);
    sampan.publish_to("/v1.0/publish/pubsub/t?metadata.rawPayload=true", "text/plain", b"hello");
    let (_, event) = app.next_event();
    assert_eq!((&event["data_base64"], &event["topic"]), (&json!("aGVsbG8="), &json!("t")));
}

#[test]
fn several_events_come_in_one_call_and_each_has_its_own_reply() {
    let subscriptions = r#"[{"pubsubname":"pubsub","topic":"t","route":"/bulk","deadLetterTopic":"dead",
        "bulkSubscribe":{"enabled":true,"maxMessagesCount":3,"maxAwaitDurationMs":60000}},
        {"pubsubname":"pubsub","topic":"dead","route":"/dead"}]"#;
    let app = App::start(subscriptions, |request| {
        if request.target != "/bulk" {
            return Response::new(200, "");
        }
        let bulk: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let entries = bulk["entries"].as_array().expect("entries").iter();
        let statuses: Vec<_> = entries
            .map(|entry| {
                let status = if entry["event"]["data"] == "b" { "DROP" } else { "SUCCESS" };
                json!({ "entryId": entry["entryId"], "status": status })
            })
            .collect();
        Response::new(200, json!({ "statuses": statuses }).to_string())
    });
    let sampan = Sampan::subscribed(&[MEMORY], &app, 2);
    let entries = r#"[{"entryId":"1","event":"a","contentType":"text/plain"},
        {"entryId":"2","event":"b","contentType":"text/plain"},
        {"entryId":"3","event":{"c": 1.0},"contentType":"application/json"}]"#;
    let path = "/v1.0-alpha1/publish/bulk/pubsub/t";
    assert_eq!(sampan.publish_to(path, "application/json", entries.as_bytes()).status, 204);
    let (path, bulk) = app.next_event();
    assert_eq!((path.as_str(), &bulk["type"]), ("/bulk", &json!("com.dapr.event.sent.bulk")));
    let data: Vec<_> =
        bulk["entries"].as_array().expect("entries").iter().map(|e| &e["event"]["data"]).collect();
    assert_eq!(data, [&json!("a"), &json!("b"), &json!({ "c": 1.0 })]);
    let (path, dead) = app.next_event();
    assert_eq!((path.as_str(), &dead["data"]), ("/dead", &json!("b")));
}

#[test]
fn an_app_may_come_after_sampan() {
    let port = free_port();
    let sampan = Sampan::start(&[MEMORY], port);
    sampan.publish("t", "text/plain", b"too early");
    let (sender, seen) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut bytes = [0; 4096];
            let count = std::io::Read::read(&mut stream, &mut bytes).expect("a request");
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let body = r#"[{"pubsubname":"pubsub","topic":"t","route":"/t"}]"#;
            let body = if text.starts_with("GET /dapr/subscribe") { body } else { "" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            std::io::Write::write_all(&mut stream, answer.as_bytes()).expect("an answer");
            let _ = sender.lock().expect("the sender").send(text);
        }
    });
    let asked = seen.recv_timeout(sampan_testing::PATIENCE).expect("a question");
    assert!(asked.starts_with("GET /dapr/subscribe"), "{asked}");
    // The subscription exists a moment after the answer; what comes before it is lost in memory.
    let came = (0..600).any(|_| {
        sampan.publish("t", "text/plain", b"now");
        seen.recv_timeout(std::time::Duration::from_millis(100))
            .is_ok_and(|text| text.starts_with("POST /t "))
    });
    assert!(came);
}
