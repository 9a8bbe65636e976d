//! Containers that stay: what is seen of them, what joins them, what pauses and ends them, and what containerd is told.

use crate::{containerd, image, run, status, wait_until};
use sampan_testing::servers::{Containerd, NAMESPACE};
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

fn detached(server: &Containerd, name: &str, id: &str) -> u32 {
    let finished = server.ctr(&run(&["--detach"], &image(name), &[id]));
    assert_eq!(finished.code, 0, "{finished:?}");
    let (pid, status) = status(server, id).expect("a task");
    assert_eq!(status, "RUNNING");
    pid
}

/// The processor time of a process, in ticks of 10 ms (`proc_pid_stat(5)`).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum()
}

fn metric(server: &Containerd, id: &str, name: &str) -> u64 {
    let text = server.ctr(&["task", "metrics", id]).stdout;
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn a_container_is_paused_measured_joined_and_stopped() {
    let Some(server) = containerd(&["endless"]) else { return };
    let pid = detached(&server, "endless", "life-1");
    // It has namespaces of its own, which others can be opened by.
    for namespace in ["net", "pid", "mnt"] {
        let own = fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(own, fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap());
    }

    // Statistics agree with what the system says of the process.
    wait_until("some processor time", || ticks(pid) >= 50);
    let before = ticks(pid) * 10_000_000;
    let measured = metric(&server, "life-1", "cpuacct.usage");
    let after = ticks(pid) * 10_000_000;
    assert!(before * 9 / 10 <= measured && measured <= after * 11 / 10, "{before} {measured} {after}");
    assert_eq!(metric(&server, "life-1", "pids.current"), 1);

    // A second guest of the image joins it, and ends by itself.
    let mut joined = server.ctr_start(&["task", "exec", "--exec-id", "second", "life-1", "/endless.wasm"]);
    wait_until("two processes", || server.ctr(&["task", "ps", "life-1"]).stdout.contains("second"));
    let kill = ["task", "kill", "--signal", "SIGTERM", "--exec-id", "second", "life-1"];
    assert_eq!(server.ctr(&kill).code, 0);
    assert!(joined.child.wait().is_ok());
    assert_eq!(joined.finish().code, 143);

    // Paused, it takes no time; resumed, it does.
    assert_eq!(server.ctr(&["task", "pause", "life-1"]).code, 0);
    assert_eq!(status(&server, "life-1").unwrap().1, "PAUSED");
    let then = ticks(pid);
    assert_eq!(server.ctr(&["task", "metrics", "life-1"]).code, 0);
    assert!(ticks(pid) <= then + 1);
    assert_eq!(server.ctr(&["task", "resume", "life-1"]).code, 0);
    wait_until("time passes again", || ticks(pid) > then + 1);

    // A stop takes what the guest needs, though it is the first process of its namespace.
    let begun = Instant::now();
    assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGTERM", "life-1"]).code, 0);
    wait_until("the end", || status(&server, "life-1").unwrap().1 == "STOPPED");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let deleted = server.ctr(&["task", "delete", "life-1"]);
    assert!(deleted.stderr.contains("143"), "{deleted:?}");
}

#[test]
fn a_killed_guest_is_137() {
    let Some(server) = containerd(&["endless"]) else { return };
    detached(&server, "endless", "killed-1");
    assert_eq!(server.ctr(&["task", "pause", "killed-1"]).code, 0);
    // Also while it is paused.
    assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGKILL", "killed-1"]).code, 0);
    wait_until("the end", || status(&server, "killed-1").unwrap().1 == "STOPPED");
    let deleted = server.ctr(&["task", "delete", "killed-1"]);
    assert!(deleted.stderr.contains("137"), "{deleted:?}");
}

/// `ctr events`, into a file.
struct Events {
    child: Child,
    file: PathBuf,
}

impl Events {
    fn listen(server: &Containerd) -> Events {
        let file = server.folder.path().join("events");
        let output = fs::File::create(&file).unwrap();
        let child = server.command(NAMESPACE).arg("events").stdout(output).spawn().unwrap();
        let events = Events { child, file };
        let mut round = 0;
        // It does not say when it listens.
        wait_until("an event", || {
            round += 1;
            server.ctr(&["namespaces", "create", &format!("heard-{round}")]);
            fs::read_to_string(&events.file).is_ok_and(|text| !text.is_empty())
        });
        events
    }

    /// Of tasks of containers whose names contain this: topics, with the process where there is one.
    fn of(&self, id: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(id) && line.contains(" /tasks/"));
        lines
            .map(|line| {
                let topic = line.split_whitespace().find(|word| word.starts_with("/tasks/")).unwrap();
                let of = if line.contains("\"second\"") { " second" } else { "" };
                format!("{}{of}", topic.trim_start_matches("/tasks/"))
            })
            .collect()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_come_in_order() {
    let Some(server) = containerd(&["endless", "hello"]) else { return };
    let events = Events::listen(&server);
    for round in 0..5 {
        let id = format!("event-{round}");
        assert_eq!(server.ctr(&run(&["--rm"], &image("hello"), &[&id])).code, 0);
        wait_until("the last event", || events.of(&id).len() >= 4);
        assert_eq!(events.of(&id), ["create", "start", "exit", "delete"]);
    }

    detached(&server, "endless", "event-exec");
    let joined = server.ctr_start(&["task", "exec", "--exec-id", "second", "event-exec", "/endless.wasm"]);
    wait_until("it runs", || events.of("event-exec").len() >= 4);
    assert_eq!(events.of("event-exec"), ["create", "start", "exec-added second", "exec-started second"]);
    // What joined dies with the container, and that is told first.
    assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGKILL", "event-exec"]).code, 0);
    wait_until("both exits", || {
        events.of("event-exec").iter().filter(|event| event.starts_with("exit")).count() == 2
    });
    let ended: Vec<_> =
        events.of("event-exec").into_iter().filter(|event| event.starts_with("exit")).collect();
    assert_eq!(ended, ["exit second", "exit"]);
    assert_eq!(joined.finish().code, 137);
}

#[test]
fn a_kill_for_memory_is_told() {
    let Some(server) = containerd(&[]) else { return };
    let Some(()) = crate::import_busybox(&server) else { return };
    let events = Events::listen(&server);
    let limited = ["--rm", "--memory-limit", "16777216"];
    let greedy = "dd if=/dev/zero of=/dev/null bs=100M count=1; exit 9";
    let finished = server.ctr(&run(&limited, &image("busybox"), &["oom-1", "/bin/sh", "-c", greedy]));
    assert_eq!(finished.code, 9, "{finished:?}");
    wait_until("the event", || events.of("oom-1").contains(&"oom".to_owned()));
}
