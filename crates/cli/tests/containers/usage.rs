//! What containers use, and what they may.

use crate::{Place, idle};
use sampan_testing::{PATIENCE, guest};
use serde_json::Value;
use std::fs;
use std::time::Instant;

fn stats(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.ok(&["stats", "--no-stream", "--json", name])).unwrap()
}

#[test]
fn stats_agree_with_the_kernels() {
    let place = Place::new();
    place.start("busy", &[], &guest("endless"), &[]);
    place.start("idle", &[], &idle(), &[]);
    let pid = place.inspect("busy")["State"]["Pid"].clone();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<i64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        // Without the state, which is no number, the 14th field is the 11th.
        (Instant::now(), fields[10] + fields[11])
    };
    let (begun, before) = ticks();
    let busy = stats(&place, "busy");
    let (ended, after) = ticks();
    let percent = (after - before) as f64 / ended.duration_since(begun).as_secs_f64();
    let said = busy["CPUPercent"].as_f64().unwrap();
    // The two spans are not the same to the millisecond, and other tests run.
    assert!((said - percent).abs() <= (percent * 0.15).max(8.0), "{said} and {percent}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let said = busy["MemoryBytes"].as_f64().unwrap();
    assert!((said / 1024.0 - resident).abs() <= resident * 0.1, "{said} and {resident} KiB");
    let idle = stats(&place, "idle");
    assert_eq!(idle["GuestMemoryBytes"], 64 << 10);
    assert!(idle["HostCallsPerSecond"].as_f64().unwrap() > 1.0, "{idle}");
    assert!(idle["CPUPercent"].as_f64().unwrap() < said, "{idle}");
    let table = place.ok(&["stats", "--no-stream"]);
    assert!(table.contains("busy") && table.contains("64KiB"), "{table}");
    let top = place.ok(&["top", "idle"]);
    assert!(top.contains("/idle.wat"), "{top}");
}

#[test]
fn memory_is_bounded_by_the_engine() {
    let place = Place::new();
    let memory = guest("memory");
    let ended = place.sampan(&["run", "--rm", "--name", "m", "-m", "16m", memory.to_str().unwrap(), "64"]);
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    let flags = ["-m", "64m"];
    place.start("small", &flags, &idle(), &[]);
    assert_eq!(stats(&place, "small")["MemoryLimitBytes"], 64 << 20);
}

/// Where the kernel lets us: as root, in every test of CI.
#[test]
fn processors_are_bounded_by_the_kernel() {
    if sampan_containers::limits_unavailable().is_some() {
        sampan_testing::skip::<()>("no control groups of this user's own");
        return;
    }
    let place = Place::new();
    place.start("slow", &["--cpus", "0.2"], &guest("endless"), &[]);
    let begun = Instant::now();
    loop {
        let used = stats(&place, "slow")["CPUPercent"].as_f64().unwrap();
        // What it used before it was in its group counts once.
        if used > 5.0 && used < 40.0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{used}");
    }
    let id = place.inspect("slow")["Id"].as_str().unwrap().to_owned();
    place.ok(&["rm", "-f", "slow"]);
    let left = ["", "cpu/", "memory/"].map(|controller| format!("/sys/fs/cgroup/{controller}sampan/{id}"));
    assert!(left.iter().all(|path| !fs::exists(path).unwrap()), "{left:?}");
}

#[test]
fn time_is_bounded() {
    let place = Place::new();
    let ended = place.sampan(&["run", "--rm", "--name", "t", "--timeout", "100ms", idle().to_str().unwrap()]);
    assert_eq!(ended.code, 124, "{}", ended.stderr);
}
