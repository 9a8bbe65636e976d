//! What Dapr calls: components by subscriptions, by schedules, and by other apps.

use crate::App;
use sampan_testing::{PATIENCE, Running, free_port, http_send};
use std::time::Instant;

/// The line that the guest printed for a request.
#[track_caller]
fn seen(process: &mut Running, component: &str, start: &str) -> String {
    process.wait_for_error(&format!("[shop/{component}] {start}"))
}

/// A broker in memory keeps nothing for who comes later, so events wait until the subscription is there.
#[track_caller]
fn until_subscribed(metadata: impl Fn() -> String, shown: &str) {
    let begun = Instant::now();
    while !metadata().contains(shown) {
        assert!(begun.elapsed() < PATIENCE, "{}", metadata());
    }
}

#[test]
fn triggers_of_the_manifest_reach_their_component() {
    let mut app = App::up(
        r#"
[component.app]
source = "GUEST"
grant = { dapr = ["*"] }

[component.listener]
source = "GUEST"

[[trigger.topic]]
topic = "pubsub/orders"
to = "listener"
path = "/events"
rules = [{ match = "event.data.kind == 'weapon'", path = "/weapons" }]

[[trigger.schedule]]
cron = "@every 1s"
to = "listener"
path = "/tick"
"#,
    );
    let metadata = || app.ask("GET", "http://127.0.0.1:3500/v1.0/metadata", "").text();
    until_subscribed(metadata, r#""topic":"orders""#);
    let publish = "http://127.0.0.1:3500/v1.0/publish/pubsub/orders";
    assert_eq!(app.ask("POST", publish, r#"{"kind":"planet"}"#).status, 204);
    let line = seen(&mut app.process, "listener", "POST /events");
    for part in [
        r#""data":{"kind":"planet"}"#,
        r#""topic":"orders""#,
        r#""pubsubname":"pubsub""#,
        r#""source":"shop""#,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(app.ask("POST", publish, r#"{"kind":"weapon"}"#).status, 204);
    let line = seen(&mut app.process, "listener", "POST /weapons");
    assert!(line.contains(r#""data":{"kind":"weapon"}"#), "{line}");
    seen(&mut app.process, "listener", "POST /tick");
}

#[test]
fn a_component_says_what_it_subscribes_to() {
    let port = free_port();
    let mut app = App::up(&format!(
        r#"
http = "127.0.0.1:{port}"

[component.app]
source = "GUEST"
env = {{ SUBSCRIBE = '[{{"pubsubname":"pubsub","topic":"planets","route":"/planets"}}]' }}
"#
    ));
    let metadata = || http_send(("127.0.0.1", port), "GET", "/v1.0/metadata", &[], b"").unwrap().text();
    until_subscribed(metadata, "/planets");
    let headers = [("content-type", "application/json")];
    let path = "/v1.0/publish/pubsub/planets";
    let sent = http_send(("127.0.0.1", port), "POST", path, &headers, br#""Tatooine""#).unwrap();
    assert_eq!(sent.status, 204);
    let line = seen(&mut app.process, "app", "POST /planets");
    assert!(line.contains(r#""data":"Tatooine""#), "{line}");
}

#[test]
fn components_are_invoked_by_app_id() {
    let port = free_port();
    let app = App::up(&format!(
        r#"
http = "127.0.0.1:{port}"

[component.app]
source = "GUEST"
grant = {{ dapr = ["app:other", "app:nobody"] }}

[component.other]
source = "GUEST"
"#
    ));
    // From another component.
    let url = format!("http://127.0.0.1:{port}/v1.0/invoke/other/method/a/b");
    let answer = app.ask("PUT", &url, "ahoy");
    assert_eq!((answer.status, answer.text().as_str()), (200, "PUT /a/b shop ahoy"));
    let nobody = app.ask("GET", &format!("http://127.0.0.1:{port}/v1.0/invoke/nobody/method/a"), "");
    assert_eq!(nobody.status, 500);
    assert!(nobody.text().contains("ERR_DIRECT_INVOKE"), "{}", nobody.text());
    // From outside: a component by its name, and the app by its id.
    for id in ["other", "shop"] {
        let path = format!("/v1.0/invoke/{id}/method/a/b");
        let answer = http_send(("127.0.0.1", port), "POST", &path, &[], b"ahoy").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "POST /a/b shop ahoy"), "{id}");
    }
    let answer = http_send(("127.0.0.1", port), "POST", "/c", &[("dapr-app-id", "other")], b"").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /c shop "));
    assert!(app.folder.path().is_dir());
}
