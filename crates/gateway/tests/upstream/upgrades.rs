//! Connections that become another protocol's, as WebSocket's do (RFC 6455).

use crate::{Proxy, connect, head, parts, rest, spec, until};
use sampan_testing::TcpServer;
use std::io::{Read, Write};
use std::time::Duration;

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, says something at once, and then sends back what comes.
fn websocket() -> TcpServer {
    TcpServer::start(|mut stream| {
        let head = head(&mut stream);
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        stream.write_all(&[SWITCH, b"hello"].concat())?;
        std::io::copy(&mut &stream, &mut &stream).map(drop)
    })
}

#[test]
fn bytes_go_both_ways_and_an_end_is_passed_on() {
    let server = websocket();
    let proxy = Proxy::start(spec(&[server.address]));
    let mut stream = connect(proxy.address);
    stream.write_all(ASK.as_bytes()).unwrap();
    let answer = head(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("sec-websocket-accept"), "{answer}");
    assert!(answer.contains("upgrade: websocket") && answer.contains("connection: upgrade"), "{answer}");
    let mut first = [0; 5];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"hello");
    let payload = vec![7_u8; 4 << 20];
    let sent = payload.clone();
    let mut writing = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert!(back == payload, "{} bytes came back", back.len());
    until("the connection's end", || proxy.metric("connections", "") == 0);
}

#[test]
fn a_client_that_leaves_ends_the_servers_side() {
    let server = websocket();
    let proxy = Proxy::start(spec(&[server.address]));
    let mut stream = connect(proxy.address);
    stream.write_all(ASK.as_bytes()).unwrap();
    head(&mut stream);
    assert_eq!(proxy.metric("connections", ""), 1);
    drop(stream);
    until("the connection's end", || proxy.metric("connections", "") == 0);
}

#[test]
fn a_silent_tunnel_is_closed() {
    let server = websocket();
    let mut spec = spec(&[server.address]);
    spec.timeouts.tunnel = Duration::from_millis(50);
    let proxy = Proxy::start(spec);
    let mut stream = connect(proxy.address);
    stream.write_all(ASK.as_bytes()).unwrap();
    assert!(rest(&mut stream).ends_with("hello"));
}

#[test]
fn a_server_may_decline() {
    let server = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
    });
    let proxy = Proxy::start(spec(&[server.address]));
    let mut stream = connect(proxy.address);
    stream.write_all(ASK.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(parts(&rest(&mut stream)), ("426", "no"));
}

#[test]
fn http2_in_the_clear_is_not_handed_on() {
    let server = TcpServer::start(|mut stream| {
        let head = head(&mut stream);
        assert!(!head.contains("upgrade") && !head.contains("h2c"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    });
    let proxy = Proxy::start(spec(&[server.address]));
    let answer = proxy.ask(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade, http2-settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(parts(&answer), ("200", "ok"));
}
