//! A trap is told with a reason and a backtrace of the guest, and can leave a core dump.

use crate::{assert_error, run, run_text};
use sampan_testing::{guest, temp_dir, wat};

fn trap(kind: &str) -> sampan_testing::Finished {
    run([guest("trap").as_os_str(), kind.as_ref()])
}

#[test]
fn reasons_are_words() {
    for (kind, reason) in [
        ("unreachable", "reached code that it says is unreachable"),
        ("bounds", "memory out of bounds"),
        ("panic", "reached code that it says is unreachable"),
    ] {
        let finished = trap(kind);
        assert_eq!(finished.code, 134, "{}", finished.stderr);
        assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    }
    assert!(trap("panic").stderr.contains("the guest panicked on purpose"));
    let finished = run([wat("divide")]);
    assert_eq!(finished.code, 134);
    assert!(finished.stderr.contains("divided by zero"), "{}", finished.stderr);
}

#[test]
fn the_backtrace_has_demangled_names_files_and_lines() {
    let text = trap("unreachable").stderr;
    for part in ["trap::middle", "trap::outer", "trap::main", "main.rs:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("_ZN"), "{text}");
}

#[test]
fn a_deep_recursion_ends_with_a_short_backtrace() {
    let finished = trap("recursion");
    assert!(finished.code == 139 || finished.code == 134, "{}: {}", finished.code, finished.stderr);
    assert!(finished.stderr.lines().count() < 40, "{}", finished.stderr);
    let endless = "(module (func $f (export \"_start\") (call $f)))";
    assert_error(&run_text(&[], endless), 139, "call stack is exhausted");
}

#[test]
fn a_core_dump_is_written_on_a_trap_and_only_then() {
    let dir = temp_dir();
    let dump = dir.path().join("core");
    let flags = ["--coredump".as_ref(), dump.as_os_str()];
    assert_eq!(run(flags.into_iter().chain([guest("hello").as_os_str()])).code, 0);
    assert!(!dump.exists());
    let trap = guest("trap");
    let finished = run(flags.into_iter().chain([trap.as_os_str(), "unreachable".as_ref()]));
    assert_eq!(finished.code, 134);
    assert!(finished.stderr.contains("core dump written to"), "{}", finished.stderr);
    // The format of tool-conventions/Coredump.md: a wasm module with a section `core`.
    let bytes = std::fs::read(&dump).unwrap();
    assert!(bytes.starts_with(b"\0asm"));
    assert!(bytes.windows(9).any(|window| window == b"corestack"));
}

#[test]
fn a_core_dump_that_cannot_be_written_is_said() {
    let trap = guest("trap");
    let finished = run([
        "--coredump".as_ref(),
        "/no/such/folder/core".as_ref(),
        trap.as_os_str(),
        "unreachable".as_ref(),
    ]);
    assert_eq!(finished.code, 134);
    assert!(finished.stderr.contains("core dump not written"), "{}", finished.stderr);
}
