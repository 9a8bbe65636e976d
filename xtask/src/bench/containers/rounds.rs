//! Create, start, wait, delete, again and again; and what is there afterwards that was not there before.

use super::{SHIM, World, output, wasm_image};
use crate::Result;
use sampan_testing::servers::NAMESPACE;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// `SAMPAN_BENCH_ROUNDS` says another number.
const ROUNDS: usize = 1000;
/// What ends by itself, as a shim that has answered, may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What containers could leave: processes, mounts, control groups, sockets, files.
type Left = [usize; 5];

pub fn run(world: &World) -> Result {
    let rounds =
        std::env::var("SAMPAN_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    println!("{rounds} rounds of create, start, wait and delete, and what they left");
    let names = ["processes", "mounts", "cgroups", "sockets", "files"];
    println!("{:<36}{:>10}{}", "", "ms each", names.map(|name| format!("{name:>11}")).concat());
    let image = wasm_image("hello-c");
    repeat(world, "sampan run --rm IMAGE", rounds, &|_| {
        output(&mut world.sampan(&["run", "--rm", &image])).map(drop)
    })?;
    repeat(world, "containerd, guest by the shim", rounds, &|round| {
        let id = format!("round-{round}");
        output(&mut world.ctr(&["run", "--rm", "--runtime", SHIM, &image, &id])).map(drop)
    })?;
    println!();
    Ok(())
}

fn repeat(world: &World, title: &str, rounds: usize, once: &dyn Fn(usize) -> Result) -> Result {
    // What is made once stays.
    once(0)?;
    let mut before = left(world);
    let begun = Instant::now();
    while left(world) != before && begun.elapsed() < PATIENCE {
        before = left(world);
        std::thread::sleep(Duration::from_millis(200));
    }
    let begun = Instant::now();
    for round in 1..=rounds {
        once(round)?;
    }
    let each_ms = begun.elapsed().as_secs_f64() * 1e3 / rounds as f64;
    let ended = Instant::now();
    let mut after = left(world);
    while after.iter().zip(before).any(|(after, before)| *after > before) && ended.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
        after = left(world);
    }
    let more = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before));
    let more: String = more.map(|count| format!("{count:>11}")).collect();
    println!("{title:<36}{each_ms:>10.1}{more}");
    Ok(())
}

fn left(world: &World) -> Left {
    let folders = [world.server.folder.path(), world.folder.path()].map(|path| path.display().to_string());
    let ours = |text: &str| folders.iter().any(|folder| text.contains(folder));
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let shims = Path::new("/run/sampan/shim").join(NAMESPACE);
    let files = [world.server.folder.path(), world.folder.path(), &shims];
    [
        commands.filter(|command| ours(&String::from_utf8_lossy(command))).count(),
        mounts.lines().filter(|line| ours(line)).count(),
        groups(),
        entries(Path::new("/run/containerd/s")),
        files.into_iter().map(entries).sum(),
    ]
}

/// Control groups of the containers here: of version 1 by controller, of version 2 in one tree.
fn groups() -> usize {
    let top = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let trees = controllers.chain([top.to_owned()]);
    let folders = trees.flat_map(|tree| [tree.join(NAMESPACE), tree.join("sampan")]);
    folders
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .count()
}

/// Files and folders below a folder; none of one that is not there. The cache's index is of no container: it remembers
/// files by their number, those that are gone too, for a month.
fn entries(folder: &Path) -> usize {
    if folder.ends_with("artifacts/index") {
        return 0;
    }
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    below
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + entries(&entry.path()),
            _ => 1,
        })
        .sum()
}
