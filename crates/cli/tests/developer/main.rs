//! The loop of a developer: start an app, build it, and have built what changes.

mod build;
mod new;
mod templates;
mod watch;

use sampan_testing::{Finished, finish, sampan};
use std::path::Path;
use std::process::Command;

/// `sampan` in a folder. Cargo's variables of the test's own build are not the app's.
fn sampan_in(folder: &Path, args: &[&str]) -> Command {
    let mut command = sampan();
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command.current_dir(folder).args(args);
    command
}

fn run(folder: &Path, args: &[&str]) -> Finished {
    finish(&mut sampan_in(folder, args), "")
}

/// Runs it, and it must end well.
#[track_caller]
fn good(folder: &Path, args: &[&str]) -> Finished {
    let finished = run(folder, args);
    assert_eq!(finished.code, 0, "sampan {args:?}: {finished:?}");
    finished
}
