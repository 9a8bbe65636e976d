//! Components that take messages and publish them: by `wasi:messaging`, and by Spin's trigger of Redis.

mod calls;
mod delivery;
mod faces;
mod failures;
mod spin;
mod start;
mod stop;

use sampan_testing::{PATIENCE, Response, Running, free_port, guest_for, http_send, sampan, temp_dir};
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// A running app with Dapr's API, which says when subscriptions are there.
struct App {
    folder: TempDir,
    process: Running,
    /// Of the routes; empty where there are none.
    address: String,
    dapr: u16,
}

impl App {
    /// Starts what [`write`] has written and waits until so many subscriptions are there: what is published
    /// before is lost in memory.
    #[track_caller]
    fn up(tables: &str, subscriptions: usize) -> App {
        let (folder, dapr) = (temp_dir(), free_port());
        write(folder.path(), &format!("{}\n{tables}", head(dapr)));
        App::start(folder, dapr, subscriptions)
    }

    #[track_caller]
    fn start(folder: TempDir, dapr: u16, subscriptions: usize) -> App {
        let mut process = start(folder.path());
        let routed =
            std::fs::read_to_string(folder.path().join("sampan.toml")).unwrap().contains("[[route]]");
        let address = match routed {
            true => process.wait_for_line("listening on http://"),
            false => String::new(),
        };
        let address = address.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
        process.wait_for_line("dapr on");
        let mut app = App { folder, process, address, dapr };
        app.wait_for_subscriptions(subscriptions);
        app
    }

    #[track_caller]
    fn wait_for_subscriptions(&mut self, count: usize) {
        let began = Instant::now();
        loop {
            let metadata = http_send(("127.0.0.1", self.dapr), "GET", "/v1.0/metadata", &[], b"").unwrap();
            let metadata: serde_json::Value = serde_json::from_slice(&metadata.body).unwrap();
            if metadata["subscriptions"].as_array().map_or(0, Vec::len) == count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{metadata}");
        }
    }

    /// Lets the component behind the routes make a call of `messaging::calls`; the line that it says.
    #[track_caller]
    fn call(&self, words: &str) -> String {
        let path = format!("/{}", words.replace(' ', "+"));
        http_send(self.address.as_str(), "GET", &path, &[], b"").expect("an answer").text()
    }

    /// By Dapr's API.
    #[track_caller]
    fn publish(&self, path: &str, content_type: &str, body: &[u8]) -> Response {
        let headers = [("content-type", content_type)];
        let path = format!("/v1.0/publish/{path}");
        http_send(("127.0.0.1", self.dapr), "POST", &path, &headers, body).expect("an answer")
    }

    /// Waits until a component has printed a line that begins so; what follows.
    #[track_caller]
    fn seen(&mut self, component: &str, start: &str) -> String {
        let start = format!("[shop/{component}] {start}");
        let line = self.process.wait_for_error(&start);
        let (_, rest) = line.split_once(&start).expect("the line has it");
        rest.to_owned()
    }
}

fn head(dapr: u16) -> String {
    format!("[app]\nname = \"shop\"\n\n[dapr]\nhttp = \"127.0.0.1:{dapr}\"\n")
}

/// Writes a manifest in which `"messaging"`, `"messaging-http"` and `"dapr-app"` as sources are guests.
fn write(folder: &Path, manifest: &str) {
    let mut manifest = manifest.to_owned();
    for name in ["messaging", "messaging-http", "dapr-app"] {
        let source = format!("source = \"{name}\"");
        if manifest.contains(&source) {
            let guest = guest_for("wasm32-wasip2", name).display().to_string();
            manifest = manifest.replace(&source, &format!("source = \"{guest}\""));
        }
    }
    std::fs::write(folder.join("sampan.toml"), manifest).unwrap();
}

fn command(folder: &Path) -> std::process::Command {
    let mut command = sampan();
    command.args(["up", "--listen", "127.0.0.1:0", "--admin", "off"]).current_dir(folder);
    // Whoever runs the tests may use Dapr.
    command.env_remove("DAPR_API_TOKEN");
    command
}

fn start(folder: &Path) -> Running {
    Running::start(&mut command(folder))
}

/// Routes to a component that makes calls, with the brokers that it is granted.
fn caller(grants: &str) -> String {
    format!(
        "[[route]]\npath = \"/...\"\nto = \"caller\"\n\
         [component.caller]\nsource = \"messaging-http\"\ngrant = {{ messaging = [{grants}] }}\n"
    )
}

/// A component that takes messages of a topic. `more` are further keys of the trigger.
fn listener(name: &str, topic: &str, more: &str) -> String {
    format!(
        "[component.{name}]\nsource = \"messaging\"\n\
         [[trigger.topic]]\ntopic = \"{topic}\"\nto = \"{name}\"\n{more}\n"
    )
}
