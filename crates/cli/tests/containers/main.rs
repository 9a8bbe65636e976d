//! What a user sees of containers: `run -d` and everything that is done with what it leaves behind.

mod failures;
mod files;
mod full_disk;
mod large;
mod lifecycle;
mod rounds;
mod served;
mod spin_images;
mod streams;
mod usage;

use sampan_testing::{Finished, finish, sampan, temp_dir};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A data folder of a test's own. Its containers end with it.
struct Place {
    data: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { data: temp_dir() }
    }

    /// In another place than that for temporary files.
    fn inside(folder: &Path) -> Self {
        Place { data: tempfile::tempdir_in(folder).expect("a folder there") }
    }

    fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = sampan();
        command.env("SAMPAN_DATA_DIR", self.data.path()).args(args);
        command
    }

    fn sampan(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), "")
    }

    /// The output of what must succeed, without the last line's end.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let finished = self.sampan(args);
        assert_eq!(finished.code, 0, "sampan {args:?}: {}{}", finished.stdout, finished.stderr);
        finished.stdout.trim_end().to_owned()
    }

    /// What must fail, with this code and message.
    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, message: &str) {
        let finished = self.sampan(args);
        let text = &finished.stderr;
        assert!(text.contains("error: ") && text.contains(message), "expected `{message}` in:\n{text}");
        assert!(text.contains("help: ") && !text.contains("panicked"), "{text}");
        assert_eq!(finished.code, code, "{text}");
    }

    /// Starts a guest in the background under a name.
    #[track_caller]
    fn start(&self, name: &str, flags: &[&str], guest: &Path, args: &[&str]) -> String {
        let guest = guest.to_str().expect("a path in UTF-8");
        let all = [&["run", "-d", "--name", name], flags, &[guest], args].concat();
        self.ok(&all)
    }

    #[track_caller]
    fn inspect(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ok(&["inspect", name])).expect("JSON");
        all[0].clone()
    }

    #[track_caller]
    fn status(&self, name: &str) -> String {
        self.inspect(name)["State"]["Status"].as_str().expect("a status").to_owned()
    }

    fn folder(&self, name: &str) -> PathBuf {
        let id = self.inspect(name)["Id"].as_str().expect("an id").to_owned();
        self.data.path().join("containers").join(id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all = self.sampan(&["ps", "-aq"]).stdout;
        let mut rm = self.command(["rm", "-f"]);
        finish(rm.args(all.split_whitespace()), "");
    }
}

/// A program that does nothing until it is ended.
fn idle() -> PathBuf {
    sampan_testing::wat("idle")
}
