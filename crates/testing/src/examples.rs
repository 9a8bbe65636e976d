//! Apps of `examples/` whose programs are built by tools of other languages. Kept like packages, and built again when
//! their source changes.

use crate::packages::{copy_folder, kept, run};
use crate::root;
use crate::spin::digest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of an example that npm builds, with what it built.
#[track_caller]
pub fn npm_example(name: &str) -> Option<PathBuf> {
    let source = root().join("examples").join(name);
    kept("examples-npm", name, &digest(&source), |folder| {
        copy_folder(&source.join("."), folder)?;
        build(folder)
    })
}

/// The folder of `examples/dapr-state`, which is built with the client library beside it.
#[track_caller]
pub fn dapr_example() -> Option<PathBuf> {
    with_library("dapr-state", |_, _| Ok(()))
}

/// A program of `sdk/assemblyscript/tests`, which uses all of the client library, built as the example is.
#[track_caller]
pub fn dapr_library_guest() -> Option<PathBuf> {
    let example = with_library("dapr-library", |example, library| {
        let copied = fs::copy(library.join("tests/every-call.ts"), example.join("assembly/index.ts"));
        copied.map(drop).map_err(|error| error.to_string())
    })?;
    Some(example.join("build/main.wasm"))
}

/// The folder of `examples/dapr-state`, built beside the client library after `edit` has changed the copies of both.
#[track_caller]
fn with_library(name: &str, edit: impl Fn(&Path, &Path) -> Result<(), String>) -> Option<PathBuf> {
    let (example, library) = ("examples/dapr-state", "sdk/assemblyscript");
    let version = [example, library].map(|part| digest(&root().join(part))).concat();
    let folder = kept("examples-npm", name, &version, |folder| {
        for part in [example, library] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
            copy_folder(&root().join(part).join("."), &folder.join(part))?;
        }
        edit(&folder.join(example), &folder.join(library))?;
        build(&folder.join(example))
    })?;
    Some(folder.join(example))
}

fn build(folder: &Path) -> Result<(), String> {
    // The lock file names versions and digests of all that is fetched.
    run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))?;
    run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder))?;
    fs::remove_dir_all(folder.join("node_modules")).map_err(|error| error.to_string())
}
