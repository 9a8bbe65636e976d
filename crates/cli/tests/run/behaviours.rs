//! Programs that do one thing each, and what a user sees of it.

use crate::{assert_error, run};
use sampan_testing::{guest_for, root, wat};
use std::time::SystemTime;

#[test]
fn clocks_tell_the_time_and_sleep() {
    for target in ["wasm32-wasip1", "wasm32-wasip2"] {
        let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let before = now();
        let finished = run([guest_for(target, "clocks").as_os_str(), "30".as_ref()]);
        let lines: Vec<&str> = finished.stdout.lines().collect();
        let [wall, monotonic, slept] = lines[..] else { panic!("{finished:?}") };
        let number = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap();
        assert!((before..=now()).contains(&number(wall)), "{wall}");
        assert_eq!(monotonic, "monotonic true");
        assert!(number(slept) >= 30, "{slept}");
    }
}

#[test]
fn a_c_program_of_debians_clang() {
    let guest = guest_for("c", "hello-c");
    let mount = format!("{}:/site:ro", root().join("examples/site").display());
    let mut args = vec!["-e", "NAME=you", "-v", &mount, guest.to_str().unwrap(), "/site/style.css"];
    let finished = run(&args);
    let style = std::fs::read_to_string(root().join("examples/site/style.css")).unwrap();
    assert_eq!((finished.code, finished.stdout), (0, format!("hello from C, you\n{style}")));
    args.push("/site/none");
    let finished = run(&args);
    assert_eq!((finished.code, finished.stderr.as_str()), (2, "/site/none: No such file or directory\n"));
}

/// Memory that is claimed and not touched costs address space only, but counts against a limit.
#[test]
fn a_claim_of_four_gigabytes() {
    assert_eq!(run([wat("huge-memory")]).code, 0);
    let limited = run(["-m".as_ref(), "64m".as_ref(), wat("huge-memory").as_os_str()]);
    assert_error(&limited, 137, "4096.0 MiB");
}

#[test]
fn a_library_has_nothing_to_start_but_functions_to_call() {
    let library = wat("library");
    assert_error(&run([&library]), 126, "nothing to start");
    let pair = run(["--invoke".as_ref(), "pair".as_ref(), library.as_os_str(), "7".as_ref()]);
    assert_eq!((pair.code, &*pair.stdout), (0, "7\n7\n"));
}
