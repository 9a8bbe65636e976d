//! What the same container uses, by every way to run it and to ask: as much as `/proc` says.

use crate::pods::{Pod, call, cri};
use crate::{image, import_guest, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use sampan_testing::{Finished, Running, finish, sampan, temp_dir};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// So much that what else a process has is little beside it.
const MIB: &str = "128";
/// Long enough that the kernel's hundredths of a second are no matter.
const WINDOW_TICKS: u64 = 100;
/// Linux tells times of processes in these (`USER_HZ`, `proc_pid_stat(5)`).
const TICK_NS: u64 = 10_000_000;

/// What somebody says that a container uses.
#[derive(Debug)]
struct Said {
    cpu_ns: u64,
    memory_bytes: u64,
}

struct Way<'a> {
    name: &'static str,
    pid: u32,
    /// The line of `/proc/PID/status` whose memory is meant. A control group is charged for pages that its processes
    /// touched first, and so not for the code of a binary that runs elsewhere too.
    memory: &'static str,
    ask: Box<dyn Fn() -> Said + 'a>,
}

#[test]
fn every_way_says_what_proc_says() {
    let Some(pod) = Pod::run() else { return };
    import_guest(&pod.server, "steady");
    let local = Local::start(&pod.server.archive());

    pod.start("side-car", "busybox", &["/bin/sleep", "1000000"]);
    let beside = pod.start("steady", "steady", &["/steady.wasm", MIB]);
    let image = image("steady");
    let by_ctr = pod.server.ctr(&run(&["-d"], &image, &["by-ctr", "/steady.wasm", MIB]));
    assert_eq!(by_ctr.code, 0, "{by_ctr:?}");
    local.ok(&["run", "-d", "--name", "by-run", &image, MIB]);
    let docker = Path::new("/usr/bin/docker").exists();
    let mut ways = vec![
        Way {
            name: "ctr",
            pid: task_pid(&pod, sampan_testing::servers::NAMESPACE, "by-ctr"),
            memory: "RssAnon",
            ask: Box::new(|| of_metrics(&pod.server.ctr(&["task", "metrics", "--format=json", "by-ctr"]))),
        },
        Way {
            name: "CRI",
            pid: task_pid(&pod, "k8s.io", &beside.id),
            memory: "RssAnon",
            ask: Box::new(|| of_pod(&pod, &beside)),
        },
        Way {
            name: "sampan stats",
            pid: local.pid("by-run"),
            memory: "VmRSS",
            ask: Box::new(|| local.stats("by-run")),
        },
    ];
    if docker {
        local.docker(&["run", "-d", "--name", "by-docker", &image, MIB]);
        ways.push(Way {
            name: "docker",
            pid: local.pid("by-docker"),
            memory: "VmRSS",
            ask: Box::new(|| local.docker_stats("by-docker")),
        });
    } else {
        sampan_testing::skip::<()>("there is no docker (Debian's docker.io)");
    }
    compare(&ways);
    drop(ways);
    pod.remove();
}

fn compare(ways: &[Way]) {
    for way in ways {
        let enough = MIB.parse::<u64>().unwrap() << 20;
        wait_until("the guest has its memory", || status_bytes(way.pid, "RssAnon") > enough);
    }
    let before: Vec<_> = ways.iter().map(|way| way.at_rest()).collect();
    for (way, (ticks_before, said_before, _)) in ways.iter().zip(before) {
        wait_until("the guest works", || ticks(way.pid) >= ticks_before + WINDOW_TICKS);
        let (ticks, said, memory_bytes) = way.at_rest();
        let used_ns = (ticks - ticks_before) * TICK_NS;
        let said_ns = said.cpu_ns - said_before.cpu_ns;
        let name = way.name;
        assert!(said_ns.abs_diff(used_ns) * 10 <= used_ns, "{name}: {said_ns} ns, and {used_ns} by /proc");
        let said_bytes = said.memory_bytes;
        assert!(
            said_bytes.abs_diff(memory_bytes) * 10 <= memory_bytes,
            "{name}: {said_bytes} bytes, and {memory_bytes} by /proc"
        );
    }
}

impl Way<'_> {
    /// Asks while the guest's process is stopped, so that nothing changes meanwhile, however long an answer takes:
    /// time by `/proc`, what is said, and memory by `/proc`.
    fn at_rest(&self) -> (u64, Said, u64) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a process");
        kill_process(pid, Signal::STOP).expect("the guest runs");
        wait_until("it has stopped", || all_stopped(self.pid));
        let ticks_before = ticks(self.pid);
        let said = (self.ask)();
        assert_eq!(ticks(self.pid), ticks_before, "{} went on", self.name);
        let memory_bytes = status_bytes(self.pid, self.memory);
        kill_process(pid, Signal::CONT).expect("the guest is there");
        (ticks_before, said, memory_bytes)
    }
}

