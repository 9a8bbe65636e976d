//! PyPI's `dapr`, over gRPC, and over HTTP where it invokes. Its package carries no examples: the scripts are ours.

use crate::site::{APP, Up};
use crate::{Site, component};
use sampan_testing::servers::Redis;
use sampan_testing::{HttpServer, Response, finish, free_port, pip_packages, root, temp_dir};
use std::path::PathBuf;
use std::process::Command;

pub fn packages() -> Option<PathBuf> {
    pip_packages("dapr", "1.19.0", &["dapr[grpc]==1.19.0"])
}

/// Runs one of our scripts, which end with `done`.
#[track_caller]
pub fn run(up: &Up, packages: &PathBuf, script: &str, arguments: &[&str]) {
    let mut python = Command::new("python3");
    python.arg(root().join("crates/cli/tests/dapr/clients").join(script)).args(arguments);
    up.tell(python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1"));
    let end = finish(&mut python, "");
    assert_eq!((end.code, end.stdout.trim()), (0, "done"), "{script}: {}", end.stderr);
}

#[test]
fn state() {
    let Some(packages) = packages() else { return };
    let folder = temp_dir();
    let database = format!("connectionString={}", folder.path().join("state.db").display());
    let mut stores =
        vec![component("memory", "state.in-memory", &[]), component("sqlite", "state.sqlite", &[&database])];
    let redis = Redis::start();
    if let Some(redis) = &redis {
        let host = format!("redisHost=127.0.0.1:{}", redis.port);
        stores.push(component("redis", "state.redis", &[&host]));
    }
    let up = Site::new(&stores).up();
    run(&up, &packages, "state.py", &["memory"]);
    run(&up, &packages, "state.py", &["sqlite", "query"]);
    if redis.is_some() {
        run(&up, &packages, "state.py", &["redis"]);
    }
}

#[test]
fn streaming_subscriptions() {
    let Some(packages) = packages() else { return };
    let mut brokers = vec![component("memory", "pubsub.in-memory", &[])];
    let redis = Redis::start();
    if let Some(redis) = &redis {
        brokers.push(component("redis", "pubsub.redis", &[&format!("redisHost=127.0.0.1:{}", redis.port)]));
    }
    let up = Site::new(&brokers).up();
    run(&up, &packages, "streaming.py", &["memory"]);
    if redis.is_some() {
        run(&up, &packages, "streaming.py", &["redis"]);
    }
}

#[test]
fn the_other_building_blocks() {
    let (Some(packages), Some(redis)) = (packages(), Redis::start()) else { return };
    let port = redis.port.to_string();
    let mut set = Command::new("redis-cli");
    assert_eq!(finish(set.args(["-p", &port, "SET", "color", "blue||3"]), "").stdout.trim(), "OK");
    let echo = |request: &sampan_testing::Request| {
        Response::new(200, format!("{} {} {}", request.method, request.target, request.body.len()))
    };
    let target = HttpServer::start(echo);
    let app = HttpServer::start(move |request| match &*request.target {
        "/dapr/subscribe" | "/dapr/config" => Response::new(404, ""),
        _ => echo(request),
    });
    let folder = temp_dir();
    let file = folder.path().join("secrets.json");
    std::fs::write(&file, r#"{"password":"s3cret"}"#).unwrap();
    let host = format!("redisHost=127.0.0.1:{port}");
    let up = Site::new(&[
        component("secrets", "secretstores.local.file", &[&format!("secretsFile={}", file.display())]),
        component("config", "configuration.redis", &[&host]),
        component("locks", "lock.redis", &[&host]),
        component("http", "bindings.http", &[&format!("url=http://{}", target.address)]),
    ])
    .dapr(&format!("app_port = {}", app.address.port()))
    .up();
    assert_eq!(APP, "shop", "the script names it");
    run(&up, &packages, "blocks.py", &[&port]);
}

/// `dapr.ext.grpc`: the app speaks gRPC.
#[test]
fn the_app_behind() {
    let Some(packages) = packages() else { return };
    let port = free_port();
    let up = Site::new(&[
        component("pubsub", "pubsub.in-memory", &[]),
        component("tick", "bindings.cron", &["schedule=@every 1s"]),
    ])
    .dapr(&format!("app_port = {port}\napp_protocol = \"grpc\""))
    .up();
    run(&up, &packages, "grpc_app.py", &[&port.to_string()]);
}
