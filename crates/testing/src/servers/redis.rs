//! A Redis server, from Debian's package `redis-server`.

use crate::{Running, free_port, skip, temp_dir};
use std::process::{Command, Stdio};

/// A server on 127.0.0.1 that keeps nothing. It is killed when the value is dropped.
pub struct Redis {
    pub port: u16,
    arguments: Vec<String>,
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one and waits until it answers; `None` (after saying so) where Redis is not installed.
    #[track_caller]
    pub fn start() -> Option<Redis> {
        Redis::start_with(&[])
    }

    /// The same with further options of redis-server, such as `--requirepass`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Option<Redis> {
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            return skip("redis-server is not installed (Debian: apt-get install redis-server)");
        }
        let port = free_port();
        // With TLS the plain port is another option, which the test then sets to 0.
        let port_option = if options.contains(&"--tls-cert-file") { "--tls-port" } else { "--port" };
        let mut arguments = vec![port_option.to_owned(), port.to_string()];
        arguments.extend(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned));
        arguments.extend(options.iter().map(|&option| option.to_owned()));
        let mut server = Redis { port, arguments, running: None, folder: temp_dir() };
        server.restart();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, empty.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(&self.arguments).current_dir(self.folder.path());
        let mut running = Running::start(&mut command);
        running.wait_for_line("Ready to accept connections");
        self.running = Some(running);
    }

    /// Stops it from answering, with its connections open, until [`Redis::thaw`].
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let running = self.running.as_ref().expect("a running server");
        let process = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(process, signal).expect("a signal to our own child");
    }
}
