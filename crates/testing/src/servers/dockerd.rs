//! Docker's daemon, with folders and a network of its own: it shares nothing with one that runs on this machine but the
//! folder of shims' sockets.

use crate::{Finished, PATIENCE, Running, debian_packages, finish, sampan, skip, target, temp_dir};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Whose Docker Engine, with its containerd and `docker`.
#[derive(Clone, Copy)]
pub enum Engine {
    Installed,
    /// Of another release of Debian (`trixie`), unpacked beside.
    Debian(&'static str),
}

/// How a daemon is to be.
pub struct Setup<'a> {
    pub engine: Engine,
    /// Its `daemon.json`.
    pub settings: &'a str,
    /// In its environment, its containerd's, and its shims'.
    pub env: Vec<(&'static str, String)>,
    /// It has this machine's network, and containers have none. Otherwise both are in one of their own.
    pub shares_network: bool,
}

impl Setup<'_> {
    pub fn of(engine: Engine) -> Self {
        Setup { engine, settings: "{}", env: Vec::new(), shares_network: false }
    }
}

/// A daemon that finds the binary of this build as the shim of all the names that it has.
pub struct Dockerd {
    pub folder: tempfile::TempDir,
    path: OsString,
    running: Option<Running>,
}

/// What the shim is called: its own name, that of another shim for WebAssembly, and runc's.
const SHIMS: [&str; 3] =
    ["containerd-shim-sampan-v1", "containerd-shim-wasmtime-v1", "containerd-shim-runc-v2"];

impl Dockerd {
    /// Starts one and waits until it answers; `None` (after saying so) where it is not installed or may not run.
    #[track_caller]
    pub fn start(setup: &Setup<'_>) -> Option<Dockerd> {
        if !rustix::process::geteuid().is_root() {
            return skip("Docker's daemon runs as root only");
        }
        let folder = temp_dir();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        for name in SHIMS {
            symlink(sampan().get_program(), bin.join(name)).expect("a link");
        }
        let mut folders = vec![bin];
        match setup.engine {
            // Before `/usr/local`, where another `docker` may be.
            Engine::Installed => folders.extend(["/usr/sbin", "/usr/bin"].map(PathBuf::from)),
            Engine::Debian(suite) => {
                let root = debian_packages(suite, &["docker.io", "docker-cli", "containerd"])?;
                folders.extend(["usr/sbin", "usr/bin"].map(|part| root.join(part)));
            }
        }
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(folders).expect("a list of folders");
        let mut daemon = Dockerd { folder, path, running: None };
        for program in ["dockerd", "containerd", "docker"] {
            let installed = daemon.program(program).arg("--version").stdout(Stdio::null()).status();
            if installed.is_ok_and(|status| status.success()) {
                continue;
            }
            if let Engine::Debian("sid") = setup.engine {
                // That suite moves on, and with it what its programs need: nothing that this tree could mend.
                eprintln!("SKIPPED: {program} of Debian's unstable suite does not run on this system");
                return None;
            }
            return skip(&format!("{program} does not run here (Debian: apt-get install docker.io)"));
        }
        fs::write(daemon.at("daemon.json"), setup.settings).expect("settings");
        daemon.serve(setup);
        Some(daemon)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str) -> Command {
        // The command itself is looked up by this `PATH` too.
        let mut command = Command::new("env");
        command.arg(name).env("PATH", &self.path);
        command
    }

    #[track_caller]
    fn serve(&mut self, setup: &Setup<'_>) {
        let mut command = if setup.shares_network {
            let mut command = self.program("dockerd");
            command.arg("--bridge=none");
            command
        } else {
            // Its bridge is in a network that ends with it; nothing of this machine's is changed.
            let mut command = Command::new("unshare");
            let script = "ip link set lo up && exec \"$@\"";
            command.args(["--net", "busybox", "sh", "-c", script, "sh", "dockerd"]);
            command
        };
        command.arg("--config-file").arg(self.at("daemon.json"));
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(self.at(name));
        }
        command.arg("--host").arg(self.host()).args(["--iptables=false", "--ip6tables=false"]);
        command.env("PATH", &self.path).env("SAMPAN_CACHE_DIR", target().join("tests/shim-cache"));
        command.envs(setup.env.iter().map(|(name, value)| (name, value)));
        let mut running = Running::start(&mut command);
        running.wait_for_error("API listen on");
        self.running = Some(running);
    }

    fn host(&self) -> String {
        format!("unix://{}", self.at("docker.sock").display())
    }

    /// The `docker` command that belongs to it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program("docker");
        command.args(args).env("DOCKER_HOST", self.host()).env("DOCKER_CONFIG", self.at("config"));
        command.env("DOCKER_BUILDKIT", "0").env_remove("DOCKER_CONTEXT").env_remove("DOCKER_API_VERSION");
        command
    }

    pub fn docker(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), "")
    }

    /// `ctr` of its containerd, in a namespace for tests.
    pub fn ctr(&self, args: &[&str]) -> Finished {
        let mut command = self.program("ctr");
        command.arg("--address").arg(self.containerd()).args(["--namespace", super::containerd::NAMESPACE]);
        finish(command.args(args), "")
    }

    /// What a client in the daemon's network gets at this address; none if nobody answers.
    pub fn get(&self, url: &str) -> Option<String> {
        let pid = self.running.as_ref()?.child.id();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net")).args(["busybox", "wget", "-q", "-O", "-", url]);
        let finished = finish(&mut command, "");
        (finished.code == 0).then_some(finished.stdout)
    }

    /// The socket of its containerd.
    pub fn containerd(&self) -> PathBuf {
        self.at("exec/containerd/containerd.sock")
    }
}

impl Drop for Dockerd {
    /// Asked to end, it ends its containerd too. A test that failed leaves containers.
    fn drop(&mut self) {
        for id in self.docker(&["ps", "-aq"]).stdout.split_whitespace() {
            self.docker(&["rm", "-f", id]);
        }
        let Some(mut running) = self.running.take() else { return };
        if let Some(pid) = rustix::process::Pid::from_raw(running.child.id() as i32) {
            // It may have ended, which is fine.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(running.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        super::containerd::unmount_below(Path::new(self.folder.path()));
    }
}
