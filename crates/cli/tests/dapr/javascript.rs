//! npm's `@dapr/dapr`, over HTTP and gRPC. Its package carries no examples: the script is ours.

use crate::{Site, component};
use sampan_testing::{finish, npm_install, root, temp_dir};
use std::process::Command;

#[test]
fn both_protocols() {
    let Some(project) = npm_install("@dapr/dapr", "3.18.0") else { return };
    let folder = temp_dir();
    let database = format!("connectionString={}", folder.path().join("state.db").display());
    let up = Site::new(&[
        component("memory", "state.in-memory", &[]),
        component("sqlite", "state.sqlite", &[&database]),
        component("pubsub", "pubsub.in-memory", &[]),
        component("locks", "lock.in-memory", &[]),
    ])
    .up();
    // Node finds packages beside the script's own folder.
    let script = folder.path().join("client.mjs");
    std::fs::copy(root().join("crates/cli/tests/dapr/clients/client.mjs"), &script).unwrap();
    std::os::unix::fs::symlink(project.join("node_modules"), folder.path().join("node_modules")).unwrap();
    for (protocol, port) in [("http", up.http), ("grpc", up.grpc)] {
        let mut node = Command::new("node");
        node.arg(&script).arg(protocol).arg(port.to_string());
        up.tell(&mut node);
        let end = finish(&mut node, "");
        assert_eq!(end.code, 0, "{protocol}: {}{}", end.stdout, end.stderr);
        assert!(end.stdout.trim_end().ends_with("done"), "{protocol}: {}", end.stdout);
    }
}
