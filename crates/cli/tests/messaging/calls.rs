//! What a guest is refused, in the words of its standard.

use crate::{App, caller, listener};

#[test]
fn a_broker_that_is_not_granted_is_refused_and_gets_nothing() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n[messaging.secret]\ntype = \"memory\"\n{}{}{}",
        caller("\"events\", \"other=secret\""),
        listener("listener", "secret/t", ""),
        listener("granted", "events/t", "")
    );
    let mut app = App::up(&tables, 2);
    let refused = "permission denied: the broker is not granted";
    for broker in ["secret", "nowhere", ""] {
        assert_eq!(app.call(&format!("publish {broker} t refused")), refused, "{broker:?}");
    }
    // A component that takes messages has no grant by that.
    assert_eq!(app.call("publish events t publish events t again"), "done");
    assert_eq!(app.seen("granted", "t | "), "- |  | publish events t again");
    assert_eq!(app.seen("granted", ""), refused);
    // The name that the grant gives it works, and nothing came before.
    assert_eq!(app.call("publish other t granted"), "done");
    assert_eq!(app.seen("listener", ""), "t | - |  | granted");
}

#[test]
fn nobody_answers_requests() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n{}{}",
        caller("\"events\""),
        listener("listener", "events/t", "")
    );
    let mut app = App::up(&tables, 1);
    let none = "other: the broker has no request and reply";
    assert_eq!(app.call("request events t"), none);
    assert_eq!(app.call("publish events t reply"), "done");
    assert_eq!(app.seen("listener", "t | "), "- |  | reply");
    assert_eq!(app.seen("listener", ""), none);
}

#[test]
fn what_a_guest_can_make_grow_is_bounded() {
    let app = App::up(&format!("[messaging.events]\ntype = \"memory\"\n{}", caller("\"events\"")), 0);
    for (call, said) in [
        ("disconnected events t", "connection: the broker is not available: the client has disconnected"),
        // Beside them there is the message for which it was asked.
        ("many-clients events", "1023 and other: too many open clients and messages"),
        ("metadata 65535", "set, and removed: None"),
        ("metadata 65536", "invalid: a message's metadata of 65537 bytes is larger than 65536 bytes"),
        ("content-type 1024", "Ok(()) 1024"),
        ("content-type 1025", "Err(()) 0"),
        ("publish events  no-topic", "other: a topic has a name, and this one is empty"),
    ] {
        assert_eq!(app.call(call), said, "{call}");
    }
    let long = "t".repeat(513);
    let said = "other: a topic of 513 bytes is larger than 512 bytes";
    assert_eq!(app.call(&format!("publish events {long} x")), said);
}
