//! Processes that are killed while thousands of events are published: what was acknowledged arrives.

use super::{App, Sampan};
use sampan_testing::servers::{Nats, Redis};
use sampan_testing::{PATIENCE, Response, http_send};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const MESSAGES: usize = 10_000;
const PUBLISHERS: usize = 8;
const SUBSCRIPTION: &str = r#"[{"pubsubname":"pubsub","topic":"t","route":"/t"}]"#;

fn component(kind: &str, metadata: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: pubsub\nspec:\n  type: {kind}\n  \
         version: v1\n  metadata:\n{metadata}"
    )
}

/// Publishes from several threads and calls `interrupt` after half of the messages. The numbers of those that
/// were acknowledged.
fn publish_all(port: u16, interrupt: impl FnOnce()) -> BTreeSet<usize> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MESSAGES {
                        return;
                    }
                    let body = number.to_string();
                    let headers = [("content-type", "text/plain")];
                    let path = "/v1.0/publish/pubsub/t";
                    let sent = http_send(("127.0.0.1", port), "POST", path, &headers, body.as_bytes());
                    if sent.is_ok_and(|response| response.status == 204) {
                        done.lock().expect("the set").insert(number);
                    }
                }
            });
        }
        while next.load(Ordering::Relaxed) < MESSAGES / 2 {
            std::thread::yield_now();
        }
        interrupt();
    });
    done.into_inner().expect("the set")
}

/// Waits until the app has seen all of these.
fn arrive(app: &App, mut expected: BTreeSet<usize>) {
    let began = Instant::now();
    while !expected.is_empty() {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let event = app.events.recv_timeout(left);
        let Ok(request) = event else { panic!("{} acknowledged messages did not come", expected.len()) };
        let event: serde_json::Value = serde_json::from_slice(&request.body).expect("a CloudEvent");
        let number = event["data"].as_str().and_then(|text| text.parse().ok());
        expected.remove(&number.expect("a number"));
    }
}

#[test]
fn sampan_is_killed_and_its_embedded_broker_has_everything() {
    let app = App::start(SUBSCRIPTION, |_| Response::new(200, ""));
    let mut sampan = Sampan::new(&[], app.server.address.port());
    sampan.declare("\n[messaging.pubsub]\ntype = \"sqlite\"\n");
    sampan.up();
    let port = sampan.port;
    let done = publish_all(port, || sampan.kill());
    assert!(done.len() >= MESSAGES / 2 - PUBLISHERS && done.len() < MESSAGES, "{}", done.len());
    sampan.up();
    arrive(&app, done);
}

#[test]
fn redis_is_killed_and_has_everything_when_it_is_back() {
    let Some(mut redis) = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let address = redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let metadata = format!("  - {{name: redisHost, value: \"{address}\"}}\n");
    let app = App::start(SUBSCRIPTION, |_| Response::new(200, ""));
    let text = component("pubsub.redis", &metadata);
    let sampan = Sampan::start(&[("pubsub", &text)], app.server.address.port());
    let done = publish_all(sampan.port, || {
        redis.kill();
        redis.restart();
    });
    assert!(done.len() >= MESSAGES / 2 - PUBLISHERS, "{}", done.len());
    arrive(&app, done);
}

#[test]
fn nats_is_killed_and_has_everything_when_it_is_back() {
    let Some(mut nats) = Nats::start() else { return };
    let metadata = format!("  - {{name: natsURL, value: \"{}\"}}\n", nats.url());
    let app = App::start(SUBSCRIPTION, |_| Response::new(200, ""));
    let text = component("pubsub.jetstream", &metadata);
    let sampan = Sampan::start(&[("pubsub", &text)], app.server.address.port());
    let done = publish_all(sampan.port, || {
        nats.kill();
        nats.restart();
    });
    assert!(done.len() >= MESSAGES / 2 - PUBLISHERS, "{}", done.len());
    arrive(&app, done);
}