/// The fields of a `stat` behind the name, which may have anything in it.
fn stat(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}

fn ticks(pid: u32) -> u64 {
    let fields = stat(Path::new(&format!("/proc/{pid}/stat")));
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn all_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .into_iter()
        .all(|thread| stat(&thread.path().join("stat")).first().is_none_or(|state| state == "T"))
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn task_pid(pod: &Pod, namespace: &str, id: &str) -> u32 {
    let list = finish(pod.server.command(namespace).args(["task", "list"]), "").stdout;
    let line = list.lines().find(|line| line.starts_with(id)).expect("the task");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Version 1 of control groups counts nanoseconds, version 2 microseconds. Clients take off what is only a cache.
fn of_metrics(metrics: &Finished) -> Said {
    let all: Value = serde_json::from_str(&metrics.stdout).expect("JSON");
    let memory = &all["memory"];
    let number = |value: &Value| value.as_u64();
    let (cpu_ns, usage, cache) = match number(&all["cpu"]["usage_usec"]) {
        Some(us) => (us * 1000, number(&memory["usage"]), number(&memory["inactive_file"])),
        None => (
            number(&all["cpu"]["usage"]["total"]).expect("a time"),
            number(&memory["usage"]["usage"]),
            number(&memory["total_inactive_file"]),
        ),
    };
    Said { cpu_ns, memory_bytes: usage.expect("memory") - cache.unwrap_or_default() }
}

fn of_pod(pod: &Pod, container: &cri::Id) -> Said {
    let stats = call::<cri::StatsAnswer>(&pod.server, "ContainerStats", container).stats.unwrap();
    let value = |usage: Option<cri::Usage>| usage.and_then(|usage| usage.amount).expect("a number").value;
    Said { cpu_ns: value(stats.cpu), memory_bytes: value(stats.memory) }
}

/// Containers without containerd: `sampan run`, and `docker` at the API's socket, on the same image.
struct Local {
    folder: TempDir,
    _api: Running,
}

impl Local {
    fn start(archive: &Path) -> Local {
        let folder = temp_dir();
        let loaded = finish(within(&folder, sampan()).arg("load").arg("-i").arg(archive), "");
        assert_eq!(loaded.code, 0, "{loaded:?}");
        let mut command = within(&folder, sampan());
        let mut api = Running::start(command.arg("docker-api").arg("--socket").arg(socket(&folder)));
        api.wait_for_line("export DOCKER_HOST=");
        Local { folder, _api: api }
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let finished = finish(within(&self.folder, sampan()).args(args), "");
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
        finished.stdout
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        let mut command = within(&self.folder, Command::new("docker"));
        command.env("DOCKER_HOST", format!("unix://{}", socket(&self.folder).display()));
        let finished = finish(command.env_remove("DOCKER_CONTEXT").args(args), "");
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
        finished.stdout
    }

    fn pid(&self, name: &str) -> u32 {
        let all: Value = serde_json::from_str(&self.ok(&["inspect", name])).expect("JSON");
        all[0]["State"]["Pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a process")
    }

    fn stats(&self, name: &str) -> Said {
        let text = self.ok(&["stats", "--no-stream", "--json", name]);
        let all: Value = serde_json::from_str(&text).expect("JSON");
        let number = |name: &str| all[name].as_u64().expect("a number");
        Said { cpu_ns: number("CPUNanoseconds"), memory_bytes: number("MemoryBytes") }
    }

    /// The command shows memory, as a client computes it; the API has the counter of processor time too.
    fn docker_stats(&self, name: &str) -> Said {
        let shown = self.docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", name]);
        let mib = shown.split_once("MiB / ").expect("MiB").0.parse::<f64>().expect("a number");
        let mut stream = UnixStream::connect(socket(&self.folder)).expect("a connection");
        let path = format!("/containers/{name}/stats?stream=false&one-shot=true");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: d\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let all: Value = serde_json::from_str(body).expect("JSON");
        let memory_bytes = all["memory_stats"]["usage"].as_u64().expect("memory");
        assert!((mib - memory_bytes as f64 / 1048576.0).abs() < 1.0, "{shown}, and {memory_bytes} bytes");
        Said { cpu_ns: all["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().expect("a time"), memory_bytes }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let all = finish(within(&self.folder, sampan()).args(["ps", "-aq"]), "").stdout;
        for id in all.split_whitespace() {
            finish(within(&self.folder, sampan()).args(["rm", "-f", id]), "");
        }
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("docker.sock")
}

fn within(folder: &TempDir, mut command: Command) -> Command {
    command.env("SAMPAN_DATA_DIR", folder.path().join("data"));
    command.env("DOCKER_CONFIG", folder.path().join("config"));
    command
}
