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
    let (example, library) = ("examples/dapr-state", "sdk/assemblyscript");
    let version = [example, library].map(|part| digest(&root().join(part))).concat();
    let folder = kept("examples-npm", "dapr-state", &version, |folder| {
        for part in [example, library] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
            copy_folder(&root().join(part).join("."), &folder.join(part))?;
        }
        build(&folder.join(example))
    })?;
    Some(folder.join(example))
}

/// A program of `sdk/assemblyscript/tests`, which uses all of the client library, built as the example is.
#[track_caller]
pub fn dapr_library_guest() -> Option<PathBuf> {
    let (example, library) = ("examples/dapr-state", "sdk/assemblyscript");
    let version = [example, library].map(|part| digest(&root().join(part))).concat();
    let folder = kept("examples-npm", "dapr-library", &version, |folder| {
        for part in [example, library] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
            copy_folder(&root().join(part).join("."), &folder.join(part))?;
        }
        let program = folder.join(library).join("tests/every-call.ts");
        let main = folder.join(example).join("assembly/index.ts");
        fs::copy(program, main).map_err(|error| error.to_string())?;
        build(&folder.join(example))
    })?;
    Some(folder.join(example).join("build/main.wasm"))
}

fn build(folder: &Path) -> Result<(), String> {
    // The lock file names versions and digests of all that is fetched.
    run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))?;
    run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder))?;
    fs::remove_dir_all(folder.join("node_modules")).map_err(|error| error.to_string())
}
