//! Events by Dapr's API: an ordinary program beside `sampan up` subscribes, and what is published comes to it.

mod bindings;
mod delivery;
mod durability;
mod failures;
mod slow;

use sampan_testing::{
    HttpServer, PATIENCE, Request, Response, Running, free_port, http_send, sampan, temp_dir,
};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

/// The app: what it subscribes to, how it answers, and what it was sent.
struct App {
    server: HttpServer,
    events: Receiver<Request>,
}

impl App {
    /// `subscriptions` is the answer to `GET /dapr/subscribe`.
    fn start(subscriptions: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> App {
        let (sender, events) = channel();
        let (sender, subscriptions) = (Mutex::new(sender), subscriptions.to_owned());
        let server = HttpServer::start(move |request| match request.target.as_str() {
            "/dapr/subscribe" => Response::new(200, subscriptions.as_str()),
            _ if request.method == "OPTIONS" => Response::new(200, ""),
            _ => {
                let response = answer(request);
                // The test may have seen enough.
                let _ = sender.lock().expect("the sender").send(request.clone());
                response
            }
        });
        App { server, events }
    }

    fn next(&self) -> Request {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next event's path and its CloudEvent.
    fn next_event(&self) -> (String, serde_json::Value) {
        let request = self.next();
        let event = serde_json::from_slice(&request.body).expect("a CloudEvent");
        (request.target, event)
    }
}

/// `sampan up` with component files, beside an app.
struct Sampan {
    folder: TempDir,
    port: u16,
    process: Option<Running>,
}

impl Sampan {
    fn new(components: &[(&str, &str)], app_port: u16) -> Sampan {
        let sampan = Sampan { folder: temp_dir(), port: free_port(), process: None };
        std::fs::create_dir(sampan.folder.path().join("components")).expect("a folder");
        for (name, text) in components {
            sampan.write(&format!("components/{name}.yaml"), text);
        }
        let manifest = format!(
            "[app]\nname = \"orders\"\n\n[dapr]\ncomponents = \"components\"\nhttp = \"127.0.0.1:{}\"\n\
             app_port = {app_port}\n",
            sampan.port
        );
        sampan.write("sampan.toml", &manifest);
        sampan
    }

    /// Adds tables to the manifest.
    fn declare(&self, tables: &str) {
        let path = self.folder.path().join("sampan.toml");
        let manifest = std::fs::read_to_string(&path).expect("the manifest");
        std::fs::write(path, manifest + tables).expect("the manifest");
    }

    fn start(components: &[(&str, &str)], app_port: u16) -> Sampan {
        let mut sampan = Sampan::new(components, app_port);
        sampan.up();
        sampan
    }

    /// The same, and waits until so many subscriptions are there: what was published before is lost in memory.
    fn subscribed(components: &[(&str, &str)], app: &App, subscriptions: usize) -> Sampan {
        let sampan = Sampan::start(components, app.server.address.port());
        sampan.wait_for_subscriptions(subscriptions);
        sampan
    }

    fn wait_for_subscriptions(&self, subscriptions: usize) {
        let began = std::time::Instant::now();
        loop {
            let metadata = http_send(("127.0.0.1", self.port), "GET", "/v1.0/metadata", &[], b"");
            let metadata: serde_json::Value =
                serde_json::from_slice(&metadata.expect("metadata").body).expect("JSON");
            if metadata["subscriptions"].as_array().is_some_and(|all| all.len() == subscriptions) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{metadata}");
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    fn up(&mut self) {
        let mut command = sampan();
        let mut process = Running::start(command.arg("up").current_dir(self.folder.path()));
        process.wait_for_line("dapr on");
        self.process = Some(process);
    }

    /// As `kill -9` does.
    fn kill(&mut self) {
        self.process = None;
    }

    fn publish(&self, topic: &str, content_type: &str, body: &[u8]) -> Response {
        self.publish_to(&format!("/v1.0/publish/pubsub/{topic}"), content_type, body)
    }

    fn publish_to(&self, path: &str, content_type: &str, body: &[u8]) -> Response {
        let headers = [("content-type", content_type)];
        http_send(("127.0.0.1", self.port), "POST", path, &headers, body).expect("an answer")
    }
}

const MEMORY: (&str, &str) = (
    "pubsub",
    "\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: pubsub
spec:
  type: pubsub.in-memory
  version: v1
",
);
