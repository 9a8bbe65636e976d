//! `sampan compile` and `sampan key`: native code that travels with the wasm, and who is trusted with it.

use sampan_testing::{Finished, finish, guest, guest_for, sampan, temp_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine of its own: its keys and its cache.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Machine(temp_dir())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sampan(&self, args: &[&str]) -> Command {
        let mut command = sampan();
        command
            .args(args)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    fn compile(&self, args: &[&str], file: &Path) {
        let finished = finish(self.sampan(&["compile"]).args(args).arg(file), "");
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }

    /// Runs with an empty cache, so that it shows where the code came from.
    fn run(&self, file: &Path) -> Finished {
        let _ = fs::remove_dir_all(self.path("cache"));
        let finished = finish(self.sampan(&["run", "--timing"]).arg(file), "");
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert!(!finished.stdout.is_empty());
        finished
    }
}

#[track_caller]
fn assert_shipped(finished: &Finished) {
    assert!(finished.stderr.contains("timing: shipped"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("warning"), "{}", finished.stderr);
}

#[track_caller]
fn assert_ignored(finished: &Finished, why: &str) {
    assert!(finished.stderr.contains("timing: compile"), "{}", finished.stderr);
    assert!(finished.stderr.contains("is ignored: ") && finished.stderr.contains(why), "{}", finished.stderr);
}

#[test]
fn code_inside_one_file_runs_here_and_the_wasm_elsewhere() {
    for platform in ["wasm32-wasip1", "wasm32-wasip2"] {
        let (here, elsewhere) = (Machine::new(), Machine::new());
        let one = here.path("one.wasm");
        here.compile(&["-o", one.to_str().unwrap()], &guest_for(platform, "hello"));
        assert_shipped(&here.run(&one));
        assert_ignored(&elsewhere.run(&one), "not trusted here");

        let public = finish(&mut here.sampan(&["key", "show"]), "").stdout;
        let trusted = finish(&mut elsewhere.sampan(&["key", "trust", "builder", "-"]), &public);
        assert_eq!(trusted.code, 0, "{}", trusted.stderr);
        assert_shipped(&elsewhere.run(&one));
        assert_eq!(finish(&mut elsewhere.sampan(&["key", "untrust", "builder"]), "").code, 0);
        assert_ignored(&elsewhere.run(&one), "not trusted here");
    }
}

#[test]
fn code_beside_a_file_is_found() {
    let here = Machine::new();
    let file = here.path("app.wasm");
    fs::copy(guest("hello"), &file).unwrap();
    here.compile(&[], &file);
    assert!(here.path("app.wasm.native").exists());
    assert_shipped(&here.run(&file));
    // It belongs to that wasm alone.
    fs::copy(guest("args"), &file).unwrap();
    assert_ignored(&here.run(&file), "compiled from a different WebAssembly file");
}

#[test]
fn altered_code_is_never_executed() {
    let here = Machine::new();
    let one = here.path("one.wasm");
    here.compile(&["-o", one.to_str().unwrap()], &guest("hello"));
    let bytes = fs::read(&one).unwrap();
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    fs::write(&one, &altered).unwrap();
    assert_ignored(&here.run(&one), "altered");
    // Cut off in the middle of the native code, the file itself is damaged: nothing runs.
    fs::write(&one, &bytes[..bytes.len() - 10]).unwrap();
    let finished = finish(&mut here.sampan(&["run", one.to_str().unwrap()]), "");
    assert_eq!(finished.code, 126, "{}", finished.stderr);
}

#[test]
fn one_file_serves_several_targets_and_profiles() {
    let here = Machine::new();
    let one = here.path("one.wasm");
    let out = one.to_str().unwrap();
    here.compile(&["-o", out], &guest("hello"));
    here.compile(&["-o", out, "--target", "aarch64-unknown-linux-gnu"], &one);
    here.compile(&["-o", out, "--serve", "-O", "s"], &one);
    assert_shipped(&here.run(&one));
    let only_foreign = here.path("foreign.wasm");
    here.compile(
        &["-o", only_foreign.to_str().unwrap(), "--target", "riscv64gc-unknown-linux-gnu"],
        &guest("hello"),
    );
    let finished = here.run(&only_foreign);
    assert!(
        finished.stderr.contains("timing: compile") && !finished.stderr.contains("warning"),
        "{}",
        finished.stderr
    );
}

#[test]
fn what_wasmedge_compiled_is_ignored_with_a_notice() {
    let here = Machine::new();
    let file = here.path("edge.wasm");
    // A custom section `wasmedge` with something in it, as its compiler appends one.
    let mut bytes = fs::read(guest("hello")).unwrap();
    let content = [&[8][..], b"wasmedge", &[3, 1, 1, 0, 0]].concat();
    bytes.extend([0, content.len() as u8]);
    bytes.extend(content);
    fs::write(&file, bytes).unwrap();
    let finished = here.run(&file);
    assert!(
        finished.stderr.contains("WasmEdge's compiler left in the file is ignored"),
        "{}",
        finished.stderr
    );
}

#[test]
fn keys_are_made_listed_and_guarded() {
    let here = Machine::new();
    assert!(finish(&mut here.sampan(&["key"]), "").stdout.contains("no key yet"));
    assert_eq!(finish(&mut here.sampan(&["key", "make"]), "").code, 0);
    assert_eq!(finish(&mut here.sampan(&["key", "make"]), "").code, 1);
    assert!(finish(&mut here.sampan(&["key", "list"]), "").stdout.contains("machine"));
    assert!(
        finish(&mut here.sampan(&["key", "list", "--json"]), "").stdout.contains("\"name\": \"machine\"")
    );
    for args in
        [&["key", "trust", "x", "/no/such"][..], &["key", "untrust", "x"], &["key", "trust", "../x", "-"]]
    {
        let finished = finish(&mut here.sampan(args), "nonsense");
        assert_eq!(finished.code, 1, "{args:?}");
        assert!(
            finished.stderr.starts_with("error: ") && finished.stderr.contains("help: "),
            "{}",
            finished.stderr
        );
    }
    // A signing key that others may read signs nothing.
    let key = here.path("config/sampan/keys/machine.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let finished = finish(here.sampan(&["compile"]).arg(guest("hello")).args(["-o", "/dev/null"]), "");
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("chmod"), "{}", finished.stderr);
}

#[test]
fn compile_explains_what_it_cannot_do() {
    let here = Machine::new();
    let hello = guest("hello");
    for (args, message) in [
        (vec!["/no/such.wasm"], "No such file"),
        (vec!["/bin/sh"], "native program"),
        (vec!["--target", "pdp11", hello.to_str().unwrap()], "cannot compile for pdp11"),
        (
            vec!["-o", "/no/such/folder/x.wasm", hello.to_str().unwrap()],
            "cannot write /no/such/folder/x.wasm",
        ),
    ] {
        let finished = finish(here.sampan(&["compile"]).args(&args), "");
        crate::assert_error(&finished, 1, message);
    }
}
