//! What containers that do nothing hold: memory that no other process shares (`Private_Clean` and `Private_Dirty` of
//! `/proc/PID/smaps_rollup`), of the program's process, and of the one that minds it.

use super::{RUNC, SHIM, World, native_image, output, wasm_image};
use crate::Result;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

const COUNTS: [usize; 2] = [10, 100];
/// Processes have come to rest when their sum changes by less in this time.
const REST: Duration = Duration::from_millis(500);
const REST_BYTES: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(world: &World) -> Result {
    println!("private memory of a container that does nothing, in MiB");
    println!("{:<36}{:>12}{:>10}{:>10}{:>10}", "", "containers", "program", "minder", "both");
    for count in COUNTS {
        in_containerd(world, "containerd, guest by the shim", SHIM, &wasm_image("sleep-c"), count)?;
        in_containerd(world, "containerd, native by runc", RUNC, &native_image("sleep-c"), count)?;
        by_sampan(world, count)?;
    }
    println!();
    Ok(())
}

fn in_containerd(world: &World, title: &str, runtime: &str, image: &str, count: usize) -> Result {
    let ids: Vec<String> = (0..count).map(|number| format!("memory-{number}")).collect();
    for id in &ids {
        output(&mut world.ctr(&["run", "-d", "--null-io", "--runtime", runtime, image, id]))?;
    }
    let list = output(&mut world.ctr(&["task", "list"]))?;
    let words = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = words.filter(|words| words.first().is_some_and(|id| id.starts_with("memory-")));
    let pids = ours.map(|words| Ok(words.get(1).ok_or("a task without a process")?.parse()?));
    let measured = measure(title, count, &pids.collect::<Result<Vec<u32>>>()?);
    for id in &ids {
        output(&mut world.ctr(&["task", "delete", "--force", id]))?;
        output(&mut world.ctr(&["container", "delete", id]))?;
    }
    measured
}

fn by_sampan(world: &World, count: usize) -> Result {
    let names: Vec<String> = (0..count).map(|number| format!("memory-{number}")).collect();
    let mut pids = Vec::new();
    for name in &names {
        output(&mut world.sampan(&["run", "-d", "--name", name, &wasm_image("sleep-c")]))?;
        let all: Value = serde_json::from_str(&output(&mut world.sampan(&["inspect", name]))?)?;
        let pid = all[0]["State"]["Pid"].as_u64().ok_or("a container without a process")?;
        pids.push(u32::try_from(pid)?);
    }
    let measured = measure("sampan run -d", count, &pids);
    for name in &names {
        output(&mut world.sampan(&["rm", "-f", name]))?;
    }
    measured
}

fn measure(title: &str, count: usize, programs: &[u32]) -> Result {
    if programs.len() != count {
        return Err(format!("{title}: {} of {count} run", programs.len()).into());
    }
    let minders = programs.iter().map(|pid| parent(*pid)).collect::<Result<BTreeSet<u32>>>()?;
    let sum = |pids: &mut dyn Iterator<Item = &u32>| pids.map(|pid| private_bytes(*pid)).sum::<Result<u64>>();
    let begun = Instant::now();
    let mut before = u64::MAX;
    let (program, minder) = loop {
        let (program, minder) = (sum(&mut programs.iter())?, sum(&mut minders.iter())?);
        if before.abs_diff(program + minder) <= REST_BYTES {
            break (program, minder);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{title}: memory does not come to rest").into());
        }
        before = program + minder;
        std::thread::sleep(REST);
    };
    let mib = |bytes: u64| bytes as f64 / count as f64 / f64::from(1 << 20);
    let (program, minder) = (mib(program), mib(minder));
    println!("{title:<36}{count:>12}{program:>10.2}{minder:>10.2}{:>10.2}", program + minder);
    Ok(())
}

fn private_bytes(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.sum::<u64>() * 1024)
}

fn parent(pid: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    Ok(fields.split_whitespace().nth(1).ok_or("a process without a parent")?.parse()?)
}
