//! Requests per second of a hello, by Sampan in its ways of using instances, beside native hyper (the physical
//! limit) and `wasmtime serve` (the peer). The load is `wrk -t1 -c32` over keep-alive connections on loopback, which
//! shares the processors with the server; every round measures all servers in turn.

use super::{median, peer};
use crate::Result;
use crate::paths::{root, target};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROUNDS: usize = 5;
const ROUND: &str = "-d3s";

/// A server under test, killed when it is dropped.
pub(super) struct Server {
    pub title: &'static str,
    pub url: String,
    pub child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already, which the measurement has noticed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One round of one server.
pub(super) struct Load {
    pub requests_per_s: f64,
    pub p50: String,
    pub p99: String,
}

pub fn run(sampan: &Path) -> Result {
    wrk()?;
    let peer = peer()?;
    crate::guests::build(&["serve-hello".to_owned(), "serve-hello-p3".to_owned()])?;

    let guests = target().join("guests/wasm32-wasip2");
    let mut servers = vec![native()?];
    servers.extend(own(sampan, &guests)?);
    servers.push(wasmtime(&peer, "wasmtime serve, 0.2", &guests.join("serve-hello.wasm"), &["-Scli"])?);
    let flags = ["-Scli", "-Sp3", "-Wcomponent-model-async"];
    servers.push(wasmtime(&peer, "wasmtime serve, 0.3", &guests.join("serve-hello-p3.wasm"), &flags)?);
    let rounds = rounds(&servers)?;
    print("native", &servers, &rounds);
    Ok(())
}

/// Fails where the load generator is missing.
pub(super) fn wrk() -> Result {
    let found = Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.map(drop).map_err(|_| "wrk is not installed (Debian's package wrk)".into())
}

/// Loads all servers in turn, [`ROUNDS`] times: for each server its loads.
pub(super) fn rounds(servers: &[Server]) -> Result<Vec<Vec<Load>>> {
    let mut rounds: Vec<Vec<Load>> = servers.iter().map(|_| Vec::new()).collect();
    // The first does not count: caches, and threads that are not there yet.
    for round in 0..=ROUNDS {
        for (server, loads) in servers.iter().zip(&mut rounds) {
            let load = load(server)?;
            if round > 0 {
                loads.push(load);
            }
        }
    }
    Ok(rounds)
}

/// The physical limit: hyper alone.
pub(super) fn native() -> Result<Server> {
    let example = ["build", "--release", "--workspace", "--example", "native_hello"];
    let mut cargo = Command::new("cargo");
    cargo.args(example);
    // Cargo told us about ourselves, and build scripts of dependencies (ring's) begin anew where these change.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_"))
    {
        cargo.env_remove(name);
    }
    super::succeed(cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_LINKS"))?;
    let address = free_address()?;
    let program = target().join("release/examples/native_hello");
    start("native hyper", Command::new(program).arg(&address).stdout(Stdio::piped()), &address, "")
}

/// One process with a component for each way of using instances.
fn own(sampan: &Path, guests: &Path) -> Result<Vec<Server>> {
    let address = free_address()?;
    let folder = target().join("bench/serve");
    std::fs::create_dir_all(&folder)?;
    let mut manifest = format!("[app]\nname = \"bench\"\n\n[[listen]]\naddress = \"{address}\"\n");
    let ways = [
        ("fresh", "serve-hello", "reuse = 1"),
        ("reused", "serve-hello", "reuse = 1000000"),
        ("p3", "serve-hello-p3", ""),
    ];
    for (name, guest, limits) in ways {
        let source = guests.join(guest).with_extension("wasm");
        manifest += &format!(
            "\n[component.{name}]\nsource = \"{}\"\nlimits = {{ {limits} }}\n\n[[route]]\npath = \"/{name}\"\nto = \"{name}\"\n",
            source.display()
        );
    }
    let path = folder.join("sampan.toml");
    std::fs::write(&path, manifest)?;
    let mut command = Command::new(sampan);
    command.args(["up", "--admin", "off", "-f"]).arg(&path).stdout(Stdio::piped());
    let first = start("sampan up, 0.2, fresh instances", &mut command, &address, "/fresh")?;
    let same = |title, path| Server { title, url: format!("http://{address}{path}"), child: None };
    Ok(vec![first, same("sampan up, 0.2, reused instances", "/reused"), same("sampan up, 0.3", "/p3")])
}

fn wasmtime(peer: &Path, title: &'static str, wasm: &Path, flags: &[&str]) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(peer);
    command.arg("serve").args(flags).args(["--addr", &address]).arg(wasm);
    // It says on standard error where it listens.
    command.stderr(Stdio::piped());
    start(title, &mut command, &address, "/")
}

/// Starts a server and waits for its first line, on whichever stream is piped.
pub(super) fn start(title: &'static str, command: &mut Command, address: &str, path: &str) -> Result<Server> {
    let mut child = command.stdin(Stdio::null()).current_dir(root()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    } else if let Some(stderr) = child.stderr.take() {
        BufReader::new(stderr).read_line(&mut line)?;
    }
    let server = Server { title, url: format!("http://{address}{path}"), child: Some(child) };
    if line.is_empty() { Err(format!("{command:?} does not start").into()) } else { Ok(server) }
}

pub(super) fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn load(server: &Server) -> Result<Load> {
    let output = Command::new("wrk").args(["-t1", "-c32", ROUND, "--latency", &server.url]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |mark: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(mark));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    // A fast error is no answer.
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        return Err(format!("{}: {line}", server.title).into());
    }
    match (after("Requests/sec:"), after("50%"), after("99%")) {
        (Some(rate), Some(p50), Some(p99)) => Ok(Load { requests_per_s: rate.parse()?, p50, p99 }),
        _ => Err(format!("{}: wrk said\n{text}", server.title).into()),
    }
}

/// Each server's figures, and their ratios to those of the first.
pub(super) fn print(first: &str, servers: &[Server], rounds: &[Vec<Load>]) {
    println!(
        "\n{:<36}{:>12}{:>10}{:>8}{:>8}{:>10}{:>10}",
        "",
        "requests/s",
        format!(": {first}"),
        "min",
        "max",
        "p50",
        "p99"
    );
    for (server, loads) in servers.iter().zip(rounds) {
        let ratios: Vec<f64> = loads
            .iter()
            .zip(&rounds[0])
            .map(|(one, native)| one.requests_per_s / native.requests_per_s)
            .collect();
        let (min, max) =
            ratios.iter().fold((f64::MAX, 0.0f64), |(min, max), one| (min.min(*one), max.max(*one)));
        println!(
            "{:<36}{:>12.0}{:>10.3}{min:>8.3}{max:>8.3}{:>10}{:>10}",
            server.title,
            median(loads.iter().map(|load| load.requests_per_s)),
            median(ratios.iter().copied()),
            loads[0].p50,
            loads[0].p99,
        );
    }
}
