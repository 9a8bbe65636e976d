//! How long a guest waits for a state get of Dapr's API that is answered in process, beside a program that asks the
//! same store itself. The guest is `dapr-app`, which measures with its own clock.

use super::serve::{Server, free_address, start};
use super::{median, succeed};
use crate::Result;
use crate::paths::target;
use sampan_testing::servers::Redis;
use sampan_testing::{http_send, temp_dir};
use std::path::Path;
use std::process::{Command, Stdio};

const ROUNDS: usize = 5;
const GETS: &str = "5000";
/// Where both find the value: the app's id and the guest's key.
const KEY: &str = "bench||measured";

/// Microseconds.
struct Latency {
    p50: f64,
    p99: f64,
}

pub fn run(sampan: &Path) -> Result {
    crate::guests::build(&["dapr-app".to_owned()])?;
    succeed(Command::new("cargo").args(["build", "--release", "--workspace", "--example", "direct_state"]))?;
    let direct = target().join("release/examples/direct_state");
    let redis = Redis::start().ok_or("the benchmark needs redis-server")?;
    let folder = temp_dir();
    let file = folder.path().join("state.db");
    let (server, address) = server(sampan, folder.path(), &file, redis.port)?;
    println!("one get of 100 bytes after the other, median of {ROUNDS} rounds of {GETS}, in microseconds");
    println!("{:<12}{:>12}{:>10}{:>14}{:>10}{:>8}", "", "guest p50", "p99", "direct p50", "p99", "ratio");
    let places = [
        ("memory", None),
        ("sqlite", Some(file.display().to_string())),
        ("redis", Some(redis.port.to_string())),
    ];
    for (store, place) in places {
        let mut pairs = Vec::new();
        for round in 0..=ROUNDS {
            let guest = in_guest(&address, store)?;
            let direct = place.as_deref().map(|place| directly(&direct, store, place)).transpose()?;
            // The first does not count.
            if round > 0 {
                pairs.push((guest, direct.unwrap_or(Latency { p50: f64::NAN, p99: f64::NAN })));
            }
        }
        let of = |value: fn(&(Latency, Latency)) -> f64| median(pairs.iter().map(value));
        println!(
            "{store:<12}{:>12.1}{:>10.1}{:>14.1}{:>10.1}{:>8.2}",
            of(|(guest, _)| guest.p50),
            of(|(guest, _)| guest.p99),
            of(|(_, direct)| direct.p50),
            of(|(_, direct)| direct.p99),
            of(|(guest, direct)| guest.p50 / direct.p50),
        );
    }
    drop(server);
    Ok(())
}

fn server(sampan: &Path, folder: &Path, file: &Path, redis: u16) -> Result<(Server, String)> {
    let components = folder.join("components");
    std::fs::create_dir(&components)?;
    let (file, host) = (file.display().to_string(), format!("127.0.0.1:{redis}"));
    for (name, kind, key, value) in [
        ("memory", "state.in-memory", "unused", ""),
        ("sqlite", "state.sqlite", "connectionString", &*file),
        ("redis", "state.redis", "redisHost", &*host),
    ] {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  \
             version: v1\n  metadata:\n  - {{name: {key}, value: \"{value}\"}}\n"
        );
        std::fs::write(components.join(name).with_extension("yaml"), text)?;
    }
    let address = free_address()?;
    let manifest = format!(
        "[app]\nname = \"bench\"\n[[listen]]\naddress = \"{address}\"\n[dapr]\ncomponents = \"components\"\n\
         [component.app]\nsource = \"{}/dapr-app.wasm\"\ngrant = {{ dapr = [\"*\"] }}\n\
         [[route]]\npath = \"/...\"\nto = \"app\"\n",
        target().join("guests/wasm32-wasip2").display()
    );
    let path = folder.join("sampan.toml");
    std::fs::write(&path, manifest)?;
    let mut command = Command::new(sampan);
    command.args(["up", "--admin", "off", "-f"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok((start("sampan up", &mut command, &address, "")?, address))
}

/// `5000 gets of 100 bytes: p50 1.2 us, p99 3.4 us`
fn in_guest(address: &str, store: &str) -> Result<Latency> {
    let answer = http_send(address, "GET", &format!("/measure/{store}/{GETS}"), &[], b"")?;
    let text = answer.text();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [.., "p50", p50, "us,", "p99", p99, "us"] => Ok(Latency { p50: p50.parse()?, p99: p99.parse()? }),
        _ => Err(format!("the guest said {text}").into()),
    }
}

fn directly(program: &Path, store: &str, place: &str) -> Result<Latency> {
    let output = Command::new(program).args([store, place, KEY, GETS]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [p50, p99] => Ok(Latency { p50: p50.parse()?, p99: p99.parse()? }),
        _ => Err(format!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into()),
    }
}
