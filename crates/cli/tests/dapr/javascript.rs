//! npm's `@dapr/dapr`, over HTTP and gRPC, as a client and as the app. Its package carries no examples: the scripts
//! are ours.

use crate::site::Up;
use crate::{Site, component};
use sampan_testing::servers::Redis;
use sampan_testing::{finish, free_port, npm_install, root, temp_dir};
use std::process::Command;

/// Runs one of our scripts, which end with `done`.
#[track_caller]
fn run(up: &Up, project: &std::path::Path, script: &str, arguments: &[String]) {
    // Node finds packages beside the script's own folder.
    let folder = temp_dir();
    let copy = folder.path().join(script);
    std::fs::copy(root().join("crates/cli/tests/dapr/clients").join(script), &copy).unwrap();
    std::os::unix::fs::symlink(project.join("node_modules"), folder.path().join("node_modules")).unwrap();
    let mut node = Command::new("node");
    up.tell(node.arg(&copy).args(arguments));
    let end = finish(&mut node, "");
    let said = format!("{script} {arguments:?}: {}{}", end.stdout, end.stderr);
    assert!(end.code == 0 && end.stdout.trim_end().ends_with("done"), "{said}");
}

#[test]
fn both_protocols() {
    let Some(project) = npm_install("@dapr/dapr", "3.18.0") else { return };
    let folder = temp_dir();
    let place = folder.path().display().to_string();
    std::fs::write(folder.path().join("secrets.json"), r#"{"password":"s3cret"}"#).unwrap();
    let mut components = vec![
        component("memory", "state.in-memory", &[]),
        component("sqlite", "state.sqlite", &[&format!("connectionString={place}/state.db")]),
        component("pubsub", "pubsub.in-memory", &[]),
        component("locks", "lock.in-memory", &[]),
        component("secrets", "secretstores.local.file", &[&format!("secretsFile={place}/secrets.json")]),
        component("files", "bindings.localstorage", &[&format!("rootPath={place}/files")]),
    ];
    let redis = Redis::start();
    if let Some(redis) = &redis {
        let host = format!("redisHost=127.0.0.1:{}", redis.port);
        components.push(component("redis", "state.redis", &[&host]));
        components.push(component("config", "configuration.redis", &[&host]));
    }
    let up = Site::new(&components).up();
    for (protocol, port) in [("http", up.http), ("grpc", up.grpc)] {
        let mut arguments = vec![protocol.to_owned(), port.to_string()];
        arguments.extend(redis.as_ref().map(|redis| redis.port.to_string()));
        run(&up, &project, "client.mjs", &arguments);
    }
}

#[test]
fn the_app_behind() {
    let Some(project) = npm_install("@dapr/dapr", "3.18.0") else { return };
    let port = free_port();
    let up = Site::new(&[
        component("pubsub", "pubsub.in-memory", &[]),
        component("tick", "bindings.cron", &["schedule=@every 1s"]),
    ])
    .dapr(&format!("app_port = {port}"))
    .up();
    run(&up, &project, "server.mjs", &[port.to_string(), up.http.to_string()]);
}
