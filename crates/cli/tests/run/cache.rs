//! The artifact cache, as a user meets it.

use sampan_testing::{Finished, finish, guest, sampan, temp_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn run(cache: &Path, program: &Path) -> Finished {
    finish(sampan().args(["run", "--timing"]).arg(program).env("XDG_CACHE_HOME", cache), "")
}

fn verb(cache: &Path, args: &[&str]) -> Finished {
    finish(sampan().arg("cache").args(args).env("XDG_CACHE_HOME", cache), "")
}

fn artifact(cache: &Path) -> PathBuf {
    let code = cache.join("sampan/artifacts/code");
    let all: Vec<_> = fs::read_dir(&code).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.into_iter().find(|path| path.extension().is_none()).unwrap()
}

#[test]
fn the_second_run_does_not_compile() {
    let cache = temp_dir();
    assert!(run(cache.path(), &guest("hello")).stderr.contains("timing: compile"));
    assert!(run(cache.path(), &guest("hello")).stderr.contains("timing: cache hit"));
    // The same content under another name is the same program.
    let copy = cache.path().join("copy.wasm");
    fs::copy(guest("hello"), &copy).unwrap();
    assert!(run(cache.path(), &copy).stderr.contains("timing: cache hit"));
    // A change is another program.
    fs::copy(guest("exit"), &copy).unwrap();
    assert!(run(cache.path(), &copy).stderr.contains("timing: compile"));
}

#[test]
fn a_damaged_or_foreign_entry_is_compiled_again() {
    let cache = temp_dir();
    let fresh = || {
        verb(cache.path(), &["clear"]);
        assert_eq!(run(cache.path(), &guest("hello")).code, 0);
        artifact(cache.path())
    };
    let compiles_again = |why: &str| {
        let finished = run(cache.path(), &guest("hello"));
        assert_eq!(finished.code, 0, "{why}: {}", finished.stderr);
        assert!(finished.stderr.contains("timing: compile"), "{why}: {}", finished.stderr);
    };

    let path = fresh();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    compiles_again("truncated");

    fs::set_permissions(fresh(), fs::Permissions::from_mode(0o666)).unwrap();
    compiles_again("writable by all");

    let path = fresh();
    if std::os::unix::fs::chown(&path, Some(4242), None).is_ok() {
        compiles_again("owned by another user");
    }

    // The right length and owner, the wrong content: Wasmtime's own header check refuses it.
    let path = fresh();
    fs::write(&path, vec![0; bytes.len()]).unwrap();
    compiles_again("zeroes");
}

#[test]
fn it_can_be_listed_and_cleared() {
    let cache = temp_dir();
    assert!(verb(cache.path(), &["size"]).stdout.contains("0 artifacts"));
    run(cache.path(), &guest("hello"));
    run(cache.path(), &guest("exit"));
    assert!(verb(cache.path(), &[]).stdout.contains("2 artifacts"));
    assert_eq!(verb(cache.path(), &["list"]).stdout.lines().count(), 3);
    let json = verb(cache.path(), &["list", "--json"]).stdout;
    assert_eq!(json.matches("\"digest\": \"sha256:").count(), 2, "{json}");
    assert!(verb(cache.path(), &["clear"]).stdout.contains("removed 2 artifacts"));
    assert!(verb(cache.path(), &["size"]).stdout.contains("0 artifacts"));
}

#[test]
fn settings_that_change_the_code_have_entries_of_their_own() {
    let cache = temp_dir();
    for flags in [&["--fuel", "100000000"][..], &["-O", "0"], &[]] {
        let mut command = sampan();
        command.arg("run").args(flags).arg(guest("hello")).env("XDG_CACHE_HOME", cache.path());
        assert_eq!(finish(&mut command, "").code, 0);
    }
    assert!(verb(cache.path(), &["size"]).stdout.contains("3 artifacts"));
}
