//! A NATS server with JetStream, from Debian's package `nats-server`.

use crate::{Running, free_port, skip, temp_dir};
use std::process::{Command, Stdio};

/// A server on 127.0.0.1 whose streams are in a folder of its own. It is killed when the value is dropped.
pub struct Nats {
    pub port: u16,
    arguments: Vec<String>,
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Nats {
    /// Starts one and waits until it takes connections; `None` (after saying so) where NATS is not installed.
    #[track_caller]
    pub fn start() -> Option<Nats> {
        Nats::start_with(&[])
    }

    /// The same with further options of nats-server, such as `--auth`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Option<Nats> {
        let installed = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            return skip("nats-server is not installed (Debian: apt-get install nats-server)");
        }
        let arguments = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Nats { port: free_port(), arguments, running: None, folder: temp_dir() };
        server.restart();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, with its streams.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream"]);
        command.arg("--store_dir").arg(self.folder.path()).args(&self.arguments);
        let mut running = Running::start(&mut command);
        running.wait_for_error("Server is ready");
        self.running = Some(running);
    }
}
