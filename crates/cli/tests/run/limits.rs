//! Each limit ends the guest alone, with one sentence and its own exit code.

use crate::{assert_error, run, run_text};
use sampan_testing::{guest, guest_for, sampan, wat};
use std::time::{Duration, Instant};

const BOTH: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

#[test]
fn time_ends_a_loop_and_a_sleep() {
    for platform in BOTH {
        for kind in ["", "calls", "sleep"] {
            let begin = Instant::now();
            let path = guest_for(platform, "endless");
            let finished = run(["--timeout".as_ref(), "200ms".as_ref(), path.as_os_str(), kind.as_ref()]);
            assert_error(&finished, 124, "its time of 200ms is over");
            assert!(begin.elapsed() >= Duration::from_millis(200));
            assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        }
    }
}

#[test]
fn compiling_is_not_the_guests_time() {
    let path = guest("hello");
    let finished = run(["--no-cache".as_ref(), "--timeout".as_ref(), "20s".as_ref(), path.as_os_str()]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn processor_time_ends_a_loop_and_not_a_sleep() {
    let path = guest("endless");
    let finished = run(["--cpu-time".as_ref(), "100ms".as_ref(), path.as_os_str()]);
    assert_error(&finished, 152, "its processor time of 100ms is over");
    let flags = ["--cpu-time".as_ref(), "150ms".as_ref(), "--timeout".as_ref(), "300ms".as_ref()];
    let finished = run(flags.into_iter().chain([path.as_os_str(), "sleep".as_ref()]));
    assert_error(&finished, 124, "its time of 300ms is over");
}

#[test]
fn fuel_ends_a_loop() {
    let path = guest("endless");
    assert_error(
        &run(["--fuel".as_ref(), "5000000".as_ref(), path.as_os_str()]),
        153,
        "used up its fuel of 5000000",
    );
    let hello = guest("hello");
    assert_eq!(run(["--fuel".as_ref(), "5000000".as_ref(), hello.as_os_str()]).code, 0);
}

#[test]
fn memory_ends_a_hog_and_the_process_stays_small() {
    for platform in BOTH {
        let path = guest_for(platform, "memory");
        let finished = run(["-m", "64m", "--timing", path.to_str().unwrap(), "200"]);
        assert_error(&finished, 137, "may have 64.0 MiB");
        let peak = peak_of_process(&finished.stderr);
        // What is mapped of this unoptimised binary counts too.
        assert!(peak < 64.0 + 48.0, "{peak} MiB");
        let finished = run(["-m", "64m", path.to_str().unwrap(), "20"]);
        assert_eq!((finished.code, finished.stdout.trim()), (0, "took 20 MiB"), "{}", finished.stderr);
    }
}

/// MiB, from what `--timing` prints.
fn peak_of_process(stderr: &str) -> f64 {
    let line = stderr.lines().find(|line| line.starts_with("timing: peak memory")).unwrap();
    line.split(' ').nth(3).unwrap().parse().unwrap()
}

#[test]
fn tables_count_as_memory_and_claims_are_refused_before_the_start() {
    assert_error(
        &run(["-m".as_ref(), "16m".as_ref(), wat("table-hog").as_os_str()]),
        137,
        "may have 16.0 MiB",
    );
    let claim = "(module (memory 65536) (func (export \"_start\")))";
    assert_error(&run_text(&["-m", "64m"], claim), 137, "asked for 4096.0 MiB");
    // Without a limit a claim is only address space.
    assert_eq!(run_text(&[], claim).code, 0);
}

#[test]
fn many_memories_share_one_limit() {
    let memories = "(memory 100)".repeat(20);
    let text = format!("(module {memories} (func (export \"_start\")))");
    assert_error(&run_text(&["-m", "64m"], &text), 137, "may have 64.0 MiB");
}

#[test]
fn the_stack_is_a_limit_that_can_be_set() {
    // 20,000 frames: too deep for 256 KiB, fine for the default.
    let text = "(module (func $f (param i32) (if (i32.gt_s (local.get 0) (i32.const 0)) (then \
        (call $f (i32.sub (local.get 0) (i32.const 1)))))) (func (export \"_start\") (call $f (i32.const 20000))))";
    assert_error(&run_text(&["--stack", "256k"], text), 139, "call stack is exhausted");
    assert_eq!(run_text(&[], text).code, 0);
    assert_error(&run_text(&["--stack", "2g"], text), 125, "--stack is larger than 1g");
}

#[test]
fn wrong_limits_are_usage_errors() {
    for args in [["-m", "much"], ["-m", "0"], ["--timeout", "soon"], ["--fuel", "-1"]] {
        let finished = run(args.into_iter().chain(["x.wasm"]));
        assert_eq!(finished.code, 125, "{args:?}");
        assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    }
}

#[test]
fn a_small_address_space_is_said_and_still_runs() {
    let hello = guest("hello");
    let program = sampan().get_program().to_owned();
    let script = "ulimit -v 3000000 && exec \"$0\" run --no-cache \"$1\"";
    let output =
        std::process::Command::new("sh").args(["-c", script]).arg(program).arg(hello).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("little address space"));
}
