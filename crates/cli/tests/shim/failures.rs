//! What is killed: a shim, containerd. And many at once.

use crate::{containerd, image, run, status, wait_until};
use sampan_testing::servers::{Containerd, NAMESPACE};
use std::fs;
use std::path::Path;

/// The server of a container: the process whose command line says so.
fn shim(server: &Containerd, id: &str) -> Option<u32> {
    let address = server.address().display().to_string();
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let args: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        args.contains(&b"-socket".as_slice())
            && args.contains(&id.as_bytes())
            && args.contains(&address.as_bytes())
    })
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn what_a_killed_shim_leaves_is_cleaned_up() {
    let Some(server) = containerd(&["endless"]) else { return };
    assert_eq!(server.ctr(&run(&["--detach"], &image("endless"), &["lost-1"])).code, 0);
    let (pid, _) = status(&server, "lost-1").unwrap();
    kill(shim(&server, "lost-1").expect("a shim"));
    wait_until("the task is gone", || status(&server, "lost-1").is_none());
    wait_until("the guest is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    let folder = Path::new("/run/sampan/shim").join(NAMESPACE).join("lost-1");
    wait_until("the folder is gone", || !folder.exists());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&format!("{NAMESPACE}/lost-1/rootfs")), "{mounts}");
    assert!(crate::rounds::cgroups("lost-1").is_empty());
    // The name is free again.
    server.ctr(&["container", "delete", "lost-1"]);
    assert_eq!(server.ctr(&run(&["--detach"], &image("endless"), &["lost-1"])).code, 0);
}

#[test]
fn a_killed_containerd_finds_its_containers_again() {
    let Some(mut server) = containerd(&["endless", "hello"]) else { return };
    assert_eq!(server.ctr(&run(&["--detach"], &image("endless"), &["kept-1"])).code, 0);
    let before = status(&server, "kept-1").unwrap();
    server.kill();
    assert!(Path::new(&format!("/proc/{}", before.0)).exists());
    server.restart();
    assert_eq!(status(&server, "kept-1").unwrap(), before);
    // And hears of it as before.
    assert_eq!(server.ctr(&run(&["--rm"], &image("hello"), &["kept-2"])).code, 0);
    assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGTERM", "kept-1"]).code, 0);
    wait_until("the end", || status(&server, "kept-1").unwrap().1 == "STOPPED");
    let deleted = server.ctr(&["task", "delete", "kept-1"]);
    assert!(deleted.stderr.contains("143"), "{deleted:?}");
}

#[test]
fn twenty_at_once() {
    let Some(server) = containerd(&["hello"]) else { return };
    let image = image("hello");
    let names: Vec<String> = (0..20).map(|number| format!("many-{number}")).collect();
    let running: Vec<_> =
        names.iter().map(|name| server.ctr_start(&run(&["--rm"], &image, &[name]))).collect();
    for (name, running) in names.iter().zip(running) {
        let finished = running.finish();
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (0, "Hello from a guest!\n"),
            "{name}: {finished:?}"
        );
    }
}
