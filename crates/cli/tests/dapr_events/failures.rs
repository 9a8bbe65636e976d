//! What becomes of events that the app does not take.

use super::{App, MEMORY, Sampan};
use sampan_testing::{HttpServer, PATIENCE, Response, finish, http_send, sampan};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const WITH_DEAD_LETTERS: &str = r#"[{"pubsubname":"pubsub","topic":"t","route":"/t","deadLetterTopic":"dead"},
    {"pubsubname":"pubsub","topic":"dead","route":"/dead"}]"#;

#[test]
fn an_event_that_fails_comes_again() {
    let calls = AtomicUsize::new(0);
    let app = App::start(r#"[{"pubsubname":"pubsub","topic":"t","route":"/t"}]"#, move |_| {
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Response::new(500, "not yet"),
            1 => Response::new(200, r#"{"status":"RETRY"}"#),
            _ => Response::new(200, r#"{"status":"SUCCESS"}"#),
        }
    });
    let sampan = Sampan::subscribed(&[MEMORY], &app, 1);
    sampan.publish("t", "text/plain", b"x");
    let ids: Vec<_> = (0..3).map(|_| app.next_event().1["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // Nothing is left: the next event is another.
    sampan.publish("t", "text/plain", b"y");
    assert_eq!(app.next_event().1["data"], "y");
}

#[test]
fn what_always_fails_and_what_is_dropped_goes_to_the_dead_letters() {
    let app = App::start(WITH_DEAD_LETTERS, |request| match request.target.as_str() {
        "/dead" => Response::new(200, ""),
        _ if String::from_utf8_lossy(&request.body).contains("drop") => {
            Response::new(200, r#"{"status":"DROP"}"#)
        }
        _ => Response::new(503, ""),
    });
    let sampan = Sampan::subscribed(&[MEMORY], &app, 2);
    sampan.publish("t", "text/plain", b"drop");
    assert_eq!(app.next_event().0, "/t");
    let (path, event) = app.next_event();
    assert_eq!((path.as_str(), &event["data"]), ("/dead", &json!("drop")));

    sampan.publish("t", "text/plain", b"fail");
    let first = app.next_event();
    let mut tries = 1;
    let dead = loop {
        match app.next_event() {
            (path, event) if path == "/dead" => break event,
            _ => tries += 1,
        }
    };
    assert_eq!((tries, &dead["id"]), (4, &first.1["id"]), "once, and three tries more");
    assert_eq!(dead["topic"], "t", "the original bytes, as they were");
}

#[test]
fn a_policy_says_how_often_and_how_fast() {
    let policy = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: r\nspec:\n  policies:\n    \
        retries:\n      twice: {policy: constant, duration: 10ms, maxRetries: 2}\n  targets:\n    components:\n      \
        pubsub:\n        inbound: {retry: twice}\n";
    let app = App::start(WITH_DEAD_LETTERS, |request| {
        Response::new(if request.target == "/dead" { 200 } else { 500 }, "")
    });
    let sampan = Sampan::subscribed(&[MEMORY, ("policy", policy)], &app, 2);
    sampan.publish("t", "text/plain", b"x");
    let paths: Vec<_> = (0..4).map(|_| app.next_event().0).collect();
    assert_eq!(paths, ["/t", "/t", "/t", "/dead"]);
}

#[test]
fn topics_are_kept_from_apps_that_may_not() {
    let component = format!(
        "{}  metadata:\n  - {{name: publishingScopes, value: \"orders=open\"}}\n  - {{name: protectedTopics, value: \"secret\"}}\n",
        MEMORY.1
    );
    let server = HttpServer::start(|_| Response::new(404, ""));
    let sampan = Sampan::start(&[("pubsub", &component)], server.address.port());
    assert_eq!(sampan.publish("open", "text/plain", b"x").status, 204);
    for topic in ["closed", "secret"] {
        let refused = sampan.publish(topic, "text/plain", b"x");
        assert_eq!(refused.status, 403);
        let body: serde_json::Value = serde_json::from_slice(&refused.body).expect("JSON");
        assert_eq!(body["errorCode"], "ERR_PUBSUB_FORBIDDEN");
        assert_eq!(body["message"], format!("topic {topic} is not allowed for app id orders"));
    }
}

#[test]
fn messages_have_a_largest_size_and_brokers_that_are_not_there_say_so() {
    let server = HttpServer::start(|_| Response::new(404, ""));
    let sampan = Sampan::start(&[MEMORY], server.address.port());
    let limit = 4 << 20;
    assert_eq!(sampan.publish("t", "application/octet-stream", &vec![7; limit]).status, 204);
    assert_eq!(sampan.publish("t", "application/octet-stream", &vec![7; limit + 1]).status, 413);
    assert_eq!(sampan.publish("t", "text/plain", b"").status, 204);
    let refused = sampan.publish_to("/v1.0/publish/nowhere/t", "text/plain", b"x");
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("ERR_PUBSUB_NOT_FOUND"), "{}", refused.text());
}

#[test]
fn component_files_that_make_no_sense_name_file_and_line() {
    let table = [
        ("spec:\n  type: pubsub.kafka\n  version: v1\n", "there is no type pubsub.kafka", "bad.yaml:1"),
        (
            "spec:\n  type: state.redis\n  version: v1\n  metadata:\n  - {name: redisHost, value: h}\n  - {name: redisDB, value: x}\n",
            "redisDB",
            "bad.yaml:10",
        ),
        (
            "spec:\n  type: state.redis\n  version: v1\n  metadata:\n  - name: redisHost\n    secretKeyRef: {name: a, key: b}\n",
            "secret store",
            "bad.yaml:9",
        ),
        ("spec:\n  typ: state.redis\n", "typ", "bad.yaml"),
    ];
    for (spec, what, place) in table {
        let text = format!("apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: bad\n{spec}");
        let broken = Sampan::new(&[("bad", &text)], 1);
        let ended = finish(sampan().arg("up").current_dir(broken.folder.path()), "");
        assert_eq!(ended.code, 1, "{spec}");
        assert!(ended.stderr.contains(what) && ended.stderr.contains(place), "{spec}: {}", ended.stderr);
        let ignored = text.replace("  version", "  ignoreErrors: true\n  version");
        if !ignored.contains("ignoreErrors") {
            continue;
        }
        let server = HttpServer::start(|_| Response::new(404, ""));
        let up = Sampan::start(&[("bad", &ignored)], server.address.port());
        let metadata =
            http_send(("127.0.0.1", up.port), "GET", "/v1.0/metadata", &[], b"").expect("metadata");
        assert!(!metadata.text().contains("\"bad\""), "{}", metadata.text());
    }
}

#[test]
fn a_component_that_cannot_be_reached_fails_the_start_unless_its_file_says_otherwise() {
    let component = |more: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: pubsub\nspec:\n  \
             type: pubsub.redis\n  version: v1\n{more}  metadata:\n  - {{name: redisHost, value: \"127.0.0.1:1\"}}\n"
        )
    };
    let broken = Sampan::new(&[("pubsub", &component(""))], 1);
    let ended = finish(sampan().arg("up").current_dir(broken.folder.path()), "");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("pubsub") && ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);

    let server = HttpServer::start(|_| Response::new(404, ""));
    let text = component("  ignoreErrors: true\n");
    let sampan = Sampan::start(&[("pubsub", &text)], server.address.port());
    let began = std::time::Instant::now();
    let refused = sampan.publish("t", "text/plain", b"x");
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("ERR_PUBSUB_PUBLISH_MESSAGE"), "{}", refused.text());
    assert!(began.elapsed() < PATIENCE);
}
