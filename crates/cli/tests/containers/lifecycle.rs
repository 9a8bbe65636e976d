//! From `create` to `rm`: names, states, exit codes, what is listed and what is told.

use crate::{Place, idle};
use sampan_testing::guest;
use std::time::{Duration, Instant};

#[test]
fn the_life_of_a_container() {
    let place = Place::new();
    let guest = idle();
    let id = place.ok(&["create", "--name", "boat", "--label", "colour=red", guest.to_str().unwrap()]);
    assert_eq!(id.len(), 64);
    assert_eq!(place.status("boat"), "created");
    assert_eq!(place.ok(&["ps", "-q"]), "");
    assert_eq!(place.ok(&["start", "boat"]), "boat");
    let listed = place.ok(&["ps", "--filter", "label=colour=red"]);
    assert!(listed.contains(&id[..12]) && listed.contains("Up ") && listed.contains("/idle.wat"), "{listed}");
    // Any beginning of the id is a name too.
    assert_eq!(place.ok(&["pause", &id[..6]]), &id[..6]);
    assert_eq!(place.status("boat"), "paused");
    place.ok(&["unpause", "boat"]);
    let begun = Instant::now();
    place.ok(&["stop", "boat"]);
    // A stop takes what the guest needs, not the time until it is killed.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let state = &place.inspect("boat")["State"];
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(143)));
    place.ok(&["restart", "boat"]);
    place.ok(&["rename", "boat", "ship"]);
    place.fails(&["rm", "ship"], 1, "is running");
    place.ok(&["kill", "-s", "9", "ship"]);
    assert_eq!(place.ok(&["wait", "ship"]), "137");
    assert_eq!(place.ok(&["rm", "ship"]), "ship");
    place.fails(&["start", "ship"], 1, "there is no container ship");
    assert_eq!(place.ok(&["ps", "-aq"]), "");
    let told = place.ok(&["events", "--since", "10m", "--until", "1ms", "--json"]);
    let actions: Vec<String> = told
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["action"].as_str().unwrap().into()
        })
        .collect();
    let expected = [
        "create", "start", "pause", "unpause", "kill", "die", "stop", "kill", "die", "stop", "start",
        "rename", "kill", "die", "destroy",
    ];
    // A restart of what has ended tells only of its start.
    let expected: Vec<&str> = expected
        .into_iter()
        .enumerate()
        .filter(|(at, _)| !(7..10).contains(at))
        .map(|(_, one)| one)
        .collect();
    assert_eq!(actions, expected);
}

#[test]
fn the_guests_exit_code_is_the_containers() {
    let place = Place::new();
    for (args, code) in [(&["exit", "0"][..], 0), (&["exit", "7"], 7), (&["exit", "255"], 255)] {
        let guest = guest("exit");
        let run = [&["run", "--name", "x", "--rm", guest.to_str().unwrap()], &args[1..]].concat();
        assert_eq!(place.sampan(&run).code, code);
    }
    // What the guest's file lacks is said where its output goes.
    let trap = guest("trap");
    let trapped = place.sampan(&["run", "--name", "x", "--rm", trap.to_str().unwrap(), "unreachable"]);
    assert_eq!(trapped.code, 134, "{}", trapped.stderr);
    assert!(trapped.stderr.contains("trap"), "{}", trapped.stderr);
    assert_eq!(place.ok(&["ps", "-aq"]), "");
}

#[test]
fn restart_policies() {
    let place = Place::new();
    place.start("twice", &["--restart", "on-failure:2"], &guest("exit"), &["3"]);
    assert_eq!(place.ok(&["wait", "twice"]), "3");
    assert_eq!(place.inspect("twice")["RestartCount"], 2);
    place.start("once", &["--restart", "on-failure:2"], &guest("exit"), &["0"]);
    assert_eq!(place.ok(&["wait", "once"]), "0");
    assert_eq!(place.inspect("once")["RestartCount"], 0);
    // One that is always restarted ends when it is stopped, also between two starts.
    place.start("always", &["--restart", "always"], &guest("exit"), &["3"]);
    place.ok(&["stop", "always"]);
    assert_eq!(place.status("always"), "exited");
    place.ok(&["update", "--restart", "no", "always"]);
    place.ok(&["start", "always"]);
    assert_eq!(place.ok(&["wait", "always"]), "3");
    place.fails(
        &["run", "-d", "--rm", "--restart", "always", idle().to_str().unwrap()],
        125,
        "cannot be restarted",
    );
}

#[test]
fn names_and_ids() {
    let place = Place::new();
    place.start("one", &[], &idle(), &[]);
    place.fails(&["run", "-d", "--name", "one", idle().to_str().unwrap()], 125, "the name one is used");
    place.fails(&["create", "--name", "../one", idle().to_str().unwrap()], 1, "is no name");
    place.fails(&["rename", "one", "a b"], 1, "is no name");
    place.fails(&["stop", "0123456789ab"], 1, "there is no container");
    // A name that nobody gave is two words.
    let id = place.ok(&["create", idle().to_str().unwrap()]);
    let name = place.inspect(&id)["Name"].as_str().unwrap().to_owned();
    assert!(name.starts_with('/') && name.contains('_'), "{name}");
    let two = place.sampan(&["rm", "-f", "nobody", "one"]);
    assert_eq!((two.code, two.stdout.trim_end()), (1, "one"));
}

#[test]
fn many_start_at_once() {
    let place = Place::new();
    let count = if std::env::var_os("CI").is_some() { 200 } else { 40 };
    let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
    let mut making: Vec<_> = names
        .iter()
        .map(|name| {
            let guest = idle();
            let mut command = place.command(["run", "-d", "--name", name]);
            sampan_testing::Running::start(command.arg(guest))
        })
        .collect();
    for running in making.drain(..) {
        let finished = running.finish();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }
    assert_eq!(place.ok(&["ps", "-q"]).lines().count(), count);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    place.ok(&[&["rm", "-f"], &all[..]].concat());
    assert_eq!(place.ok(&["ps", "-aq"]), "");
    let left: Vec<_> = std::fs::read_dir(place.data.path().join("containers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| ["events.json", "lock", "names"].contains(&name.as_str())), "{left:?}");
}
