//! A Redis driver inside a guest, with and without async Rust, against the real server.

use crate::{finish, sampan_run};
use sampan_testing::{PATIENCE, Running, edited_crate_examples, free_port, skip, temp_dir};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

/// A server on a port of its own, with an empty memory and no files.
struct Redis {
    port: u16,
    process: Running,
    _folder: tempfile::TempDir,
}

impl Redis {
    #[track_caller]
    fn start(port: u16) -> Option<Redis> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            return skip("redis-server is not installed");
        }
        let folder = temp_dir();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        let mut process = Running::start(command.arg(folder.path()));
        process.wait_for_line("Ready to accept connections");
        Some(Redis { port, process, _folder: folder })
    }

    /// Sends one command as a line and returns the first line of the answer.
    fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{line}\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// The flags that let a guest reach it.
    fn grants(&self, database: u32) -> [String; 2] {
        let url = format!("redis://127.0.0.1:{}/{database}", self.port);
        [format!("--env=REDIS_URL={url}"), format!("--allow-tcp=127.0.0.1:{}", self.port)]
    }
}

/// The driver's examples. They name Redis's usual port, where another server may be: changed to what its
/// example `geospatial` reads.
#[track_caller]
fn examples() -> Option<PathBuf> {
    let features = ["--features", "tokio-comp,connection-manager", "--config", "profile.release.opt-level=0"];
    let edits = [
        (r#"Client::open("redis://127.0.0.1/")"#, r#"Client::open(std::env::var("REDIS_URL").unwrap())"#),
        (r#""redis://127.0.0.1:6379/""#, r#"std::env::var("REDIS_URL").unwrap().leak()"#),
    ];
    edited_crate_examples("redis_wasi", "0.22.3", "wasm32-wasip1", &features, &edits)
}

#[test]
fn a_redis_driver_stores_and_finds() {
    let Some(examples) = examples() else { return };
    let Some(redis) = Redis::start(free_port()) else { return };
    let run = |name: &str, database: u32| {
        let mut command = sampan_run(redis.grants(database));
        let finished = finish(command.arg(examples.join(name).with_extension("wasm")), "");
        assert_eq!((finished.code, &*finished.stderr), (0, ""), "{name}: {finished:?}");
        finished.stdout
    };
    let basic = run("basic", 0);
    assert!(basic.contains("The sum of all numbers in the set 0-1000: 499500\n"), "{basic}");
    assert!(basic.contains("Run high-level atomic increment:\nNew value: 43\n"), "{basic}");
    assert_eq!(redis.ask("GET the_key"), "$2");
    assert_eq!(redis.ask("SCARD my_set"), ":1000");

    let found = run("geospatial", 0);
    assert!(found.starts_with("[geo_add] Added 3 members.\n"), "{found}");
    assert!(found.contains("[geo_radius] Agrigento, dist = "), "{found}");

    // With Tokio inside the guest. These examples check what they get themselves.
    run("async-await", 0);
    assert_eq!(redis.ask("EXISTS key1 key2"), ":2");
    run("async-multiplexed", 0);
    assert_eq!(redis.ask("EXISTS key0 key99 key99_2"), ":3");
    run("async-pub-sub", 0);
    redis.ask("SELECT 1\r\nMSET async-key1 a async-key2 b");
    run("async-scan", 1);
}

#[test]
fn a_redis_driver_reaches_nothing_without_grant() {
    let Some(examples) = examples() else { return };
    let Some(redis) = Redis::start(free_port()) else { return };
    let url = &redis.grants(0)[0];
    let refused = finish(sampan_run([url, "--explain"]).arg(examples.join("basic.wasm")), "");
    assert!(refused.stdout.starts_with("Could not execute example:\n"), "{refused:?}");
    assert!(refused.stderr.contains("--allow-tcp"), "{refused:?}");
    assert_eq!(redis.ask("DBSIZE"), ":0");
}

#[test]
fn a_redis_driver_connects_again_after_the_server_was_gone() {
    let Some(examples) = examples() else { return };
    let Some(redis) = Redis::start(free_port()) else { return };
    let mut command = sampan_run(redis.grants(0));
    let mut guest = Running::start(command.arg(examples.join("async-connection-loss.wasm")).arg("reconnect"));
    guest.wait_for_line("< Ok(\"PONG\")");
    let port = redis.port;
    drop(redis.process);
    guest.wait_for_line("< Err(");
    let Some(_redis) = Redis::start(port) else { return };
    guest.wait_for_line("< Ok(\"PONG\")");
}
