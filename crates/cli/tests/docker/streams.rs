//! Output that is followed, attached to, and counted.

use crate::{Engine, dockers};
use sampan_testing::Running;
use std::io::{Read, Write};

#[test]
fn logs_are_chosen() {
    let engine = Engine::start();
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        let id = good(&["create", "guests", "both", "3"]);
        good(&["start", "-a", &id]);
        let logs = engine.docker(&docker, &["logs", &id]);
        assert_eq!((&*logs.stdout, &*logs.stderr), ("out 0\nout 1\nout 2\n", "err 0\nerr 1\nerr 2\n"));
        let last = engine.docker(&docker, &["logs", "--tail", "2", &id]);
        assert_eq!((last.stdout + &last.stderr).lines().count(), 2);
        let stamped = engine.docker(&docker, &["logs", "-t", &id]).stdout;
        assert!(stamped.lines().all(|line| line.contains("Z out ") && line.contains('T')), "{stamped}");
        assert_eq!(engine.docker(&docker, &["logs", "--since", "2100-01-01T00:00:00Z", &id]).stdout, "");
        assert_eq!(engine.docker(&docker, &["logs", "--until", "2001-01-01T00:00:00Z", &id]).stdout, "");
        assert_eq!(engine.docker(&docker, &["logs", "-f", "--since", "1h", &id]).stdout.lines().count(), 3);
        good(&["rm", &id]);
    }
}

#[test]
fn logs_are_followed_to_the_end() {
    let engine = Engine::start();
    for docker in dockers() {
        let run = ["run", "-d", "--entrypoint", "/endless.wasm", "guests", "sleep"];
        let id = engine.good(&docker, &run);
        let mut logs = Running::start(engine.client(&docker).args(["logs", "-f", &id]));
        logs.wait_for_line("started");
        engine.good(&docker, &["kill", &id]);
        assert_eq!(logs.finish().code, 0);
        engine.good(&docker, &["rm", &id]);
    }
}

#[test]
fn attaching_to_what_runs() {
    let engine = Engine::start();
    for docker in dockers() {
        let id = engine.good(&docker, &["run", "-d", "-i", "guests", "upper"]);
        let mut attached = Running::start(engine.client(&docker).args(["attach", &id]));
        attached.stdin.as_mut().unwrap().write_all(b"here\n").unwrap();
        attached.wait_for_line("HERE");
        // Its input goes on: it was not made by a client that was attached.
        engine.good(&docker, &["kill", &id]);
        assert_eq!(attached.finish().code, 137);
        engine.good(&docker, &["rm", &id]);
    }
}

#[test]
fn statistics_are_those_of_the_process() {
    let engine = Engine::start();
    for docker in dockers() {
        let run = ["run", "-d", "--entrypoint", "/endless.wasm", "guests"];
        let id = engine.good(&docker, &run);
        let pid = engine.good(&docker, &["inspect", "-f", "{{.State.Pid}}", &id]);
        let format = ["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}}", &id];
        crate::until("the guest computes", || {
            let stats = engine.good(&docker, &format);
            let percent = stats.split('%').next().and_then(|text| text.parse::<f64>().ok());
            percent.is_some_and(|percent| percent > 5.0 && percent < 130.0)
        });
        let stats = engine.good(&docker, &format);
        let shown: f64 = stats.split_whitespace().nth(1).unwrap().trim_end_matches("MiB").parse().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let mib = resident.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0;
        assert!((shown - mib).abs() < mib * 0.1, "{stats}: {mib} MiB are resident");
        engine.good(&docker, &["rm", "-f", &id]);
    }
}

/// Without asking for an upgrade, a client gets a body, as it was in old times.
#[test]
fn attaching_without_an_upgrade() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let id = engine.good(&docker, &["create", "guests", "lines", "2"]);
    let mut stream = engine.connect();
    let path = format!("/v1.41/containers/{id}/attach?stream=1&stdout=1&stderr=1");
    let head = format!("POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // The answer's head comes before the container runs.
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    engine.good(&docker, &["start", &id]);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8_lossy(&rest);
    // Both lines may be in one frame.
    assert!(rest.contains("\u{1}\0\0\0\0\0\0") && rest.contains("0\n") && rest.contains("1\n"), "{rest:?}");
}

/// What was written before comes first, and the rest as it is written.
#[test]
fn attaching_with_what_was_before() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let id = engine.good(&docker, &["run", "-d", "guests", "lines", "2"]);
    engine.good(&docker, &["wait", &id]);
    let answer = engine.send("POST", &format!("/containers/{id}/attach?logs=1&stdout=1"), "");
    assert!(answer.contains("0\n") && answer.contains("1\n"), "{answer}");
}
