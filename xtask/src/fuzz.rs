//! Runs the targets of `fuzz/` for a given time, with the pinned compiler and nothing installed.
//!
//! It does what `cargo fuzz run --sanitizer none` does: the same layout, libFuzzer, and the coverage
//! instrumentation that guides it, which stable compilers have. The address sanitizer, which they lack, would
//! find nothing: the targets contain no unsafe code.

use crate::{Result, paths};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every branch counts what it did, and comparisons tell what they compared.
const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Longer inputs only make a run slower; the formats repeat themselves long before.
const INPUT_BYTES_MAX: usize = 100_000;

/// Targets whose input is a wasm file: they start from the guests.
const READ_WASM: [&str; 2] = ["artifact", "detect"];

pub fn run(seconds: &str, wanted: &[String]) -> Result {
    let seconds: u32 = seconds.parse().map_err(|_| format!("`{seconds}` is not a number of seconds"))?;
    let source = paths::root().join("fuzz");
    let build = paths::target().join("fuzz");
    let targets = targets(&source)?;
    if let Some(name) = wanted.iter().find(|name| !targets.contains(name)) {
        return Err(format!("there is no target `{name}`; fuzz/ has: {}", targets.join(", ")).into());
    }
    // Only code for a named target takes the flags; build scripts and macros stay as they are.
    let host = host()?;
    let built = Command::new("cargo")
        .args(["build", "--release", "--target", &host, "--target-dir"])
        .arg(&build)
        .env("RUSTFLAGS", INSTRUMENT)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(&source)
        .status()?;
    if !built.success() {
        return Err("the fuzz targets do not build; libFuzzer needs a C++ compiler".into());
    }
    for name in targets.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let program = build.join(&host).join("release").join(name);
        run_one(&program, &source, name, seconds)?;
    }
    Ok(())
}

/// Keeps what it finds: inputs that reach new code in `fuzz/corpus`, those that fail in `fuzz/artifacts`.
fn run_one(program: &Path, source: &Path, name: &str, seconds: u32) -> Result {
    let corpus = source.join("corpus").join(name);
    let artifacts = source.join("artifacts").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut fuzzer = Command::new(program);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    fuzzer.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.arg(&corpus);
    // libFuzzer reads further folders and leaves them as they are.
    let mut seeds = vec![source.join("seeds").join(name)];
    if READ_WASM.contains(&name) {
        let guests = paths::target().join("guests");
        seeds.extend(["wasm32-wasip1", "wasm32-wasip2"].map(|target| guests.join(target)));
    }
    fuzzer.args(seeds.iter().filter(|folder| folder.is_dir()));
    let output = fuzzer.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{said}\nfuzz: {name} failed; the input is in {}", artifacts.display()).into());
    }
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    eprintln!("fuzz: {name} stood {} inputs in {seconds} s", runs.unwrap_or("?").trim());
    Ok(())
}

fn targets(source: &Path) -> Result<Vec<String>> {
    let metadata = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(source)
        .output()?;
    if !metadata.status.success() {
        return Err(String::from_utf8_lossy(&metadata.stderr).into_owned().into());
    }
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let targets = metadata["packages"][0]["targets"].as_array().ok_or("fuzz/ has no targets")?;
    Ok(targets.iter().filter_map(|target| target["name"].as_str()).map(str::to_owned).collect())
}

/// The compiler's own platform.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(paths::root()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}
