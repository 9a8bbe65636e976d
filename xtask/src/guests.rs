//! Builds the programs in `guests/` into `target/guests/TARGET/NAME.wasm`.
//!
//! Cargo decides what is up to date: there is one call of it per target, over all guests, and a call with
//! nothing to do takes about a tenth of a second. C programs go to `target/guests/c/NAME.wasm`.

use crate::{Result, paths};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The name under which C programs are listed, beside Rust's targets.
const C: &str = "c";

/// Guest names by target.
type Guests = BTreeMap<String, BTreeSet<String>>;

/// Builds the guests named, or all.
pub fn build(names: &[String]) -> Result {
    let source = paths::root().join("guests");
    let mut guests = list(&source)?;
    let known: BTreeSet<String> = guests.values().flatten().cloned().collect();
    if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
        let known = Vec::from_iter(known).join(", ");
        return Err(format!("there is no guest `{name}`; guests/ has: {known}").into());
    }
    for list in guests.values_mut() {
        list.retain(|name| names.is_empty() || names.contains(name));
    }
    guests.retain(|_, list| !list.is_empty());

    let output = paths::target().join("guests");
    for (target, names) in &guests {
        let start = Instant::now();
        let folder = output.join(target);
        fs::create_dir_all(&folder)?;
        if target == C {
            build_c(&source, &folder, names)?;
        } else {
            build_rust(&source, &output.join("build"), &folder, target, names)?;
        }
        eprintln!("guests: {} for {target} in {:.1} s", names.len(), start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn list(source: &Path) -> Result<Guests> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(source)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("cargo metadata failed in guests/".into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut guests = rust_guests(&metadata)?;
    guests.insert(C.to_owned(), c_guests(&source.join("c"))?);
    Ok(guests)
}

/// Reads `[package.metadata.sampan] targets` of each package.
fn rust_guests(metadata: &Value) -> Result<Guests> {
    let mut guests = Guests::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().ok_or("a package without name")?;
        let targets = package["metadata"]["sampan"]["targets"].as_array();
        let targets: Option<Vec<&str>> = targets.and_then(|list| list.iter().map(Value::as_str).collect());
        let targets = targets.filter(|list| !list.is_empty()).ok_or_else(|| {
            format!("guests/{name}/Cargo.toml lacks [package.metadata.sampan] targets = [\"wasm32-wasip1\"]")
        })?;
        for target in targets {
            guests.entry(target.to_owned()).or_default().insert(name.to_owned());
        }
    }
    Ok(guests)
}

fn c_guests(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}

fn build_rust(source: &Path, build: &Path, folder: &Path, target: &str, names: &BTreeSet<String>) -> Result {
    check_target(source, target)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--message-format=json-render-diagnostics", "--target", target]);
    cargo.arg("--target-dir").arg(build).current_dir(source).stderr(Stdio::inherit());
    cargo.args(names.iter().flat_map(|name| ["--package", name]));
    if std::env::var_os("CI").is_some() {
        cargo.arg("--locked");
    }
    // Flags meant for the host's code would fail, or compile everything anew.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("the guests for {target} do not build").into());
    }
    let mut built = artifacts(&String::from_utf8(output.stdout)?)?;
    for name in names {
        let artifact = built.remove(name).ok_or_else(|| format!("cargo named no wasm file for {name}"))?;
        install(&artifact, &folder.join(name).with_extension("wasm"))?;
    }
    Ok(())
}

fn check_target(source: &Path, target: &str) -> Result {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(source)
        .output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    Err(format!("Rust's standard library for {target} is missing; run: rustup target add {target}").into())
}

/// Which wasm file each package became, from Cargo's messages (one JSON value a line).
fn artifacts(messages: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut built = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line)?;
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let package = manifest.parent().and_then(Path::file_name);
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for file in files.filter(|file| file.ends_with(".wasm")) {
            let package = package.ok_or("an artifact without package")?.to_string_lossy();
            built.insert(package.into_owned(), PathBuf::from(file));
        }
    }
    Ok(built)
}

/// Puts a copy in place by renaming, so that a test that reads meanwhile sees the old or the new file.
fn install(from: &Path, to: &Path) -> Result {
    let new = to.with_extension(format!("{}.new", std::process::id()));
    fs::copy(from, &new)?;
    fs::rename(&new, to)?;
    Ok(())
}

fn build_c(source: &Path, folder: &Path, names: &BTreeSet<String>) -> Result {
    for name in names {
        let from = source.join("c").join(name).with_extension("c");
        let to = folder.join(name).with_extension("wasm");
        if modified(&to)? > modified(&from)? {
            continue;
        }
        // Debian keeps the headers and libraries of wasi-libc beside its own, below /usr; clang finds
        // them by the target's name.
        let status = Command::new("clang")
            .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&to, &from])
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!(
                "clang did not compile {}; on Debian and Ubuntu it needs the packages clang, lld, wasi-libc \
                 and libclang-rt-dev-wasm32 (scripts/install-test-needs.sh installs them)",
                from.display()
            )
            .into());
        }
    }
    Ok(())
}

/// When the file was last written; `None`, which is before every time, if it does not exist.
fn modified(path: &Path) -> Result<Option<std::time::SystemTime>> {
    if path.exists() { Ok(Some(fs::metadata(path)?.modified()?)) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_guest_names_its_targets() {
        let package = |metadata: Value| json!({ "packages": [{ "name": "one", "metadata": metadata }] });
        let guests = rust_guests(&package(json!({ "sampan": { "targets": ["a", "b"] } }))).unwrap();
        assert_eq!(Vec::from_iter(guests.keys()), ["a", "b"]);
        for metadata in [json!(null), json!({ "sampan": { "targets": [] } }), json!({ "sampan": 1 })] {
            let error = rust_guests(&package(metadata)).unwrap_err().to_string();
            assert!(error.contains("guests/one/Cargo.toml"), "{error}");
        }
    }

    #[test]
    fn artifacts_are_named_by_their_package() {
        let message = json!({
            "reason": "compiler-artifact",
            "manifest_path": "/p/guests/hello-p3/Cargo.toml",
            "filenames": ["/t/hello_p3.wasm", "/t/hello_p3.d"],
        });
        let messages = format!("noise\n{message}\n{{\"reason\":\"build-finished\"}}\n");
        let built = artifacts(&messages).unwrap();
        assert_eq!(built["hello-p3"], Path::new("/t/hello_p3.wasm"));
        assert_eq!(built.len(), 1);
    }
}
