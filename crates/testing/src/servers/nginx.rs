//! An nginx, from Debian's package `nginx`.

use crate::{Running, free_port, skip, temp_dir};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Debian puts it where the paths of ordinary users do not lead.
const PROGRAM: &str = "/usr/sbin/nginx";

/// A server on 127.0.0.1 in one process. It is killed when the value is dropped.
pub struct Nginx {
    pub port: u16,
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts one with this text inside of `http { … }`, in which `PORT` stands for its port and `FOLDER` for a
    /// folder with `files`, and waits until it takes connections; `None` (after saying so) where nginx is not
    /// installed.
    #[track_caller]
    pub fn start(http: &str, files: &[(&str, &str)]) -> Option<Nginx> {
        if !Path::new(PROGRAM).exists() {
            return skip("nginx is not installed (Debian: apt-get install nginx)");
        }
        let folder = temp_dir();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file in our own folder");
        }
        let port = free_port();
        let at = folder.path().display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/{what};\n"))
            .concat();
        let http = http.replace("PORT", &port.to_string()).replace("FOLDER", &at);
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{http}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).expect("a file in our own folder");
        let mut server = Nginx { port, running: None, folder };
        server.restart();
        Some(server)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(PROGRAM);
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(self.folder.path().join("nginx.conf"));
        self.running = Some(Running::start(&mut command).listening("nginx", self.port));
    }
}
