//! `cargo xtask bench`: Sampan beside a peer, whole processes, in turn, so that the drift of a machine's speed
//! falls on both. Prints medians and the ratio of each pair; judges nothing.

mod containers;
mod dapr;
mod filters;
mod gateway;
mod neighbour;
mod serve;

use crate::Result;
use crate::paths::{root, target};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const PEER: &str = "wasmtime";
const INSTALL: &str = "cargo install wasmtime-cli@48.0.8 --locked";

/// What is compared: the same program by both, `runs` times in turn.
struct Case {
    title: &'static str,
    guest: &'static str,
    args: &'static [&'static str],
    runs: usize,
}

const CASES: [Case; 4] = [
    Case { title: "start of a cached hello", guest: "hello", args: &[], runs: 100 },
    Case { title: "floating point (bodies)", guest: "compute", args: &["bodies", "2000000"], runs: 11 },
    Case { title: "integers (hash)", guest: "compute", args: &["hash", "2000"], runs: 11 },
    Case { title: "memory (sort)", guest: "compute", args: &["sort", "400"], runs: 11 },
];

/// `None` where the verb is no benchmark.
pub fn run(verb: &str, sampan: Option<&str>) -> Option<Result> {
    let run = match verb {
        "bench" => programs_and_serving,
        // A proxy in front of one server, by Sampan and by nginx.
        "bench-gateway" => gateway::run,
        // A proxy-wasm filter in Sampan and in Envoy.
        "bench-filters" => filters::run,
        "bench-neighbour" => neighbour::run,
        // A state get in a guest and in a program with a client of the store.
        "bench-dapr" => dapr::run,
        // Containers beside those of runc, images beside native ones.
        "bench-containers" => containers::run,
        _ => return None,
    };
    // What `make install` builds: that is what people run.
    Some(run(&sampan.map_or_else(|| target().join("release/sampan"), PathBuf::from)))
}

fn programs_and_serving(sampan: &Path) -> Result {
    let peer = peer()?;
    crate::guests::build(&["hello".to_owned(), "compute".to_owned()])?;
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    println!("A = {} run FILE.wasm (cached)", sampan.display());
    println!("B = {PEER} run --allow-precompiled FILE.cwasm\n");
    println!("{:<26}{:>10}{:>10}{:>8}{:>8}{:>8}", "", "A ms", "B ms", "A/B", "min", "max");
    for case in &CASES {
        let wasm = target().join("guests/wasm32-wasip1").join(case.guest).with_extension("wasm");
        let precompiled = folder.join(case.guest).with_extension("cwasm");
        succeed(Command::new(&peer).arg("compile").arg(&wasm).arg("-o").arg(&precompiled))?;
        let mut a = Command::new(sampan);
        a.arg("run").arg(&wasm).args(case.args);
        let mut b = Command::new(&peer);
        b.args(["run", "--allow-precompiled"]).arg(&precompiled).args(case.args);
        compare(case, &mut a, &mut b)?;
    }
    serve::run(sampan)
}

/// The peer of the same engine version, from PATH.
fn peer() -> Result<PathBuf> {
    match Command::new(PEER).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(PathBuf::from(PEER)),
        _ => Err(format!("{PEER} is not on the PATH; {INSTALL} installs it (this takes 20 minutes)").into()),
    }
}

fn compare(case: &Case, a: &mut Command, b: &mut Command) -> Result {
    // Once each that does not count: caches of the disk and of Sampan.
    once_ms(a)?;
    once_ms(b)?;
    let mut pairs = Vec::new();
    for _ in 0..case.runs {
        pairs.push((once_ms(a)?, once_ms(b)?));
    }
    let ratios: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    let (min, max) =
        ratios.iter().fold((f64::MAX, 0.0f64), |(min, max), ratio| (min.min(*ratio), max.max(*ratio)));
    println!(
        "{:<26}{:>10.2}{:>10.2}{:>8.2}{min:>8.2}{max:>8.2}",
        case.title,
        median(pairs.iter().map(|pair| pair.0)),
        median(pairs.iter().map(|pair| pair.1)),
        median(ratios.iter().copied()),
    );
    Ok(())
}

fn once_ms(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let elapsed_ms = begin.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(elapsed_ms) } else { Err(format!("{command:?} failed: {status}").into()) }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn succeed(command: &mut Command) -> Result {
    let status = command.current_dir(root() as &Path).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
