//! What users of Docker see of `sampan docker-api`: by the `docker` command (of Debian and of Docker, whichever are here),
//! by Compose, by a client library, and byte by byte.

mod bad_input;
mod command;
mod compose;
mod files;
mod images;
mod leaving;
mod library;
mod php;
mod socket;
mod streams;
mod wordpress;

use sampan_testing::{Finished, Running, finish, guest, sampan, skip, temp_dir};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A server with its own folder of containers and images, and an image `guests` that has some guests.
struct Engine {
    folder: TempDir,
    api: Running,
}

impl Engine {
    fn start() -> Engine {
        Engine::with(&["cgi", "endless", "exit", "files", "streams"])
    }

    fn with(guests: &[&str]) -> Engine {
        let folder = temp_dir();
        let context = folder.path().join("context");
        fs::create_dir(&context).expect("a folder");
        for name in guests {
            let wasm = context.join(name).with_extension("wasm");
            fs::copy(guest(name), wasm).expect("a guest is copied");
        }
        let dockerfile = "FROM scratch\nCOPY . /\nENTRYPOINT [\"/streams.wasm\"]\nCMD [\"lines\", \"3\"]\n";
        fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        let mut command = within(folder.path(), sampan());
        let built = finish(command.args(["build", "-t", "guests"]).arg(&context), "");
        assert_eq!(built.code, 0, "{}", built.stderr);
        let api = serve(folder.path());
        Engine { folder, api }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        socket(self.path())
    }

    /// `sampan` on the same containers.
    fn sampan(&self, arguments: &[&str]) -> Finished {
        finish(within(self.path(), sampan()).args(arguments), "")
    }

    /// A client of Docker.
    fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = within(self.path(), Command::new(program));
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.env("DOCKER_BUILDKIT", "0").env("COMPOSE_DOCKER_CLI_BUILD", "0");
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_API_VERSION").current_dir(self.path());
        command
    }

    fn docker(&self, program: &Path, arguments: &[&str]) -> Finished {
        finish(self.client(program).args(arguments), "")
    }

    /// Standard output of what must succeed.
    #[track_caller]
    fn good(&self, program: &Path, arguments: &[&str]) -> String {
        let finished = self.docker(program, arguments);
        assert_eq!(finished.code, 0, "{arguments:?}: {}{}", finished.stdout, finished.stderr);
        finished.stdout.trim_end().to_owned()
    }

    /// A request, and the answer as it comes, to its end.
    fn send(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {length}");
        self.send_raw(format!("{head}\r\nContent-Type: application/json\r\n\r\n{body}").as_bytes())
    }

    fn send_raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("a connection");
        stream.set_read_timeout(Some(sampan_testing::PATIENCE)).expect("a time limit");
        stream
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let all = self.sampan(&["ps", "-aq"]).stdout;
        for id in all.split_whitespace() {
            self.sampan(&["rm", "-f", id]);
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

fn serve(folder: &Path) -> Running {
    let mut command = within(folder, sampan());
    let mut api = Running::start(command.arg("docker-api").arg("--socket").arg(socket(folder)));
    let line = api.wait_for_line("export DOCKER_HOST=");
    assert_eq!(line, format!("export DOCKER_HOST=unix://{}", socket(folder).display()));
    api
}

/// Sees the containers, images and Docker's configuration of a folder only.
fn within(folder: &Path, mut command: Command) -> Command {
    command.env("SAMPAN_DATA_DIR", folder.join("data")).env("DOCKER_CONFIG", folder.join("config"));
    command
}

/// The `docker` commands of this machine: of Debian (20.10), and of Docker.
#[track_caller]
fn dockers() -> Vec<PathBuf> {
    let paths = ["/usr/bin/docker", "/usr/local/bin/docker"].map(PathBuf::from);
    let found: Vec<PathBuf> = paths.into_iter().filter(|path| path.exists()).collect();
    if found.is_empty() {
        skip::<()>("there is no docker (Debian's docker.io)");
    }
    found
}

/// Looks again and again until it is so.
#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is() {
        assert!(begun.elapsed() < sampan_testing::PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
