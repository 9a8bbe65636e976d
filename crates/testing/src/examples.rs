//! Apps of `examples/` whose programs are built by tools of other languages. Kept like packages, and built again when
//! their source changes.

use crate::packages::{copy_folder, kept, run};
use crate::root;
use crate::spin::digest;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The folder of an example that npm builds, with what it built.
#[track_caller]
pub fn npm_example(name: &str) -> Option<PathBuf> {
    let source = root().join("examples").join(name);
    kept("examples-npm", name, &digest(&source), |folder| {
        copy_folder(&source.join("."), folder)?;
        // The lock file names versions and digests of all that is fetched.
        run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))?;
        run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder))?;
        fs::remove_dir_all(folder.join("node_modules")).map_err(|error| error.to_string())
    })
}
