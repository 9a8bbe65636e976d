//! Guests that use Dapr's API in process, and components that Dapr calls.

mod assemblyscript;
mod events;
mod example;
mod grants;
mod library;
mod ways;

use sampan_testing::{Finished, Response, Running, guest_for, http_send, sampan, temp_dir};
use std::path::Path;
use tempfile::TempDir;

/// Two stores, a broker and a file of secrets, all without a server.
const COMPONENTS: &str = r#"
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: statestore }
spec: { type: state.in-memory, version: v1 }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: hidden }
spec: { type: state.in-memory, version: v1 }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: pubsub }
spec: { type: pubsub.in-memory, version: v1 }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: secrets }
spec:
  type: secretstores.local.file
  version: v1
  metadata: [{ name: secretsFile, value: FOLDER/secrets.json }]
"#;

/// A running app with Dapr's components, whose routes lead to the component `app`.
struct App {
    folder: TempDir,
    process: Running,
    address: String,
}

impl App {
    /// `manifest` is what follows `[dapr]`; `GUEST` in it is the guest that is an app of Dapr's.
    fn up(manifest: &str) -> App {
        let folder = temp_dir();
        let place = folder.path().display().to_string();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("components")).unwrap();
        write("components/all.yaml", &COMPONENTS.replace("FOLDER", &place));
        write("secrets.json", r#"{"password":"ahoy"}"#);
        let guest = guest_for("wasm32-wasip2", "dapr-app").display().to_string();
        let head = "[app]\nname = \"shop\"\n[[route]]\npath = \"/...\"\nto = \"app\"\n\
                    [dapr]\ncomponents = \"components\"\n";
        write("sampan.toml", &format!("{head}{}", manifest.replace("GUEST", &guest)));
        let (process, address) = start(folder.path());
        App { folder, process, address }
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

    /// Lets the component `app` send a request.
    #[track_caller]
    fn ask(&self, method: &str, url: &str, body: &str) -> Response {
        let headers = [("x-method", method), ("x-url", url), ("content-type", "application/json")];
        self.send("POST", "/ask", &headers, body.as_bytes())
    }
}

fn start(folder: &Path) -> (Running, String) {
    let mut command = sampan();
    command.args(["up", "--listen", "127.0.0.1:0", "--admin", "off"]).current_dir(folder);
    // Whoever runs the tests may use Dapr.
    command.env_remove("DAPR_API_TOKEN");
    let mut process = Running::start(&mut command);
    let line = process.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    (process, address)
}

/// `sampan run` with these arguments, and with a home of its own: components may lie in the tester's.
fn run(args: &[&str], home: &Path) -> Finished {
    let mut command = sampan();
    command.arg("run").args(args).env("HOME", home).env_remove("DAPR_API_TOKEN");
    sampan_testing::finish(&mut command, "")
}
