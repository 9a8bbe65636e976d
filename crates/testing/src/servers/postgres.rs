//! A PostgreSQL server, from Debian's package `postgresql`.

use super::janitor::Folder;
use crate::{Running, free_port, skip};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// A server on 127.0.0.1 with the database `postgres` and the user `sampan`. It is killed when the value is
/// dropped, or the test binary ends.
pub struct Postgres {
    pub port: u16,
    programs: PathBuf,
    options: Vec<String>,
    /// A mutex, so that the tests of a binary can share the server.
    running: Mutex<Option<Running>>,
    folder: Folder,
}

impl Postgres {
    pub const USER: &str = "sampan";
    pub const PASSWORD: &str = "s3cret/päss";

    /// Starts one and waits until it answers; `None` (after saying so) where PostgreSQL is not installed.
    #[track_caller]
    pub fn start() -> Option<Postgres> {
        Postgres::start_with(None)
    }

    /// The same with TLS: a certificate and its key, in PEM.
    #[track_caller]
    pub fn start_tls(certificate: &str, key: &str) -> Option<Postgres> {
        Postgres::start_with(Some((certificate, key)))
    }

    #[track_caller]
    fn start_with(tls: Option<(&str, &str)>) -> Option<Postgres> {
        let Some(programs) = programs() else {
            return skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
        };
        let folder = Folder::new();
        let data = folder.path.join("data");
        give(&folder.path);
        let password = folder.path.join("password");
        fs::write(&password, Postgres::PASSWORD).expect("a file in our own folder");
        give(&password);
        let mut init = as_user(&programs.join("initdb"));
        init.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]);
        init.args(["--username", Postgres::USER, "--pwfile"]).arg(&password).arg("-D").arg(&data);
        let made = init.current_dir(&folder.path).stdin(Stdio::null()).output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut options: Vec<String> =
            ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories="].map(str::to_owned).into();
        options.push("shared_buffers=16MB".to_owned());
        if let Some((certificate, key)) = tls {
            for (name, text) in [("server.crt", certificate), ("server.key", key)] {
                let path = folder.path.join(name);
                fs::write(&path, text).expect("a file in our own folder");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
                give(&path);
            }
            options.push("ssl=on".to_owned());
            options.push(format!("ssl_cert_file={}", folder.path.join("server.crt").display()));
            options.push(format!("ssl_key_file={}", folder.path.join("server.key").display()));
        }
        let mut server = Postgres { port: free_port(), programs, options, running: Mutex::new(None), folder };
        server.restart();
        Some(server)
    }

    /// With user and password.
    pub fn url(&self) -> String {
        format!("postgres://{}:s3cret%2Fp%C3%A4ss@127.0.0.1:{}/postgres", Postgres::USER, self.port)
    }

    /// Ends it at once, without anything that a crash would not do (an "immediate shutdown"), and waits for
    /// its processes: killed, it would leave them behind for a moment, and could not be started again.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.get_mut().expect("no test panics in here").take() else {
            return;
        };
        let process = rustix::process::Pid::from_child(&running.child);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::QUIT);
        let _ = running.child.wait();
    }

    /// Starts it again on the same port, with its data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = as_user(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.path.join("data")).args(["-p", &self.port.to_string()]);
        for option in &self.options {
            command.args(["-c", option]);
        }
        let mut running = Running::start(command.current_dir(&self.folder.path));
        self.folder.used_by(&running.child);
        running.wait_for_error("database system is ready to accept connections");
        *self.running.get_mut().expect("no test panics in here") = Some(running);
    }
}

/// The newest version that is installed; Debian keeps each in a folder of its own.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    let installed = versions.filter(|folder| folder.join("initdb").exists());
    installed.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    })
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, which its package makes.
fn as_user(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Lets that user have the file.
fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres");
        let mut ids = line.split(':').skip(2).map(|id| id.parse::<u32>().expect("a number"));
        chown(path, ids.next(), ids.next()).expect("root may give files away");
    }
}
