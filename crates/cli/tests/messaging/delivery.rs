//! A guest publishes and another receives: the payload, the content type and the metadata, by every broker.

use crate::{App, caller, listener};
use sampan_testing::servers::{Nats, Redis};

/// The largest message, and of its bytes what a broker has room for.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Publishes and receives by a broker with this table.
fn delivers(broker: &str) {
    let tables = format!(
        "[messaging.events]\n{broker}\n{}{}{}",
        caller("\"events\""),
        listener("listener", "events/orders", ""),
        listener("relay", "events/relay", "").replacen(
            "source",
            "grant = { messaging = [\"events\"] }\nsource",
            1
        )
    );
    let mut app = App::up(&tables, 2);
    let with = "publish-with events orders text/x a=1 Some-Name=two:three";
    assert_eq!(app.call(with), "done", "{broker}");
    assert_eq!(app.seen("listener", "orders | "), "text/x | Some-Name=two:three,a=1 | with", "{broker}");

    // What headers of other protocols could not hold.
    let odd = "publish-with events orders text/x ü=ö a\u{a0}b=c\td";
    assert_eq!(app.publish("events/relay", "text/plain", odd.as_bytes()).status, 204, "{broker}");
    assert_eq!(app.seen("listener", "orders | "), "text/x | a\u{a0}b=c\td,ü=ö | with", "{broker}");

    assert_eq!(app.call("publish events orders plain"), "done", "{broker}");
    assert_eq!(app.seen("listener", "orders | "), "- |  | plain", "{broker}");

    assert_eq!(app.call("publish-bytes events orders 0"), "done", "{broker}");
    assert_eq!(app.seen("listener", "orders | "), "- |  |", "{broker}");
    // Nobody has subscribed to it.
    assert_eq!(app.call("publish events elsewhere x"), "done", "{broker}");
    assert_eq!(app.call("publish events orders last"), "done", "{broker}");
    assert_eq!(app.seen("listener", ""), "orders | - |  | last", "{broker}");
}

#[test]
fn by_memory() {
    delivers("type = \"memory\"");
}

#[test]
fn by_sqlite() {
    delivers("type = \"sqlite\"");
}

#[test]
fn by_streams_of_redis() {
    let Some(redis) = Redis::start() else { return };
    delivers(&format!("url = \"{}\"", redis.url()));
}

#[test]
fn by_nats() {
    let Some(nats) = Nats::start() else { return };
    delivers(&format!("url = \"{}\"\nstream = \"all\"", nats.url()));
}

#[test]
fn the_largest_message_comes_and_one_byte_more_is_refused() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n[messaging.kept]\ntype = \"sqlite\"\n{}{}{}",
        caller("\"events\", \"kept\""),
        listener("one", "events/orders", ""),
        listener("two", "kept/orders", "")
    );
    let mut app = App::up(&tables, 2);
    for (broker, listener) in [("events", "one"), ("kept", "two")] {
        let call = format!("publish-bytes {broker} orders");
        let refused = app.call(&format!("{call} {}", MESSAGE_BYTES_MAX + 1));
        assert_eq!(refused, "other: a message of 8388609 bytes is larger than 8388608 bytes", "{broker}");
        assert_eq!(app.call(&format!("{call} {MESSAGE_BYTES_MAX}")), "done", "{broker}");
        // The refused one has not come before.
        assert_eq!(app.seen(listener, "orders | "), "- |  | 8388608 bytes", "{broker}");
    }
}

#[test]
fn a_component_that_answers_requests_takes_messages_too() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n{}[[trigger.topic]]\ntopic = \"events/orders\"\nto = \"caller\"\n",
        caller("\"events\"")
    );
    let mut app = App::up(&tables, 1);
    assert_eq!(app.call("publish events orders to-myself"), "done");
    assert_eq!(app.seen("caller", "orders | "), "- |  | to-myself");
}

#[test]
fn what_a_message_makes_its_handler_publish_goes_on() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n{}{}grant = {{ messaging = [\"out=events\"] }}\n{}",
        caller("\"events\""),
        "[component.first]\nsource = \"messaging\"\n",
        "[[trigger.topic]]\ntopic = \"events/a\"\nto = \"first\"\n"
    ) + &listener("second", "events/b", "");
    let mut app = App::up(&tables, 2);
    assert_eq!(app.call("publish events a publish out b handed on"), "done");
    assert_eq!(app.seen("first", "a | "), "- |  | publish out b handed on");
    assert_eq!(app.seen("second", "b | "), "- |  | handed on");
}
