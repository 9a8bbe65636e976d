//! The crate `dapr`, over gRPC. Its examples are not in the package: the program is ours.

use crate::publishing::Beside;
use crate::{Site, component};
use sampan_testing::{Response, crate_user, finish, temp_dir};
use std::process::Command;

#[test]
fn the_building_blocks() {
    let source = include_str!("clients/client.rs");
    // Without the engine of workflows, which is half of what the crate needs.
    let dependencies = [
        "dapr = { version = \"=0.20.0\", default-features = false }",
        "tokio = { version = \"1\", features = [\"macros\", \"rt\"] }",
    ];
    let Some(client) = crate_user("dapr-client", source, &dependencies) else { return };
    let folder = temp_dir();
    let place = folder.path().display().to_string();
    std::fs::write(folder.path().join("secrets.json"), r#"{"password":"s3cret"}"#).unwrap();
    std::fs::write(folder.path().join("configuration.json"), r#"{"color":"blue"}"#).unwrap();
    let app = Beside::start(r#"[{"pubsubname":"pubsub","topic":"topic","route":"/topic"}]"#, |request| {
        Response::new(200, format!("{} {}", request.method, request.target))
    });
    let up = Site::new(&[
        component("statestore", "state.in-memory", &[]),
        component("pubsub", "pubsub.in-memory", &[]),
        component("secrets", "secretstores.local.file", &[&format!("secretsFile={place}/secrets.json")]),
        component("config", "configuration.file", &[&format!("path={place}/configuration.json")]),
        component("files", "bindings.localstorage", &[&format!("rootPath={place}/files")]),
    ])
    .dapr(&app.port())
    .up();
    up.subscribed(&["topic"]);
    let mut command = Command::new(client);
    up.tell(&mut command);
    let end = finish(&mut command, "");
    assert_eq!((end.code, end.stdout.trim()), (0, "done"), "{}", end.stderr);
    let event = app.next();
    assert_eq!(event.target, "/topic");
    assert!(String::from_utf8_lossy(&event.body).contains(r#""data":"an event""#), "{event:?}");
}
