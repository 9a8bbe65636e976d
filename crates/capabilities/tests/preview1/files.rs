//! Files and standard streams through the descriptor table.

use crate::{Flags, Guest, run_to_end};
use sampan_testing::{guest, temp_dir};

const WASI: &str = "wasi_snapshot_preview1";

#[test]
fn files_have_descriptors_beside_sockets() {
    // Opens `f` in the first preopened folder, writes to it through two iovecs, and exits with its number.
    let wat = format!(
        r#"(module
          (import "{WASI}" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "{WASI}" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "f")
          (data (i32.const 16) "one, two")
          (data (i32.const 32) "\10\00\00\00\05\00\00\00" "\15\00\00\00\03\00\00\00")
          (func (export "_start")
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
                  (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64))
              (then (call $exit (i32.const 100))))
            (if (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 2) (i32.const 68))
              (then (call $exit (i32.const 101))))
            (if (i32.ne (i32.load (i32.const 68)) (i32.const 8)) (then (call $exit (i32.const 102))))
            (call $exit (i32.load (i32.const 64)))))"#
    );
    let folder = temp_dir();
    let mounts = [format!("{}:/data", folder.path().display())];
    let ended = run_to_end(&wat, &Flags { mounts: &mounts, ..Flags::default() });
    assert_eq!(ended.code, Ok(4));
    assert_eq!(std::fs::read_to_string(folder.path().join("f")).unwrap(), "one, two");
    // Without the folder there is no descriptor 3.
    assert_eq!(run_to_end(&wat, &Flags::default()).code, Ok(100));
}

#[test]
fn standard_streams_stream() {
    let mut echo = Guest::start_file(guest("streams"), &Flags { args: &["upper"], ..Flags::default() });
    for (text, reply) in [("a line\n", "A LINE"), ("another\n", "ANOTHER")] {
        echo.say(text);
        assert_eq!(echo.line(), reply);
    }
    assert_eq!(echo.end().code, Ok(0));
}

#[test]
fn a_poll_waits_for_standard_input_and_a_clock() {
    // Subscribes to standard input (userdata 7) and to a clock (userdata 8) an hour away, or 1 ms with an
    // argument; exits with the first event's userdata.
    let poll = |timeout_ns: u64| {
        format!(
            r#"(module
              (import "{WASI}" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
              (import "{WASI}" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 1)
              (func (export "_start")
                (i64.store (i32.const 0) (i64.const 7))
                (i32.store8 (i32.const 8) (i32.const 1))
                (i32.store (i32.const 16) (i32.const 0))
                (i64.store (i32.const 48) (i64.const 8))
                (i32.store (i32.const 64) (i32.const 1))
                (i64.store (i32.const 72) (i64.const {timeout_ns}))
                (if (call $poll (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 256))
                  (then (call $exit (i32.const 100))))
                (if (i32.ne (i32.load (i32.const 256)) (i32.const 1)) (then (call $exit (i32.const 101))))
                (call $exit (i32.wrap_i64 (i64.load (i32.const 128))))))"#
        )
    };
    let mut guest = Guest::start(poll(3_600_000_000_000).as_bytes(), &Flags::default());
    guest.say("x");
    assert_eq!(guest.end().code, Ok(7));
    let guest = Guest::start(poll(1_000_000).as_bytes(), &Flags::default());
    // Standard input stays open and silent until the guest has ended.
    let Guest { thread, stdin, .. } = guest;
    let error = thread.join().unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<wasmtime_wasi::I32Exit>().map(|exit| exit.0), Some(8));
    drop(stdin);
}

