//! Output and input: logs, attaching, second guests, terminals.

use crate::{Place, idle};
use sampan_testing::{Running, finish, guest};

#[test]
fn what_a_guest_writes_is_kept() {
    let place = Place::new();
    place.start("both", &[], &guest("streams"), &["both", "3"]);
    place.ok(&["wait", "both"]);
    let logs = place.sampan(&["logs", "both"]);
    assert_eq!((logs.stdout.lines().count(), logs.stderr.lines().count()), (3, 3), "{logs:?}");
    assert_eq!(
        place.sampan(&["logs", "-n", "1", "both"]).stdout.len()
            + place.sampan(&["logs", "-n", "1", "both"]).stderr.len(),
        logs.stderr.lines().last().unwrap().len() + 1
    );
    let stamped = place.ok(&["logs", "-t", "both"]);
    assert!(stamped.lines().all(|line| line[..4].parse::<u32>().is_ok() && line.contains("Z ")), "{stamped}");
    assert_eq!(place.ok(&["logs", "--until", "2020-01-01T00:00:00Z", "both"]), "");
    // As Docker's own log driver writes it.
    let kept = std::fs::read_to_string(place.folder("both").join("log.json")).unwrap();
    let first: serde_json::Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
    assert!(first["log"].as_str().unwrap().ends_with('\n') && first["time"].is_string(), "{first}");
}

#[test]
fn logs_are_followed_until_the_end() {
    let place = Place::new();
    place.start("talk", &["-i"], &guest("streams"), &["upper"]);
    let mut following = Running::start(&mut place.command(["logs", "-f", "talk"]));
    let mut attached = Running::start(&mut place.command(["attach", "talk"]));
    std::io::Write::write_all(attached.stdin.as_mut().unwrap(), b"first\n").unwrap();
    following.wait_for_line("FIRST");
    attached.wait_for_line("FIRST");
    // The input's end is the guest's, which ends by that, and so does who follows.
    drop(attached.stdin.take());
    assert_eq!((attached.finish().code, following.finish().code), (0, 0));
    assert_eq!(place.ok(&["wait", "talk"]), "0");
}

#[test]
fn logs_are_bounded() {
    let place = Place::new();
    let flags = ["--log-opt", "max-size=20k", "--log-opt", "max-file=2"];
    place.start("lines", &flags, &guest("streams"), &["lines", "2000"]);
    place.ok(&["wait", "lines"]);
    let folder = place.folder("lines");
    let sizes: Vec<u64> =
        ["log.json", "log.json.1"].iter().map(|name| folder.join(name).metadata().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 20 << 10), "{sizes:?}");
    assert!(!folder.join("log.json.2").exists());
    // The newest are there.
    let last = place.ok(&["logs", "-n", "1", "lines"]);
    assert!(last.contains("1999") || last.contains("2000"), "{last}");
}

#[test]
fn input_goes_through_and_nothing_is_lost() {
    let place = Place::new();
    let input = vec![b'x'; 3 << 20];
    let count = guest("streams");
    let counted = finish(
        &mut place.command(["run", "-i", "--rm", "--name", "c", count.to_str().unwrap(), "count"]),
        &input,
    );
    assert_eq!(
        (counted.code, counted.stdout.trim_end()),
        (0, (3 << 20).to_string().as_str()),
        "{}",
        counted.stderr
    );
    let echoed = finish(
        &mut place.command(["run", "-i", "--rm", "--name", "c", count.to_str().unwrap(), "echo"]),
        &input,
    );
    assert_eq!((echoed.code, echoed.stdout.len()), (0, 3 << 20), "{}", echoed.stderr);
    // Without -i it reads nothing.
    let counted =
        finish(&mut place.command(["run", "--rm", "--name", "c", count.to_str().unwrap(), "count"]), "x");
    assert_eq!(counted.stdout.trim_end(), "0");
}

#[test]
fn a_second_guest_beside_the_first() {
    let place = Place::new();
    let folder = sampan_testing::temp_dir();
    std::fs::copy(guest("args"), folder.path().join("args.wasm")).unwrap();
    std::fs::copy(guest("exit"), folder.path().join("exit.wasm")).unwrap();
    std::fs::copy(guest("streams"), folder.path().join("streams.wasm")).unwrap();
    std::fs::copy(guest("env"), folder.path().join("env.wasm")).unwrap();
    place.start("first", &["-e", "A=1"], &idle(), &[]);
    for name in ["args", "exit", "streams", "env"] {
        let file = folder.path().join(format!("{name}.wasm"));
        place.ok(&["cp", file.to_str().unwrap(), &format!("first:/{name}.wasm")]);
    }
    assert_eq!(place.ok(&["exec", "first", "args.wasm", "a", "--flag"]), "args.wasm\na\n--flag");
    assert_eq!(place.sampan(&["exec", "first", "/exit.wasm", "9"]).code, 9);
    let env = place.ok(&["exec", "-e", "B=2", "first", "/env.wasm"]);
    assert!(env.contains("A=1") && env.contains("B=2"), "{env}");
    let echoed = finish(&mut place.command(["exec", "-i", "first", "/streams.wasm", "echo"]), "through");
    assert_eq!((echoed.code, echoed.stdout.as_str()), (0, "through"), "{}", echoed.stderr);
    let missing = place.sampan(&["exec", "first", "/nothing.wasm"]);
    assert_eq!(missing.code, 127, "{}", missing.stderr);
    place.ok(&["stop", "first"]);
    place.fails(&["exec", "first", "/args.wasm"], 1, "is not running");
}

#[test]
fn a_terminal() {
    let place = Place::new();
    let streams = guest("streams");
    let seen = place.ok(&["run", "-t", "--rm", "--name", "t", streams.to_str().unwrap(), "tty"]);
    assert_eq!(seen, "stdin true stdout true stderr true");
    let seen = place.ok(&["run", "--rm", "--name", "t", streams.to_str().unwrap(), "tty"]);
    assert_eq!(seen, "stdin false stdout false stderr false");
}
