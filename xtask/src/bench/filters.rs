//! What a proxy-wasm filter costs: Envoy and Sampan as proxies of the same upstream, each with and without the filter of
//! `guests/polyglot-rust`, which edits headers. Both have a worker per core; the load and the upstream share the
//! processors with them. Every round measures all in turn.

use super::median;
use super::serve::{Load, Server, free_address, native, rounds, start, wrk};
use crate::Result;
use crate::paths::target;
use sampan_testing::servers::{Envoy, EnvoyFilter};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// In `guests/`. It does not touch the body of the upstream's answer, which is no plain text to it.
const FILTER: &str = "polyglot-rust";

pub fn run(sampan: &Path) -> Result {
    wrk()?;
    crate::guests::build(&[FILTER.to_owned()])?;
    let wasm = target().join("guests/wasm32-wasip1").join(FILTER).with_extension("wasm");
    let upstream = native()?;
    let address: SocketAddr = upstream.url.trim_start_matches("http://").parse()?;

    let filter = EnvoyFilter { root_id: "polyglot".to_owned(), ..EnvoyFilter::from(wasm.as_path()) };
    let workers = std::thread::available_parallelism()?.get();
    let envoy = Envoy::start_with(workers, &[vec![], vec![filter]], &[("upstream", address)])
        .ok_or("Envoy is not to be had")?;
    let url = |number: usize| format!("http://{}/", envoy.addresses[number]);
    let mut servers = vec![
        upstream,
        Server { title: "Envoy", url: url(0), child: None },
        Server { title: "Envoy with the filter", url: url(1), child: None },
    ];
    servers.extend(own(sampan, &wasm, address)?);
    let rounds = rounds(&servers)?;
    print(&servers, &rounds);
    Ok(())
}

fn own(sampan: &Path, wasm: &Path, upstream: SocketAddr) -> Result<[Server; 2]> {
    let address = free_address()?;
    let folder = target().join("bench/filters");
    std::fs::create_dir_all(&folder)?;
    let manifest = format!(
        "[app]\nname = \"bench\"\n\n[[listen]]\naddress = \"{address}\"\n\n\
         [upstream.upstream]\nservers = [\"{upstream}\"]\n\n\
         [filter.headers]\nsource = \"{}\"\nroot_id = \"polyglot\"\n\n\
         [[route]]\npath = \"/plain\"\nto = \"upstream:upstream\"\n\n\
         [[route]]\npath = \"/filtered\"\nto = \"upstream:upstream\"\nfilters = [\"headers\"]\n",
        wasm.display()
    );
    let path = folder.join("sampan.toml");
    std::fs::write(&path, manifest)?;
    let mut command = Command::new(sampan);
    command.args(["up", "--admin", "off", "-f"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null());
    let plain = start("Sampan", &mut command, &address, "/plain")?;
    let filtered =
        Server { title: "Sampan with the filter", url: format!("http://{address}/filtered"), child: None };
    Ok([plain, filtered])
}

/// Medians, and the ratios of what was measured in the same round.
fn print(servers: &[Server], rounds: &[Vec<Load>]) {
    println!("\n{:<30}{:>12}{:>10}{:>10}", "", "requests/s", "p50", "p99");
    for (server, loads) in servers.iter().zip(rounds) {
        let rate = median(loads.iter().map(|load| load.requests_per_s));
        println!("{:<30}{rate:>12.0}{:>10}{:>10}", server.title, loads[0].p50, loads[0].p99);
    }
    println!();
    for (title, above, below) in [
        ("Envoy: with the filter / without", 2, 1),
        ("Sampan: with the filter / without", 4, 3),
        ("Sampan / Envoy, without", 3, 1),
        ("Sampan / Envoy, with", 4, 2),
    ] {
        let ratios = rounds[above].iter().zip(&rounds[below]);
        let ratios: Vec<f64> = ratios.map(|(a, b)| a.requests_per_s / b.requests_per_s).collect();
        let (min, max) =
            ratios.iter().fold((f64::MAX, 0.0f64), |(min, max), one| (min.min(*one), max.max(*one)));
        println!("{title:<36}{:>8.3}   {min:.3} to {max:.3}", median(ratios.iter().copied()));
    }
    // What one exchange costs, where the processors are the limit: all of them together, per request.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    for (title, with, without) in [("Envoy", 2, 1), ("Sampan", 4, 3)] {
        let cost = |loads: &[Load]| cores * 1e6 / median(loads.iter().map(|load| load.requests_per_s));
        let added = cost(&rounds[with]) - cost(&rounds[without]);
        println!("{title}: the filter adds {added:.1} µs of all processors to a request");
    }
}
