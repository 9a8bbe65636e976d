//! Messages that their handler does not take: they come again, and then go to the dead letters.

use crate::{App, caller, listener};
use rustix::process::{Pid, Signal, kill_process};
use sampan_testing::servers::{Nats, Redis};

/// A component that prints what comes to a topic, and does nothing else.
fn printer(name: &str, topic: &str) -> String {
    listener(name, topic, "").replacen("source", "env = { PRINT = \"1\" }\nsource", 1)
}

fn with_dead_letters(broker: &str, retries: u32) -> String {
    format!(
        "[messaging.events]\n{broker}\n{}{}{}",
        caller("\"events\""),
        listener("listener", "events/orders", &format!("dead_letter = \"dead\"\nretries = {retries}"))
            .replacen("source", "limits = { time = \"300ms\" }\nsource", 1),
        printer("undertaker", "events/dead"),
    )
}

/// A guest's error is tried again, and the message goes to the dead letters as it was.
fn fails(broker: &str) {
    let mut app = App::up(&with_dead_letters(broker, 2), 2);
    assert_eq!(app.call("publish events orders fail out of stock"), "done");
    for attempt in 0..3 {
        assert_eq!(app.seen("listener", "orders | "), "- |  | fail out of stock", "{broker}: {attempt}");
        let said = app.process.wait_for_error("could not handle a message");
        assert!(said.contains("shop/listener") && said.ends_with("\"orders\": out of stock"), "{said}");
    }
    assert_eq!(app.seen("undertaker", "dead | "), "- |  | fail out of stock", "{broker}");
    // The topic goes on.
    assert_eq!(app.call("publish events orders well"), "done");
    assert_eq!(app.seen("listener", ""), "orders | - |  | well", "{broker}");
}

#[test]
fn an_error_comes_again_and_then_goes_to_the_dead_letters_in_memory() {
    fails("type = \"memory\"");
}

#[test]
fn the_same_by_sqlite() {
    fails("type = \"sqlite\"");
}

#[test]
fn the_same_by_streams_of_redis() {
    let Some(redis) = Redis::start() else { return };
    fails(&format!("url = \"{}\"", redis.url()));
}

#[test]
fn the_same_by_nats() {
    let Some(nats) = Nats::start() else { return };
    fails(&format!("url = \"{}\"\nstream = \"all\"", nats.url()));
}

#[test]
fn a_guest_that_traps_or_runs_too_long_has_failed() {
    let mut app = App::up(&with_dead_letters("type = \"memory\"", 1), 2);
    for (message, said) in [("trap", "panicked"), ("loop", "limits.time")] {
        assert_eq!(app.call(&format!("publish events orders {message}")), "done");
        for _ in 0..2 {
            assert_eq!(app.seen("listener", "orders | "), format!("- |  | {message}"));
            app.process.wait_for_error(said);
        }
        assert_eq!(app.seen("undertaker", "dead | "), format!("- |  | {message}"));
    }
}

#[test]
fn what_succeeds_at_a_later_attempt_is_done() {
    let tables = with_dead_letters("type = \"memory\"", 1000).replacen(
        "[component.listener]\n",
        "[component.listener]\ngrant = { files = [\"data:/data\"] }\n",
        1,
    );
    let folder = sampan_testing::temp_dir();
    let (dapr, data) = (sampan_testing::free_port(), folder.path().join("data"));
    std::fs::create_dir(&data).unwrap();
    crate::write(folder.path(), &format!("{}\n{tables}", crate::head(dapr)));
    let mut app = App::start(folder, dapr, 2);
    assert_eq!(app.call("publish events orders unless /data/there"), "done");
    app.process.wait_for_error("could not handle a message of \"orders\": timeout");
    std::fs::write(data.join("there"), "").unwrap();
    // The attempt that succeeds prints the message, and no failure follows: the next line is another message's.
    loop {
        app.seen("listener", "orders | ");
        assert_eq!(app.call("publish events orders mark"), "done");
        let next = app.process.wait_for_error("shop/listener");
        if next.ends_with("| mark") {
            break;
        }
    }
    stop(app);
}

/// Nothing waits for another attempt when the process ends.
fn stop(app: App) {
    kill_process(Pid::from_child(&app.process.child), Signal::TERM).expect("a signal to our own child");
    let ended = app.process.finish();
    let (_, after) = ended.stderr.rsplit_once("| mark").expect("the mark");
    assert!(ended.code == 0 && !after.contains("unless"), "{ended:?}");
}

#[test]
fn what_nobody_can_handle_is_given_up_where_there_are_no_dead_letters() {
    let tables = format!(
        "[messaging.events]\ntype = \"memory\"\n{}{}",
        caller("\"events\""),
        listener("listener", "events/orders", "retries = 0")
    );
    let mut app = App::up(&tables, 1);
    assert_eq!(app.call("publish events orders fail"), "done");
    let said = app.process.wait_for_error("gave up a message");
    assert!(said.contains("topic \"orders\""), "{said}");
    assert_eq!(app.call("publish events orders well"), "done");
    assert_eq!(app.seen("listener", ""), "orders | - |  | well");
}
