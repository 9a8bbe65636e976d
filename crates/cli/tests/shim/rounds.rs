//! Create, start, wait, delete: nothing stays behind.

use crate::{containerd, image, run, wait_until};
use sampan_testing::servers::NAMESPACE;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The control groups of containers whose names begin so.
pub fn cgroups(prefix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for controller in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let folders = fs::read_dir(controller.path().join(NAMESPACE)).into_iter().flatten().flatten();
        found.extend(
            folders.map(|folder| folder.path()).filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            }),
        );
    }
    found
}

/// Sockets of shims at which nobody listens.
fn dead_sockets() -> BTreeSet<PathBuf> {
    let sockets = fs::read_dir("/run/containerd/s").into_iter().flatten().flatten().map(|entry| entry.path());
    sockets.filter(|path| UnixStream::connect(path).is_err()).collect()
}

pub fn processes(text: &str) -> usize {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

/// 1,000 rounds take minutes: `SAMPAN_TEST_ROUNDS=1000` runs as many.
#[test]
fn rounds_leave_nothing_behind() {
    let rounds = std::env::var("SAMPAN_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let Some(server) = containerd(&["hello"]) else { return };
    let sockets = dead_sockets();
    for round in 0..rounds {
        let id = format!("round-{round}");
        let finished = server.ctr(&run(&["--rm"], &image("hello"), &[&id]));
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (0, "Hello from a guest!\n"),
            "{id}: {finished:?}"
        );
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let state = server.folder.path().join("state").display().to_string();
    assert!(!mounts.contains(&state), "{mounts}");
    assert_eq!(cgroups("round-"), Vec::<PathBuf>::new());
    let address = server.address().display().to_string();
    // A shim answers before it ends.
    wait_until("all shims end", || processes(&format!("-address\0{address}\0-socket")) == 0);
    let left: Vec<_> = dead_sockets().difference(&sockets).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
    let folders = fs::read_dir(Path::new("/run/sampan/shim").join(NAMESPACE)).into_iter().flatten().flatten();
    let folders: Vec<_> =
        folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("round-")).collect();
    assert!(folders.is_empty(), "{folders:?}");
}
