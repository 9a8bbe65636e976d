//! Files that are no programs, and a machine that does not play along: each gets a sentence.

use crate::{assert_error, run, run_text};
use sampan_testing::{finish, guest, sampan, temp_dir, wat};
use std::fs;
use std::path::Path;

#[test]
fn files_that_are_no_wasm() {
    let dir = temp_dir();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let hello = fs::read(guest("hello")).unwrap();
    assert_error(&run([Path::new("/no/such/file.wasm")]), 127, "No such file");
    assert_error(&run([dir.path()]), 126, "is a directory");
    assert_error(&run([write("empty", b"")]), 126, "empty");
    assert_error(&run([write("truncated", &hello[..hello.len() / 2])]), 126, "the file ends at byte");
    assert_error(&run([write("magic", b"\0asm")]), 126, "the file ends at byte");
    assert_error(&run([write("random", &[7; 4096])]), 126, "not WebAssembly");
    assert_error(&run([Path::new("/bin/sh")]), 126, "native program");
    assert_error(&run([write("text", b"hello there")]), 126, "not WebAssembly");
    assert_error(&run([write("bad.wat", b"(module (func)")]), 126, "bad.wat");
    let mut damaged = hello.clone();
    damaged[8..200].fill(0xff);
    assert_error(&run([write("damaged", &damaged)]), 126, "damaged");
}

#[test]
fn every_truncation_is_a_sentence() {
    let hello = fs::read(guest("hello")).unwrap();
    for part in 1..20 {
        let cut = &hello[..hello.len() * part / 20];
        let finished = finish(sampan().args(["run", "--no-cache", "-"]), cut);
        assert_error(&finished, 126, "standard input");
    }
}

#[test]
fn imports_that_nobody_provides_are_all_named() {
    let text =
        "(module (import \"env\" \"one\" (func)) (import \"env\" \"two\" (func)) (func (export \"_start\")))";
    let finished = run_text(&[], text);
    assert_error(&finished, 126, "env `one`");
    assert!(finished.stderr.contains("env `two`"));
    assert_error(&run([wat("unknown-import")]), 126, "does not provide");
}

#[test]
fn threads_of_preview_1_are_refused_clearly() {
    let finished = run([wat("threads")]);
    assert_error(&finished, 126, "thread");
}

#[test]
fn a_component_that_is_no_command() {
    assert_error(&run_text(&[], "(component)"), 126, "not a command");
}

#[test]
fn an_unwritable_cache_is_said_and_does_not_stop_the_program() {
    let dir = temp_dir();
    fs::create_dir_all(dir.path().join("sampan")).unwrap();
    // A file where a folder should be fails also for root, whom permissions do not stop.
    fs::write(dir.path().join("sampan/artifacts"), "").unwrap();
    let finished = finish(sampan().arg("run").arg(guest("hello")).env("XDG_CACHE_HOME", dir.path()), "");
    assert_eq!(finished.code, 0);
    assert!(finished.stderr.contains("warning: compiled code is not kept"), "{}", finished.stderr);
    assert!(finished.stderr.contains("help: "));
}

#[test]
fn a_full_cache_disk_leaves_nothing_half_written() {
    if !is_root() {
        sampan_testing::skip::<()>("mounting a small file system needs root");
        return;
    }
    let dir = temp_dir();
    let mount = |args: &[&str]| std::process::Command::new("mount").args(args).arg(dir.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"]).is_ok_and(|status| status.success()) {
        sampan_testing::skip::<()>("this machine does not let tests mount a file system");
        return;
    }
    let finished = finish(sampan().arg("run").arg(guest("hello")).env("XDG_CACHE_HOME", dir.path()), "");
    let code = dir.path().join("sampan/artifacts/code");
    let left = fs::read_dir(&code).map(|entries| entries.count()).unwrap_or(0);
    assert!(std::process::Command::new("umount").arg(dir.path()).status().unwrap().success());
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("warning: compiled code is not kept"), "{}", finished.stderr);
    assert_eq!(left, 0, "files are left in the cache");
}

fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

#[test]
fn mounts_that_cannot_be() {
    let dir = temp_dir();
    let hello = guest("hello");
    let with = |mount: &str| run(["-v".as_ref(), mount.as_ref(), hello.as_os_str()]);
    assert_error(&with("/no/such/folder:/data"), 125, "/no/such/folder");
    let a = dir.path().join("a");
    let b = dir.path().join("b");
    std::os::unix::fs::symlink(&a, &b).unwrap();
    std::os::unix::fs::symlink(&b, &a).unwrap();
    assert_error(&with(&format!("{}:/data", a.display())), 125, &a.display().to_string());
    for wrong in ["nonsense", "a:b", "a:/b/../c"] {
        let finished = with(wrong);
        assert_eq!(finished.code, 125);
        assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    }
}

#[test]
fn a_port_in_use_is_said_before_the_guest_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("127.0.0.1:{}:80", taken.local_addr().unwrap().port());
    let finished = run(["-p".as_ref(), port.as_ref(), guest("hello").as_os_str()]);
    assert_error(&finished, 125, "in use");
    assert_eq!(finished.stdout, "");
}

#[test]
fn wrong_environment_files_name_the_line() {
    let dir = temp_dir();
    let file = dir.path().join("env");
    fs::write(&file, "A=1\n=2\n").unwrap();
    let hello = guest("hello");
    let finished = run(["--env-file".as_ref(), file.as_os_str(), hello.as_os_str()]);
    assert_error(&finished, 125, "line 2");
    assert_error(&run(["--env-file".as_ref(), "/no/such".as_ref(), hello.as_os_str()]), 125, "/no/such");
}
