//! What a component that never returns does to its neighbours: their latency with and without it, under as much load as
//! the machine takes, and under a given rate. The guests are `serve-hello` and the endless loop of `serve-p2`, which is
//! ended after half a second each time and called again.

use super::median;
use super::serve::{Server, free_address, start, wrk};
use crate::Result;
use crate::paths::target;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROUNDS: usize = 5;
const LOOPS: &str = "8";

/// How the neighbour is loaded.
struct Way {
    title: &'static str,
    connections: &'static str,
    /// Requests of a connection wait so long, in Lua.
    delay: &'static str,
}

const WAYS: [Way; 2] = [
    Way { title: "as much as it takes (8 connections)", connections: "8", delay: "" },
    Way {
        title: "at a rate (32 connections, a pause of 1 to 3 ms)",
        connections: "32",
        delay: "function delay() return math.random(1, 3) end",
    },
];

/// Milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
}

pub fn run(sampan: &Path) -> Result {
    wrk()?;
    crate::guests::build(&["serve-hello".to_owned(), "serve-p2".to_owned()])?;
    let folder = target().join("bench/neighbour");
    std::fs::create_dir_all(&folder)?;
    let server = server(sampan, &folder)?;
    println!("{:<52}{:>10}{:>10}{:>12}{:>12}{:>8}", "", "alone p50", "p99", "beside p50", "p99", "ratio");
    for (number, way) in WAYS.iter().enumerate() {
        let script = folder.join(format!("{number}.lua"));
        std::fs::write(&script, format!("{}\n{DONE}", way.delay))?;
        let mut pairs = Vec::new();
        for round in 0..=ROUNDS {
            let alone = load(&server, way, &script)?;
            let beside = {
                let _looping = looping(&server)?;
                load(&server, way, &script)?
            };
            // The first does not count.
            if round > 0 {
                pairs.push((alone, beside));
            }
        }
        let of = |value: fn(&(Latency, Latency)) -> f64| median(pairs.iter().map(value));
        println!(
            "{:<52}{:>10.2}{:>10.2}{:>12.2}{:>12.2}{:>8.2}",
            way.title,
            of(|(alone, _)| alone.p50),
            of(|(alone, _)| alone.p99),
            of(|(_, beside)| beside.p50),
            of(|(_, beside)| beside.p99),
            of(|(alone, beside)| beside.p99 / alone.p99),
        );
    }
    Ok(())
}

const DONE: &str = "function done(_, latency, _)\n  io.write(string.format('%.3f %.3f\\n', \
                    latency:percentile(50) / 1000, latency:percentile(99) / 1000))\nend\n";

fn server(sampan: &Path, folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let guests = target().join("guests/wasm32-wasip2");
    let manifest = format!(
        "[app]\nname = \"bench\"\n[[listen]]\naddress = \"{address}\"\n\
         [component.good]\nsource = \"{at}/serve-hello.wasm\"\n[[route]]\npath = \"/good\"\nto = \"good\"\n\
         [component.bad]\nsource = \"{at}/serve-p2.wasm\"\nlimits = {{ time = \"500ms\" }}\n\
         [[route]]\npath = \"/loop\"\nto = \"bad\"\n",
        at = guests.display()
    );
    let path = folder.join("sampan.toml");
    std::fs::write(&path, manifest)?;
    let mut command = Command::new(sampan);
    command.args(["up", "--admin", "off", "-f"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null());
    start("sampan up", &mut command, &address, "")
}

/// Requests that never return, one after the other, until it is dropped.
struct Looping(Child);

impl Drop for Looping {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn looping(server: &Server) -> Result<Looping> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c", LOOPS, "-d1m"]).arg(format!("{}/loop", server.url));
    Ok(Looping(command.stdout(Stdio::null()).spawn()?))
}

fn load(server: &Server, way: &Way, script: &Path) -> Result<Latency> {
    let mut command = Command::new("wrk");
    command
        .args(["-t1", "-c", way.connections, "-d3s", "-s"])
        .arg(script)
        .arg(format!("{}/good", server.url));
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Vec<f64> =
        text.lines().last().unwrap_or_default().split(' ').filter_map(|n| n.parse().ok()).collect();
    match last[..] {
        [p50, p99] if !text.contains("Non-2xx") => Ok(Latency { p50, p99 }),
        _ => Err(format!("wrk said\n{text}").into()),
    }
}
