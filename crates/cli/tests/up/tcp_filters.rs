//! TCP routes with filters, before real servers.

use crate::App;
use sampan_testing::servers::Redis;
use sampan_testing::{PATIENCE, Running, TcpServer, guest, sampan};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// An app with one TCP route.
fn app(server: SocketAddr, filters: &str) -> App {
    App::new(&format!(
        r#"
[app]
name = "carry"
[upstream.server]
servers = ["{server}"]
[filter.sniff]
source = "{}"
config = "upper"
[[tcp]]
listen = "127.0.0.1:0"
to = "upstream:server"
filters = {filters}
"#,
        guest("proxy-tcp").display()
    ))
}

/// It listens for nothing but the route.
fn up(app: &App) -> Running {
    Running::start(sampan().arg("up").arg("-f").arg(app.path().join("sampan.toml")))
}

fn client(process: &mut Running) -> TcpStream {
    let line = process.wait_for_line("tcp://127.0.0.1:");
    let address = line.split("tcp://").nth(1).unwrap().split_whitespace().next().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn expect(stream: &mut TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), text);
}

#[test]
fn redis_gets_what_the_filter_makes_of_it() {
    let Some(redis) = Redis::start() else { return };
    let app = app(([127, 0, 0, 1], redis.port).into(), r#"["sniff"]"#);
    let mut up = up(&app);
    let mut stream = client(&mut up);
    stream.write_all(b"set a thing\r\n").unwrap();
    expect(&mut stream, "+OK\r\n");
    // Nobody before the filter has said so.
    stream.write_all(b"get A\r\n").unwrap();
    expect(&mut stream, "$5\r\nTHING\r\n");
    stream.write_all(b"quit\r\n").unwrap();
    expect(&mut stream, "+OK\r\n");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    up.wait_for_error("upstream closed by remote");
}

#[test]
fn a_route_configures_its_filters_and_they_see_each_others_work() {
    let server = TcpServer::echo();
    let app = app(server.address, r#"[{ use = "sniff", config = "lines" }, "sniff"]"#);
    let mut up = up(&app);
    let mut stream = client(&mut up);
    stream.write_all(b"one ").unwrap();
    stream.write_all(b"two\n").unwrap();
    expect(&mut stream, "ONE TWO\n");
    stream.write_all(b"rest").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "REST");
}

#[test]
fn a_filter_refuses_connections() {
    let server = TcpServer::echo();
    let app = app(server.address, r#"[{ use = "sniff", config = "refuse" }]"#);
    let mut up = up(&app);
    let mut stream = client(&mut up);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
