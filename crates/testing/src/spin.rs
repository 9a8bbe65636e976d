//! Apps in `examples/spin`, built with the published SDKs: each a folder with its `spin.toml` and the wasm where
//! that says. Kept like packages, and built again when their source changes.

use crate::packages::{cargo, copy_folder, kept, npm_build, pip_into, run};
use crate::root;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An app written in Rust: built by the command that its `spin.toml` says.
#[track_caller]
pub fn spin_app(name: &str) -> Option<PathBuf> {
    let source = root().join("examples/spin").join(name);
    kept("spin", name, &digest(&source), |folder| {
        copy_folder(&source.join("."), folder)?;
        let manifest = fs::read_to_string(folder.join("spin.toml")).map_err(|error| error.to_string())?;
        let line = manifest.lines().find_map(|line| line.strip_prefix("command = \"cargo "));
        let arguments = line.and_then(|line| line.strip_suffix('"')).ok_or("no command in spin.toml")?;
        let mut build = cargo();
        // As Cargo compiles a dependency: today's lints are not what old SDKs were written for.
        build.args(arguments.split_whitespace()).arg("--locked").env("RUSTFLAGS", "--cap-lints=warn");
        run(build.current_dir(folder))?;
        keep_programs(&folder.join("target"))
    })
}

/// An app written in Python, made a component by componentize-py.
#[track_caller]
pub fn spin_python_app() -> Option<PathBuf> {
    let source = root().join("examples/spin/python");
    kept("spin", "python", &digest(&source), |folder| {
        copy_folder(&source.join("."), folder)?;
        let packages = folder.join("packages");
        pip_into(&packages, &["componentize-py==0.25.1", "spin-sdk==5.0.0"])?;
        // As its spin.toml has it, but for where the packages are.
        let mut build = Command::new(packages.join("bin/componentize-py"));
        build.args(["-w", "spin:up/http-trigger@4.1.0", "componentize", "app", "-o", "app.wasm"]);
        build.args(["-p", ".", "-p", "packages"]).env("PYTHONPATH", &packages);
        run(build.current_dir(folder))?;
        fs::remove_dir_all(packages).map_err(|error| error.to_string())
    })
}

/// An app written in JavaScript, made a component by componentize-js.
#[track_caller]
pub fn spin_javascript_app() -> Option<PathBuf> {
    let source = root().join("examples/spin/javascript");
    kept("spin", "javascript", &digest(&source), |folder| {
        copy_folder(&source.join("."), folder)?;
        npm_build(folder)
    })
}

/// Changes with every byte of the source.
pub(crate) fn digest(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = walk(folder);
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        (file.strip_prefix(folder).ok(), fs::read(&file).ok()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    // What someone built there is not the source.
    let built = ["build", "node_modules", "target"];
    let entries = entries.filter(|path| !built.iter().any(|name| path.ends_with(name)));
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// Of all that Cargo built, the programs alone: `target/PLATFORM/release/NAME.wasm`.
fn keep_programs(target: &Path) -> Result<(), String> {
    let keep = || -> std::io::Result<()> {
        for path in walk_all(target) {
            let program = path.extension().is_some_and(|extension| extension == "wasm")
                && path.parent().is_some_and(|parent| parent.ends_with("release"));
            if !program {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    };
    keep().map_err(|error| error.to_string())
}

fn walk_all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk_all(&path) } else { vec![path] }).collect()
}
