//! What containers use, and what they may.

use crate::{Place, idle};
use sampan_testing::{PATIENCE, guest, guest_for};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
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

/// Sends a request and reads the answer to its end: how long it was.
fn exchange(port: u16, request: &[u8]) -> usize {
    let begun = Instant::now();
    loop {
        let mut answer = Vec::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port))
            && stream.write_all(request).is_ok()
            && stream.read_to_end(&mut answer).is_ok()
            && !answer.is_empty()
        {
            return answer.len();
        }
        // Before the guest listens nobody receives what was sent.
        assert!(begun.elapsed() < PATIENCE, "no answer");
    }
}

#[test]
fn bytes_over_the_network_are_counted() {
    let place = Place::new();
    let body = "x".repeat(100_000);
    let head = "POST /web-server.wasm HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n";
    let post = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let get = post.split_once("\r\n").map(|(_, rest)| rest.split_once("Content-Length").unwrap().0);
    let get = format!("GET /web-server.wasm HTTP/1.1\r\n{}\r\n", get.unwrap());
    for (name, file, args, request) in [
        // Served by the engine.
        ("component", guest_for("wasm32-wasip2", "serve-p2"), &[][..], &post),
        ("cgi", guest("cgi"), &[], &get),
        // It listens by itself.
        ("sockets", guest("web-server"), &["0.0.0.0:8080", "/"], &get),
    ] {
        place.start(name, &["-p", "127.0.0.1:0:8080"], &file, args);
        let port = place.ok(&["port", name, "8080"]).rsplit(':').next().unwrap().parse().unwrap();
        let sent = exchange(port, request.as_bytes());
        let stats = stats(&place, name);
        let counted =
            [&stats["NetReceivedBytes"], &stats["NetSentBytes"]].map(|count| count.as_u64().unwrap());
        assert_eq!(counted, [request.len() as u64, sent as u64], "{name}: {stats}");
        if name == "sockets" {
            assert!(sent > 50_000, "{sent}");
            let table = place.ok(&["stats", "--no-stream", name]);
            assert!(table.contains("NET I/O") && !table.contains(" 0B / "), "{table}");
        }
    }
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
