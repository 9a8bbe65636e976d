//! A MariaDB server, from Debian's package `mariadb-server`.

use super::janitor::Folder;
use crate::{Running, free_port, skip};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// A server on 127.0.0.1 with the database `test` and the user `sampan`. It is killed when the value is
/// dropped, or the test binary ends.
pub struct MariaDb {
    pub port: u16,
    options: Vec<String>,
    /// A mutex, so that the tests of a binary can share the server.
    running: Mutex<Option<Running>>,
    folder: Folder,
}

impl MariaDb {
    pub const USER: &str = "sampan";
    pub const PASSWORD: &str = "s3cret/päss";

    /// Starts one and waits until it answers; `None` (after saying so) where MariaDB is not installed.
    #[track_caller]
    pub fn start() -> Option<MariaDb> {
        MariaDb::start_with(None)
    }

    /// The same with TLS: a certificate and its key, in PEM.
    #[track_caller]
    pub fn start_tls(certificate: &str, key: &str) -> Option<MariaDb> {
        MariaDb::start_with(Some((certificate, key)))
    }

    #[track_caller]
    fn start_with(tls: Option<(&str, &str)>) -> Option<MariaDb> {
        let (Some(install), Some(_)) = (program("mariadb-install-db"), program("mariadbd")) else {
            return skip("mariadbd is not installed (Debian: apt-get install mariadb-server)");
        };
        let folder = Folder::new();
        let data = folder.path.join("data");
        let mut command = Command::new(install);
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        command.arg(format!("--datadir={}", data.display())).args(user());
        let installed = command.stdin(Stdio::null()).output().expect("mariadb-install-db runs");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let init = folder.path.join("init.sql");
        // Executed at every start, one statement a line.
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4;\n\
             CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO '{user}'@'%';\n",
            user = MariaDb::USER,
            password = MariaDb::PASSWORD,
        );
        fs::write(&init, statements).expect("a file in our own folder");
        let mut options = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--init-file={}", init.display()),
            format!("--socket={}", folder.path.join("sock").display()),
            format!("--pid-file={}", folder.path.join("mariadb.pid").display()),
            // A server that starts removes what it believes to be its own from there.
            format!("--tmpdir={}", folder.path.display()),
            "--bind-address=127.0.0.1".to_owned(),
            // Tests end with the server; what a crash would lose does not matter.
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-buffer-pool-size=32M".to_owned(),
            "--skip-name-resolve".to_owned(),
        ];
        for (option, text) in tls.into_iter().flat_map(|(cert, key)| [("ssl-cert", cert), ("ssl-key", key)]) {
            let path = folder.path.join(option);
            fs::write(&path, text).expect("a file in our own folder");
            options.push(format!("--{option}={}", path.display()));
        }
        let port = free_port();
        let mut server = MariaDb { port, options, running: Mutex::new(None), folder };
        server.restart();
        Some(server)
    }

    /// With user and password.
    pub fn url(&self) -> String {
        format!("mysql://{}:s3cret%2Fp%C3%A4ss@127.0.0.1:{}/test", MariaDb::USER, self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        *self.running.get_mut().expect("no test panics in here") = None;
    }

    /// Starts it again on the same port, with its data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(program("mariadbd").expect("it was there before"));
        command.args(&self.options).arg(format!("--port={}", self.port)).args(user());
        let mut running = Running::start(&mut command);
        self.folder.used_by(&running.child);
        running.wait_for_error("ready for connections");
        *self.running.get_mut().expect("no test panics in here") = Some(running);
    }
}

/// Root has to say that it means it.
fn user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

/// Debian installs servers where a user's PATH may not lead.
fn program(name: &str) -> Option<String> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).exists())
}
