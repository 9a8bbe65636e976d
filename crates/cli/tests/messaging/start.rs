//! What is wrong before anything comes, and brokers that are not there.

use crate::{App, caller, command, head, listener, write};
use sampan_testing::servers::Redis;
use sampan_testing::{Finished, finish, free_port, temp_dir};
use std::time::Instant;

/// How `sampan up` and `sampan check` end.
fn refused(manifest: &str) -> [Finished; 2] {
    let folder = temp_dir();
    let name = if manifest.starts_with("spin") { "spin.toml" } else { "sampan.toml" };
    write(folder.path(), manifest);
    std::fs::rename(folder.path().join("sampan.toml"), folder.path().join(name)).unwrap();
    std::fs::write(folder.path().join("none.wat"), "(component)").unwrap();
    let mut check = sampan_testing::sampan();
    [finish(&mut command(folder.path()), ""), finish(check.arg("check").current_dir(folder.path()), "")]
}

#[test]
fn triggers_that_make_no_sense_name_file_and_line() {
    let events = "[messaging.events]\ntype = \"memory\"\n";
    let trigger = "[[trigger.topic]]\ntopic = \"events/t\"\nto = \"a\"\n";
    let spin = |source: &str| {
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\ntrigger.redis.address = \"redis://127.0.0.1:1\"\n\
             [[trigger.redis]]\nchannel = \"orders\"\ncomponent = \"a\"\n[component.a]\nsource = \"{source}\"\n"
        )
    };
    let route = "[[route]]\npath = \"/\"\nto = \"a\"\n";
    for (manifest, parts) in [
        (
            format!("{events}[component.a]\nsource = \"none.wat\"\n{trigger}"),
            ["wasi:messaging/incoming-handler", "sampan.toml:4:10"],
        ),
        (
            format!("{events}[component.a]\nsource = \"messaging\"\n{route}{trigger}"),
            ["a route leads to it", "sampan.toml:4:10"],
        ),
        (spin("dapr-app"), ["handler of messages", "spin.toml:9:10"]),
        (
            format!(
                "{events}[component.a]\nsource = \"messaging\"\n{}",
                trigger.replace("events/", "event/")
            ),
            ["there is no broker `event`", "sampan.toml:6:9"],
        ),
        (
            format!("{events}[component.a]\nsource = \"messaging\"\n{}", trigger.replace("\"a\"", "\"b\"")),
            ["there is no component `b`", "sampan.toml:7:6"],
        ),
    ] {
        for ended in refused(&manifest) {
            assert_eq!(ended.code, 1, "{manifest}{}", ended.stderr);
            for part in parts {
                assert!(ended.stderr.contains(part), "{part} in {}\n{manifest}", ended.stderr);
            }
        }
    }
}

#[test]
fn a_broker_that_is_down_ends_the_start_unless_it_is_lazy() {
    let folder = temp_dir();
    let dapr = free_port();
    let tables = |more: &str| {
        format!(
            "{}\n[messaging.events]\nurl = \"redis://127.0.0.1:1\"\n{more}\n{}{}",
            head(dapr),
            caller("\"events\""),
            listener("listener", "events/orders", "")
        )
    };
    write(folder.path(), &tables(""));
    let ended = finish(&mut command(folder.path()), "");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for part in ["the broker `events` cannot be opened", "redis://127.0.0.1:1", "`lazy = true`"] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    write(folder.path(), &tables("lazy = true"));
    let mut app = App::start(folder, dapr, 1);
    app.process.wait_for_error("tries again");
    let said = app.call("publish events orders x");
    assert!(said.starts_with("connection: the broker is not available"), "{said}");
}

#[test]
fn a_broker_that_comes_late_goes_and_comes_back() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let tables = format!(
        "[messaging.events]\nurl = \"{}\"\nlazy = true\n{}{}",
        redis.url(),
        caller("\"events\""),
        listener("listener", "events/orders", "")
    );
    let mut app = App::up(&tables, 1);
    app.process.wait_for_error("tries again");
    for round in ["first", "second"] {
        redis.restart();
        let began = Instant::now();
        // Clients wait a little longer after each attempt.
        while app.call(&format!("publish events orders {round}")) != "done" {
            assert!(began.elapsed() < sampan_testing::PATIENCE, "{round}");
        }
        assert_eq!(app.seen("listener", "orders | "), format!("- |  | {round}"));
        redis.kill();
        let said = app.call("publish events orders x");
        assert!(said.starts_with("connection: "), "{said}");
    }
}
