//! containerd, from Debian's package, with folders of its own: it shares nothing with one that runs on this machine but
//! the folder of shims' sockets.

use crate::{Finished, PATIENCE, Running, finish, oci::Image, sampan, skip, target, temp_dir};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A containerd whose runtime `io.containerd.sampan.v1` is the binary of this build. It is killed when the value is
/// dropped, after its containers.
pub struct Containerd {
    pub folder: tempfile::TempDir,
    running: Option<Running>,
    with_cri: bool,
    env: Vec<(&'static str, String)>,
}

/// The namespace of tests: containers of different tests have different names.
pub const NAMESPACE: &str = "sampan-test";
pub const RUNTIME: &str = "io.containerd.sampan.v1";

impl Containerd {
    /// Starts one and waits until it answers; `None` (after saying so) where it is not installed or may not run.
    #[track_caller]
    pub fn start(with_cri: bool) -> Option<Containerd> {
        Containerd::start_with(with_cri, &[])
    }

    /// The same with further variables in its environment, and so in its shims'.
    #[track_caller]
    pub fn start_with(with_cri: bool, env: &[(&'static str, String)]) -> Option<Containerd> {
        if !rustix::process::geteuid().is_root() {
            return skip("containerd runs as root only");
        }
        for program in ["containerd", "ctr", "runc"] {
            let installed = Command::new(program).arg("--version").stdout(Stdio::null()).status();
            if !installed.is_ok_and(|status| status.success()) {
                return skip(&format!(
                    "{program} is not installed (Debian: apt-get install containerd runc)"
                ));
            }
        }
        let mut server = Containerd { folder: temp_dir(), running: None, with_cri, env: env.to_vec() };
        server.write_config();
        server.restart();
        Some(server)
    }

    pub fn address(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    fn write_config(&self) {
        // Its name is what containerd looks for; one binary is both programs.
        let program = sampan().get_program().to_owned();
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        symlink(program, bin.join("containerd-shim-sampan-v1")).expect("a link");
        let cri = if self.with_cri { "" } else { "\"io.containerd.grpc.v1.cri\"," };
        let at = self.folder.path().display();
        let config = format!(
            r#"
version = 2
root = "{at}/root"
state = "{at}/state"
disabled_plugins = [{cri} "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
address = "{at}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/test/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{at}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "sampan"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.sampan]
runtime_type = "{RUNTIME}"
"#
        );
        fs::write(self.folder.path().join("config.toml"), config).expect("a configuration");
        fs::create_dir(self.folder.path().join("cni")).expect("a folder");
        // Pods of tests that run at the same time, or were killed, have other addresses.
        let subnet = format!("10.213.{}.0/24", std::process::id() % 256);
        let network = format!(
            r#"{{"cniVersion": "0.4.0", "name": "test", "plugins": [{{"type": "ptp", "ipam": {{"type": "host-local",
                "dataDir": "{at}/addresses", "ranges": [[{{"subnet": "{subnet}"}}]]}}}}]}}"#
        );
        fs::write(self.folder.path().join("cni/10-test.conflist"), network).expect("a network");
    }

    /// Kills it, as a crash would. Its containers go on.
    pub fn kill(&mut self) {
        self.running = None;
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("containerd");
        command
            .args(["--config"])
            .arg(self.folder.path().join("config.toml"))
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .env("SAMPAN_CACHE_DIR", target().join("tests/shim-cache"))
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut running = Running::start(&mut command);
        running.wait_for_error("containerd successfully booted");
        self.running = Some(running);
        let begun = Instant::now();
        while self.ctr(&["version"]).code != 0 {
            assert!(begun.elapsed() < PATIENCE, "containerd does not answer");
            std::thread::yield_now();
        }
    }

    /// Waits for a line of its own log, where the words of its shims are too.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str) -> String {
        self.running.as_mut().expect("a running containerd").wait_for_error(text)
    }

    pub fn import(&self, image: &Image) {
        let archive = self.folder.path().join("image.tar");
        image.write(&archive);
        let namespaces = if self.with_cri { &["k8s.io"][..] } else { &[NAMESPACE] };
        for namespace in namespaces {
            let mut command = self.command(namespace);
            let finished = finish(command.args(["image", "import"]).arg(&archive), "");
            assert_eq!(finished.code, 0, "{finished:?}");
        }
    }

    /// `ctr` with these arguments, in the tests' namespace.
    pub fn ctr(&self, args: &[&str]) -> Finished {
        finish(self.command(NAMESPACE).args(args), "")
    }

    /// The same, still running.
    pub fn ctr_start(&self, args: &[&str]) -> Running {
        Running::start(self.command(NAMESPACE).args(args))
    }

    pub fn command(&self, namespace: &str) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.address()).args(["--namespace", namespace]);
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for namespace in [NAMESPACE, "k8s.io"] {
            let ctr = |args: &[&str]| finish(self.command(namespace).args(args), "");
            for task in ctr(&["task", "list", "--quiet"]).stdout.lines() {
                ctr(&["task", "delete", "--force", task]);
            }
            for container in ctr(&["container", "list", "--quiet"]).stdout.lines() {
                ctr(&["container", "delete", container]);
            }
        }
        self.kill();
        unmount_below(self.folder.path());
    }
}

/// A test that failed leaves mounts, which would keep the folder.
pub(super) fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for mounted in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mounted).starts_with(folder) {
            let _ = rustix::mount::unmount(mounted, rustix::mount::UnmountFlags::DETACH);
        }
    }
}
