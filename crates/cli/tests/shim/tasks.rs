//! Running to the end: outputs, exit codes, streams, environment.

use crate::{containerd, image, import_busybox, run};
use sampan_testing::finish;
use sampan_testing::servers::NAMESPACE;
use std::process::Command;

#[test]
fn guests_and_native_programs_run_to_their_exit_codes() {
    let Some(server) = containerd(&["hello", "exit", "env", "trap"]) else { return };
    let Some(()) = import_busybox(&server) else { return };
    for (name, rest, code, output) in [
        ("hello", &["/hello.wasm"][..], 0, "Hello from a guest!\n"),
        ("exit", &["/exit.wasm", "42"], 42, ""),
        ("exit", &["exit.wasm", "unflushed"], 7, "the last words"),
        ("exit", &["/exit.wasm", "error"], 1, ""),
        ("busybox", &["/bin/sh", "-c", "echo native; exit 5"], 5, "native\n"),
    ] {
        let image = image(name);
        let finished = server.ctr(&run(&["--rm"], &image, &[&["task-1"], rest].concat()));
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (code, output),
            "{name} {rest:?}: {finished:?}"
        );
    }
    let finished = server.ctr(&run(&["--rm", "--env", "COLOUR=blue"], &image("env"), &["task-2"]));
    assert!(finished.stdout.contains("COLOUR=blue\n"), "{finished:?}");
    // The host's variables are the host's.
    assert!(!finished.stdout.contains("SAMPAN_CACHE_DIR"), "{finished:?}");
}

#[test]
fn what_cannot_run_says_so() {
    let Some(server) = containerd(&["hello"]) else { return };
    let finished = server.ctr(&run(&["--rm"], &image("hello"), &["wrong-1", "/other.wasm"]));
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("/other.wasm"), "{finished:?}");
    assert!(
        !server
            .folder
            .path()
            .join("state/io.containerd.runtime.v2.task")
            .join(NAMESPACE)
            .join("wrong-1")
            .exists()
    );
    assert!(!std::path::Path::new("/run/sampan/shim").join(NAMESPACE).join("wrong-1").exists());
}

#[test]
fn standard_input_reaches_the_guest_and_ends() {
    let Some(server) = containerd(&["streams"]) else { return };
    let image = image("streams");
    let mut running = server.ctr_start(&run(&["--rm"], &image, &["input-1", "/streams.wasm", "upper"]));
    let stdin = running.stdin.as_mut().unwrap();
    std::io::Write::write_all(stdin, b"hello\n").unwrap();
    running.wait_for_line("HELLO");
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished:?}");
}

#[test]
fn a_terminal_is_one_for_both_kinds() {
    let Some(server) = containerd(&["streams"]) else { return };
    let Some(()) = import_busybox(&server) else { return };
    for (name, rest, expected) in [
        ("streams", "terminal-1 /streams.wasm tty", "stdin true stdout true stderr true"),
        ("busybox", "terminal-2 /bin/sh -c 'test -t 0 && tty'", "/dev/pts/0"),
    ] {
        // `ctr` wants a terminal of its own.
        let ctr = format!(
            "ctr --address {} --namespace {NAMESPACE} run --rm --tty --runtime io.containerd.sampan.v1 {} {rest}",
            server.address().display(),
            image(name)
        );
        let finished = finish(Command::new("script").args(["-qec", &ctr, "/dev/null"]), "");
        assert!(finished.code == 0 && finished.stdout.contains(expected), "{rest}: {finished:?}");
    }
}

#[test]
fn output_goes_where_it_is_sent() {
    let Some(server) = containerd(&["hello"]) else { return };
    let log = server.folder.path().join("out.log");
    let uri = format!("file://{}", log.display());
    let finished = server.ctr(&run(&["--detach", "--log-uri", &uri], &image("hello"), &["log-1"]));
    assert_eq!(finished.code, 0, "{finished:?}");
    crate::wait_until("the log", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text == "Hello from a guest!\n")
    });
}

#[test]
fn other_names_are_the_same_shim() {
    let Some(server) = containerd(&["hello"]) else { return };
    let bin = server.folder.path().join("bin");
    for (runtime, program) in [
        ("io.containerd.wasmtime.v1", "containerd-shim-wasmtime-v1"),
        ("io.containerd.wasmedge.v1", "containerd-shim-wasmedge-v1"),
        ("io.containerd.spin.v2", "containerd-shim-spin-v2"),
    ] {
        std::os::unix::fs::symlink(bin.join("containerd-shim-sampan-v1"), bin.join(program)).unwrap();
        let finished = server.ctr(&["run", "--rm", "--runtime", runtime, &image("hello"), "name-1"]);
        assert_eq!(finished.stdout, "Hello from a guest!\n", "{runtime}: {finished:?}");
    }
}

#[test]
fn seccomp_profiles_hold_with_and_without_new_privileges() {
    let Some(server) = containerd(&["hello"]) else { return };
    let Some(()) = import_busybox(&server) else { return };
    let script =
        "grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/self/status; mount -t tmpfs none /bin; echo $?";
    for (flags, expected) in [
        (&["--rm", "--seccomp"][..], "NoNewPrivs:\t1"),
        (&["--rm", "--seccomp", "--allow-new-privs"], "NoNewPrivs:\t0"),
    ] {
        let finished = server.ctr(&run(flags, &image("busybox"), &["seccomp-1", "/bin/sh", "-c", script]));
        assert!(finished.stdout.contains(expected), "{finished:?}");
        assert!(finished.stdout.contains("Seccomp:\t2"), "{finished:?}");
        // What it took to install the profile is given back: 0x200000 is CAP_SYS_ADMIN.
        for set in ["CapEff", "CapBnd"] {
            let line = finished.stdout.lines().find(|line| line.starts_with(set)).unwrap();
            let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            assert_eq!(bits & 0x20_0000, 0, "{line}");
        }
        assert!(finished.stdout.ends_with("1\n"), "a mount is refused: {finished:?}");
        let finished = server.ctr(&run(flags, &image("hello"), &["seccomp-2"]));
        assert_eq!(finished.stdout, "Hello from a guest!\n", "{finished:?}");
    }
}
