//! `sampan up` as a user meets it: manifests in a folder, a process, requests over the network.

mod add_header;
mod apps;
mod bad_input;
mod demo;
mod filter_chain;
mod filter_updates;
mod flash_sale;
mod gateway;
mod images;
mod lifecycle;
mod load;
mod policy;
mod reload;
mod routes;
mod spin;
mod spin_dependencies;
mod spin_sources;
mod tcp;
mod tcp_filters;
mod watch;
mod wordpress;

use sampan_testing::{Response, Running, http_send, sampan, temp_dir};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a manifest.
struct App {
    folder: TempDir,
}

impl App {
    fn new(manifest: &str) -> App {
        let app = App { folder: temp_dir() };
        app.write("sampan.toml", manifest);
        app
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn up(&self) -> Up {
        self.up_with(&[])
    }

    fn up_with(&self, flags: &[&str]) -> Up {
        Up::start(&self.path().join("sampan.toml"), flags)
    }
}

/// A running `sampan up` on a port that the system chose.
struct Up {
    process: Running,
    /// `127.0.0.1:PORT`
    address: String,
}

impl Up {
    fn start(manifest: &Path, flags: &[&str]) -> Up {
        let mut command = sampan();
        command.arg("up").arg("-f").arg(manifest).args(["--listen", "127.0.0.1:0"]).args(flags);
        let mut process = Running::start(&mut command);
        let line = process.wait_for_line("listening on http://");
        let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
        Up { process, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        http_send(self.address.as_str(), method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends a signal to the process, by its name.
    fn signal(&self, name: &str) {
        let pid = self.process.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
    }
}

/// A guest for `wasm32-wasip2`, as a `source` of a manifest.
fn component(name: &str) -> PathBuf {
    sampan_testing::guest_for("wasm32-wasip2", name)
}
