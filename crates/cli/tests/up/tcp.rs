//! TCP routes in a running process.

use crate::{App, Up};
use sampan_testing::{Running, TcpServer, free_port, sampan, servers::Redis, skip};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

/// The address that a line about a TCP listener names.
fn carried(process: &mut Running) -> String {
    process.wait_for_line("listening on tcp://").trim_start_matches("listening on tcp://").to_owned()
}

fn up(app: &App) -> Running {
    Running::start(sampan().arg("up").arg("-f").arg(app.path().join("sampan.toml")))
}

/// What comes back of a text; nothing from a connection that is one too many, which may be reset at any of these steps.
fn say(address: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(sampan_testing::PATIENCE)).unwrap();
    let mut answer = String::new();
    let said = stream.write_all(text.as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
    let _ = said.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

#[test]
fn redis_behind_a_route() {
    let Some(redis) = Redis::start() else { return };
    if Command::new("redis-cli").arg("--version").output().is_err() {
        let _: Option<()> = skip("redis-cli is not installed (Debian: apt-get install redis-tools)");
        return;
    }
    let app = App::new(&format!(
        "[upstream.redis]\nservers = [\"127.0.0.1:{}\"]\n[[tcp]]\nlisten = \"127.0.0.1:0\"\nto = \"upstream:redis\"\n",
        redis.port
    ));
    // An app without routes for HTTP has no listener for it.
    let mut process = up(&app);
    let address = carried(&mut process);
    assert_eq!(process.wait_for_line("upstream"), "  → upstream redis");
    let (host, port) = address.split_once(':').unwrap();
    let cli = |words: &[&str]| {
        let output = Command::new("redis-cli").args(["-h", host, "-p", port]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(cli(&["set", "boat", "sampan"]), "OK\n");
    assert_eq!(cli(&["get", "boat"]), "sampan\n");
    let large = "x".repeat(100_000);
    assert_eq!(cli(&["set", "large", &large]), "OK\n");
    assert_eq!(cli(&["get", "large"]).trim_end(), large);
}

fn manifest(tcp: &[(u16, u32)], server: &TcpServer) -> String {
    let mut text = format!(
        "[upstream.echo]\nservers = [\"{}\"]\n[[route]]\npath = \"/...\"\nto = \"redirect:/x\"\n",
        server.address
    );
    for (port, connections) in tcp {
        text += &format!(
            "[[tcp]]\nlisten = \"127.0.0.1:{port}\"\nto = \"upstream:echo\"\nconnections = {connections}\n"
        );
    }
    text
}

fn reload(up: &mut Up) {
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
}

#[test]
fn listeners_come_and_go_with_a_reload_and_connections_stay() {
    let server = TcpServer::echo();
    let (first, second) = (free_port(), free_port());
    let app = App::new(&manifest(&[(first, 1)], &server));
    let mut up = app.up();
    let at = |port| format!("127.0.0.1:{port}");
    // One is open, and one is allowed.
    let mut open = TcpStream::connect(at(first)).unwrap();
    let mut echo = [0; 2];
    open.write_all(b"a1").unwrap();
    open.read_exact(&mut echo).unwrap();
    assert_eq!(say(&at(first), "too many"), "");
    // The route's limit changes under the open connection, and another route appears.
    app.write("sampan.toml", manifest(&[(first, 2), (second, 1)], &server));
    reload(&mut up);
    assert_eq!((say(&at(first), "two"), say(&at(second), "three")), ("two".into(), "three".into()));
    open.write_all(b"a2").unwrap();
    open.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"a2");
    // The first one goes: nobody new gets in, and who is there stays for the time of a drain.
    app.write("sampan.toml", manifest(&[(second, 1)], &server));
    reload(&mut up);
    open.write_all(b"a3").unwrap();
    open.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"a3");
    drop(open);
    up.process.wait_for_error(&format!("closed {}", at(first)));
    assert!(TcpStream::connect(at(first)).is_err());
    assert_eq!(say(&at(second), "four"), "four");
}

#[test]
fn the_end_waits_for_connections() {
    let server = TcpServer::echo();
    let port = free_port();
    let up = App::new(&manifest(&[(port, 5)], &server)).up();
    let address = format!("127.0.0.1:{port}");
    let mut open = TcpStream::connect(&address).unwrap();
    let mut echo = [0; 2];
    open.write_all(b"b1").unwrap();
    open.read_exact(&mut echo).unwrap();
    up.signal("TERM");
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    open.write_all(b"b2").unwrap();
    open.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"b2");
    open.shutdown(Shutdown::Write).unwrap();
    let end = up.process.finish();
    assert_eq!((end.code, end.stderr.contains("cut")), (0, false), "{}", end.stderr);
}

#[test]
fn an_address_that_is_taken_is_said_at_start() {
    let taken = TcpServer::echo();
    let app = App::new(&manifest(&[(taken.address.port(), 1)], &taken));
    let end = up(&app).finish();
    assert_eq!(end.code, 1);
    assert!(
        end.stderr.contains(&format!("cannot listen on {}: the port is in use", taken.address)),
        "{}",
        end.stderr
    );
}
