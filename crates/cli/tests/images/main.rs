//! Images as their users meet them: built, listed, moved between stores and registries, and removed.

mod build;
mod registries;
mod store;

use sampan_testing::{Finished, finish, sampan};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A user with a folder of data and one of files.
struct User {
    data: TempDir,
    files: TempDir,
}

impl User {
    fn new(files: &[(&str, &str)]) -> User {
        let user = User { data: sampan_testing::temp_dir(), files: sampan_testing::temp_dir() };
        files.iter().for_each(|(name, content)| user.write(name, content));
        user
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.files.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = sampan();
        command.current_dir(self.files.path()).args(args);
        command
            .env("SAMPAN_DATA_DIR", self.data.path())
            .env("DOCKER_CONFIG", self.data.path().join("docker"));
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), "")
    }

    /// What a command prints that must end well.
    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let finished = self.run(args);
        assert_eq!(finished.code, 0, "sampan {args:?}: {finished:?}");
        finished.stdout
    }

    /// What a command says that must not.
    #[track_caller]
    fn bad(&self, args: &[&str]) -> String {
        let finished = self.run(args);
        assert_eq!(finished.code, 1, "sampan {args:?}: {finished:?}");
        finished.stderr
    }
}

/// An image of one file.
fn hello(user: &User, name: &str) -> String {
    user.write("hello.wasm", "code");
    user.write("Dockerfile", "FROM scratch\nCOPY hello.wasm /\nENTRYPOINT [\"/hello.wasm\"]\n");
    let built = user.good(&["build", "-q", "-t", name, "."]);
    built.trim().to_owned()
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}
