//! What a user sees of `sampan run`: output, exit codes, messages, files.

mod bad_input;
mod basics;
mod cache;
mod compile;
mod explain;
mod greedy;
mod http;
mod invoke;
mod limits;
mod traps;
mod web_server;

use sampan_testing::{Finished, finish, sampan};
use std::ffi::OsStr;

/// Runs `sampan run` with these arguments and no input.
fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    finish(sampan().arg("run").args(args), "")
}

/// Runs a program in the text format, given on standard input.
fn run_text(args: &[&str], text: &str) -> Finished {
    finish(sampan().arg("run").args(args).arg("-"), text)
}

/// The message of an error: `error: …`, with a `help: …` line, and neither panic nor Rust backtrace.
#[track_caller]
fn assert_error(finished: &Finished, code: i32, message: &str) {
    let text = &finished.stderr;
    assert!(text.contains("error: ") && text.contains(message), "expected `{message}` in:\n{text}");
    assert!(text.contains("help: "), "no help in:\n{text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    assert_eq!(finished.code, code, "{text}");
}
