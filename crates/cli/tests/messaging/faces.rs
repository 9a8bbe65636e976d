//! One topic has many faces: what Dapr's API publishes reaches `wasi:messaging`, and the reverse.

use crate::{App, caller, listener};
use serde_json::json;

/// A program for HTTP that gets events of a topic.
const HTTP: &str = "[component.web]\nsource = \"dapr-app\"\n[[trigger.topic]]\ntopic = \"BROKER/orders\"\n\
    to = \"web\"\npath = \"/events\"\n";

#[test]
fn what_dapr_publishes_comes_without_its_envelope() {
    let tables =
        format!("[messaging.events]\ntype = \"memory\"\n{}", listener("listener", "events/orders", ""));
    let mut app = App::up(&tables, 1);
    assert_eq!(app.publish("events/orders", "application/json", b"{\"a\":  1.50}").status, 204);
    let line = app.seen("listener", "orders | application/json | ");
    let (metadata, data) = line.split_once(" | ").expect("metadata and data");
    assert_eq!(data, "{\"a\":  1.50}");
    for part in ["cloudevent.id=", "cloudevent.source=shop", "cloudevent.type=com.dapr.event.sent"] {
        assert!(metadata.contains(part), "{part} in {metadata}");
    }
    assert_eq!(app.publish("events/orders", "application/octet-stream", &[0, 159, 146, 150]).status, 204);
    assert!(app.seen("listener", "orders | application/octet-stream | ").ends_with(" | 4 bytes"));
    assert_eq!(app.publish("events/orders", "text/plain", b"").status, 204);
    assert!(app.seen("listener", "orders | text/plain | ").ends_with(" |"));
    // Without the envelope there is nothing to take off.
    assert_eq!(app.publish("events/orders?metadata.rawPayload=true", "text/plain", b"raw").status, 204);
    assert!(app.seen("listener", "orders | ").ends_with(" | raw"));
}

#[test]
fn what_a_guest_publishes_comes_to_programs_for_http_as_an_event() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n{}{}",
        caller("\"events\""),
        HTTP.replace("BROKER", "events")
    );
    let mut app = App::up(&tables, 1);
    assert_eq!(app.call("publish-with events orders text/x a=b"), "done");
    let line = app.seen("web", "POST /events  ");
    let event: serde_json::Value = serde_json::from_str(&line).expect("an event");
    for (name, value) in [
        ("data", json!("with")),
        ("datacontenttype", json!("text/x")),
        ("topic", json!("orders")),
        ("pubsubname", json!("events")),
        ("specversion", json!("1.0")),
    ] {
        assert_eq!(event[name], value, "{name} of {line}");
    }
}

#[test]
fn a_component_of_dapr_is_a_broker_too() {
    let folder = sampan_testing::temp_dir();
    let dapr = sampan_testing::free_port();
    std::fs::create_dir(folder.path().join("components")).unwrap();
    let component = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: pubsub\nspec:\n  \
        type: pubsub.in-memory\n  version: v1\n";
    std::fs::write(folder.path().join("components/pubsub.yaml"), component).unwrap();
    let tables = format!(
        "components = \"components\"\n{}{}",
        caller("\"pubsub\""),
        listener("listener", "pubsub/orders", "rules = [{ match = \"event.type == 'big'\", path = \"/\" }]")
    );
    crate::write(folder.path(), &format!("{}{tables}", crate::head(dapr)));
    let mut app = App::start(folder, dapr, 1);
    assert_eq!(app.call("publish pubsub orders from-a-guest"), "done");
    assert_eq!(app.seen("listener", "orders | "), "- |  | from-a-guest");
    assert_eq!(app.publish("pubsub/orders", "text/plain", b"from Dapr").status, 204);
    assert!(app.seen("listener", "orders | text/plain | ").ends_with(" | from Dapr"));
}
