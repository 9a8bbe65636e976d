//! The end of a process: a handler that runs ends, and what it has done is not done again.

use crate::{App, caller, listener};
use rustix::process::{Pid, Signal, kill_process};

fn tables() -> String {
    format!(
        "[messaging.events]\ntype = \"sqlite\"\n{}{}",
        caller("\"events\""),
        listener("listener", "events/orders", "")
    )
}

#[test]
fn a_handler_that_runs_ends_before_the_process_does() {
    let mut app = App::up(&tables(), 1);
    assert_eq!(app.call("publish events orders slow"), "done");
    app.seen("listener", "orders | ");
    kill_process(Pid::from_child(&app.process.child), Signal::TERM).expect("a signal to our own child");
    let App { folder, process, dapr, .. } = app;
    let ended = process.finish();
    assert!(ended.code == 0 && ended.stderr.ends_with("[shop/listener] slept\n"), "{ended:?}");

    let mut app = App::start(folder, dapr, 1);
    assert_eq!(app.call("publish events orders next"), "done");
    assert_eq!(app.seen("listener", ""), "orders | - |  | next");
}

#[test]
fn what_a_process_had_not_handled_when_it_was_killed_comes_to_the_next() {
    let mut app = App::up(&tables(), 1);
    assert_eq!(app.call("publish events orders slow"), "done");
    app.seen("listener", "orders | ");
    let App { folder, process, dapr, .. } = app;
    drop(process);
    let mut app = App::start(folder, dapr, 1);
    assert_eq!(app.seen("listener", "orders | "), "- |  | slow");
    assert_eq!(app.seen("listener", ""), "slept");
}

#[test]
fn a_version_that_is_exchanged_loses_no_message() {
    let mut app = App::up(&tables(), 1);
    assert_eq!(app.call("publish events orders slow"), "done");
    app.seen("listener", "orders | ");
    let manifest = app.folder.path().join("sampan.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("to = \"listener\"", "to = \"listener\"\nretries = 1")).unwrap();
    kill_process(Pid::from_child(&app.process.child), Signal::HUP).expect("a signal to our own child");
    app.process.wait_for_error("loaded anew");
    app.seen("listener", "slept");
    assert_eq!(app.call("publish events orders next"), "done");
    assert_eq!(app.seen("listener", ""), "orders | - |  | next");
}