#[test]
fn a_poll_reports_bad_descriptors_and_refuses_bad_calls() {
    // Subscription 1: descriptor 99. Then: no subscriptions; a clock that is none; a misaligned array.
    let wat = format!(
        r#"(module
          (import "{WASI}" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
          (import "{WASI}" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func $expect (param $result i32) (param $wanted i32) (param $code i32)
            (if (i32.ne (local.get $result) (local.get $wanted)) (then (call $exit (local.get $code)))))
          (func (export "_start")
            (i32.store8 (i32.const 8) (i32.const 1))
            (i32.store (i32.const 16) (i32.const 99))
            (call $expect (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256))
              (i32.const 0) (i32.const 1))
            (call $expect (i32.load (i32.const 256)) (i32.const 1) (i32.const 2))
            (call $expect (i32.load16_u (i32.const 136)) (i32.const 8) (i32.const 3))
            (call $expect (call $poll (i32.const 0) (i32.const 128) (i32.const 0) (i32.const 256))
              (i32.const 28) (i32.const 4))
            (call $expect (call $poll (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 256))
              (i32.const 4) (i32.const 5))
            (call $expect (call $poll (i32.const 0) (i32.const 128) (i32.const -1) (i32.const 256))
              (i32.const 28) (i32.const 6))
            (call $expect (call $poll (i32.const 0) (i32.const 65528) (i32.const 1) (i32.const 256))
              (i32.const 21) (i32.const 7))
            (i32.store8 (i32.const 8) (i32.const 0))
            (i32.store (i32.const 16) (i32.const 3))
            (call $expect (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256))
              (i32.const 28) (i32.const 8))))"#
    );
    assert_eq!(run_to_end(wat, &Flags::default()).code, Ok(0));
}

#[test]
fn preview_0_seeks_and_looks_in_its_own_way() {
    // Opens a file of 10 bytes, seeks to 2 before its end (whence 1; in preview 1 that is 2), from there 1
    // back (whence 0), and asks for its size at 24 and its type at 16 of a filestat of 56 bytes.
    let wat = r#"(module
      (import "wasi_unstable" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_unstable" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
      (import "wasi_unstable" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
      (import "wasi_unstable" "path_filestat_get"
        (func $path_stat (param i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "f")
      (func $expect (param $result i64) (param $wanted i64) (param $code i32)
        (if (i64.ne (local.get $result) (local.get $wanted)) (then (call $exit (local.get $code)))))
      (func $looks (param $at i32) (param $code i32)
        (call $expect (i64.load (i32.add (local.get $at) (i32.const 24))) (i64.const 10) (local.get $code))
        (call $expect (i64.load8_u (i32.add (local.get $at) (i32.const 16))) (i64.const 4) (local.get $code))
        (call $expect (i64.load (i32.add (local.get $at) (i32.const 56))) (i64.const 0) (local.get $code)))
      (func (export "_start")
        (call $expect (i64.extend_i32_u (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1)
          (i32.const 0) (i64.const 6) (i64.const 0) (i32.const 0) (i32.const 64))) (i64.const 0) (i32.const 1))
        (drop (call $seek (i32.load (i32.const 64)) (i64.const -2) (i32.const 1) (i32.const 72)))
        (call $expect (i64.load (i32.const 72)) (i64.const 8) (i32.const 2))
        (drop (call $seek (i32.load (i32.const 64)) (i64.const -1) (i32.const 0) (i32.const 72)))
        (call $expect (i64.load (i32.const 72)) (i64.const 7) (i32.const 3))
        (drop (call $seek (i32.load (i32.const 64)) (i64.const 5) (i32.const 2) (i32.const 72)))
        (call $expect (i64.load (i32.const 72)) (i64.const 5) (i32.const 4))
        (call $expect (i64.extend_i32_u (call $seek (i32.load (i32.const 64)) (i64.const 0) (i32.const 3)
          (i32.const 72))) (i64.const 28) (i32.const 5))
        (drop (call $stat (i32.load (i32.const 64)) (i32.const 128)))
        (call $looks (i32.const 128) (i32.const 6))
        (drop (call $path_stat (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 256)))
        (call $looks (i32.const 256) (i32.const 7))
        (call $expect (i64.extend_i32_u (call $stat (i32.const 99) (i32.const 128))) (i64.const 8)
          (i32.const 8))))"#;
    let folder = temp_dir();
    std::fs::write(folder.path().join("f"), "0123456789").unwrap();
    let mounts = [format!("{}:/data:ro", folder.path().display())];
    assert_eq!(run_to_end(wat, &Flags { mounts: &mounts, ..Flags::default() }).code, Ok(0));
}
