//! `sampan inspect`: what it tells of every kind of file, as text and as JSON.

use crate::assert_error;
use sampan_testing::{Finished, finish, guest, guest_for, sampan, temp_dir, wat};
use std::ffi::OsStr;

fn inspect(args: &[impl AsRef<OsStr>]) -> Finished {
    finish(sampan().arg("inspect").args(args), "")
}

#[test]
fn kinds_are_told_in_words() {
    for (path, words) in [
        (guest("hello"), "a command for WASI preview 1"),
        (guest_for("wasm32-wasip2", "hello"), "a command component for WASI 0.2"),
        (guest_for("wasm32-wasip2", "hello-p3"), "a command component for WASI 0.3"),
        (guest("reactor"), "a module for WASI preview 1"),
        (wat("preview0"), "preview 0"),
        (wat("start-section"), "start section"),
        (guest_for("wasm32-wasip2", "invoke"), "component"),
    ] {
        let finished = inspect(&[&path]);
        let kind = finished.stdout.lines().find(|line| line.starts_with("Kind"));
        assert!(kind.is_some_and(|kind| kind.contains(words)), "`{words}` in {kind:?} of {}", path.display());
    }
}

#[test]
fn the_report_names_interfaces_sizes_tools_and_likely_grants() {
    let text = inspect(&[guest_for("wasm32-wasip2", "files")]).stdout;
    for part in
        ["wasi:filesystem/types@0.2", "wasi:cli/run@0.2", "rustc", "Rust", "-v HOST:GUEST", "Size by section"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let text = inspect(&[guest("trap")]).stdout;
    assert!(text.contains("DWARF"), "{text}");
    let text = inspect(&[guest_for("wasm32-wasip2", "messaging")]).stdout;
    for part in
        ["exports wasi:messaging/incoming-handler@0.2.0-draft", "grant.messaging  ", "publishes messages"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("does not provide"), "{text}");
}

#[test]
fn json_is_for_programs() {
    let finished = inspect(&["--json".as_ref(), guest("hello").as_os_str()]);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(report["kind"].is_string(), "{report}");
    assert!(finished.stdout.contains("wasi_snapshot_preview1"));
}

#[test]
fn native_code_is_shown_with_its_signature() {
    let dir = temp_dir();
    let one = dir.path().join("one.wasm");
    let with_keys = |config: &str, args: &[&OsStr]| {
        finish(sampan().args(args).env("XDG_CONFIG_HOME", dir.path().join(config)), "")
    };
    let hello = guest("hello");
    let compiled = with_keys("a", &["compile".as_ref(), "-o".as_ref(), one.as_os_str(), hello.as_os_str()]);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
    let here = with_keys("a", &["inspect".as_ref(), one.as_os_str()]).stdout;
    let elsewhere = with_keys("b", &["inspect".as_ref(), one.as_os_str()]).stdout;
    assert!(here.contains("program") && here.contains("x86_64") || here.contains("aarch64"), "{here}");
    assert_ne!(here, elsewhere, "trust makes no difference");
}

#[test]
fn the_text_format_and_standard_input_are_read() {
    let text = std::fs::read(wat("library")).unwrap();
    let finished = finish(sampan().args(["inspect", "-"]), text);
    assert!(finished.stdout.starts_with("Kind"), "{}", finished.stderr);
}

#[test]
fn what_is_no_wasm_is_explained() {
    assert_error(&inspect(&["/no/such.wasm"]), 1, "/no/such.wasm");
    assert_error(&inspect(&["/bin/sh"]), 1, "native program");
    assert_error(&finish(sampan().args(["inspect", "-"]), ""), 1, "empty");
    assert_error(&finish(sampan().args(["inspect", "-"]), "(module (func"), 1, "expected");
}
