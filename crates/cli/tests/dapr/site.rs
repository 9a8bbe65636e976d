//! A folder with a manifest and Dapr's component files, and `sampan up` with it.

use sampan_testing::{Response, Running, free_port, http_send, sampan, temp_dir};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The app's id in all of these tests.
pub const APP: &str = "shop";

/// What is started, piece by piece.
pub struct Site {
    folder: TempDir,
    /// Of the table `[dapr]`, beside the folder and the ports.
    dapr: String,
    /// The rest of the manifest.
    rest: String,
    environment: Vec<(&'static str, &'static str)>,
}

impl Site {
    pub fn new(components: &[String]) -> Site {
        let site =
            Site { folder: temp_dir(), dapr: String::new(), rest: String::new(), environment: Vec::new() };
        std::fs::create_dir(site.path().join("components")).expect("a new folder");
        for (index, component) in components.iter().enumerate() {
            site.write(&format!("components/{index}.yaml"), component);
        }
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A line of `[dapr]`.
    pub fn dapr(mut self, line: &str) -> Site {
        self.dapr += &format!("{line}\n");
        self
    }

    /// Tables of the manifest.
    pub fn manifest(mut self, text: &str) -> Site {
        self.rest += text;
        self
    }

    pub fn env(mut self, name: &'static str, value: &'static str) -> Site {
        self.environment.push((name, value));
        self
    }

    #[track_caller]
    pub fn up(self) -> Up {
        let (http, grpc) = (free_port(), free_port());
        let Site { dapr, rest, .. } = &self;
        let manifest = format!(
            "[app]\nname = \"{APP}\"\n[dapr]\ncomponents = \"components\"\nhttp = \"127.0.0.1:{http}\"\n\
             grpc = \"127.0.0.1:{grpc}\"\n{dapr}{rest}"
        );
        self.write("sampan.toml", manifest);
        let mut command = sampan();
        command.arg("up").arg("-f").arg(self.path().join("sampan.toml"));
        command.args(["--listen", "127.0.0.1:0"]).envs(self.environment.iter().copied());
        let mut process = Running::start(&mut command);
        process.wait_for_line(&format!("dapr on http://127.0.0.1:{http}/"));
        process.wait_for_line(&format!("dapr on http://127.0.0.1:{grpc}/"));
        Up { process, http, grpc, folder: self.folder }
    }
}

/// Sampan with its ports.
pub struct Up {
    pub process: Running,
    pub http: u16,
    pub grpc: u16,
    /// Kept for as long as the process.
    folder: TempDir,
}

impl Up {
    /// Changes a file under the process.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        http_send(("127.0.0.1", self.http), method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Response {
        self.send("POST", path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// Waits until the app's subscriptions run: a broker in memory keeps nothing for those who come later.
    #[track_caller]
    pub fn subscribed(&self, topics: &[&str]) {
        let begun = std::time::Instant::now();
        loop {
            let metadata = self.get("/v1.0/metadata").text();
            if topics.iter().all(|topic| metadata.contains(&format!("\"topic\":\"{topic}\""))) {
                return;
            }
            assert!(begun.elapsed() < sampan_testing::PATIENCE, "{topics:?} are not subscribed: {metadata}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Tells a client of Dapr where Sampan is, in the way that `dapr run` does.
    pub fn tell(&self, command: &mut Command) {
        command.env("DAPR_HTTP_PORT", self.http.to_string()).env("DAPR_GRPC_PORT", self.grpc.to_string());
        command.env("APP_ID", APP).env_remove("DAPR_API_TOKEN");
    }
}

/// A component file; metadata as `name=value`.
pub fn component(name: &str, kind: &str, metadata: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  \
         version: v1\n  metadata:"
    );
    for item in metadata {
        let (name, value) = item.split_once('=').expect("name=value");
        text += &format!("\n  - name: {name}\n    value: {value:?}");
    }
    if metadata.is_empty() {
        text += " []";
    }
    text + "\n"
}
