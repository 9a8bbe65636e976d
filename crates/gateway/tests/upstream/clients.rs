//! Clients that leave, pipeline or trickle.

use crate::{Proxy, connect, head, rest, spec, until};
use sampan_testing::TcpServer;
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

#[test]
fn a_client_that_leaves_cancels_its_request() {
    for begin in ["GET /wait HTTP/1.1\r\nhost: a\r\n\r\n", "GET /stream HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let (sender, gone) = channel();
        let server = TcpServer::start(move |mut stream| {
            if head(&mut stream).contains("/stream") {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")?;
            }
            sender.send("asked").unwrap();
            let mut rest = Vec::new();
            // An end or a reset: both mean that nobody wants the answer any more.
            let _ = stream.read_to_end(&mut rest);
            sender.send("gone").unwrap();
            Ok(())
        });
        let proxy = Proxy::start(spec(&[server.address]));
        let mut stream = connect(proxy.address);
        stream.write_all(begin.as_bytes()).unwrap();
        assert_eq!(gone.recv_timeout(sampan_testing::PATIENCE), Ok("asked"));
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert_eq!(gone.recv_timeout(sampan_testing::PATIENCE), Ok("gone"), "{begin}");
        until("the connection's end", || proxy.metric("connections", "") == 0);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TcpServer::start(|mut stream| {
        loop {
            let head = head(&mut stream);
            let Some(path) = head.split(' ').nth(1) else { return Ok(()) };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            stream.write_all(answer.as_bytes())?;
        }
    });
    let proxy = Proxy::start(spec(&[server.address]));
    let mut stream = connect(proxy.address);
    let mut all: String =
        (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    all += "GET /end HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(all.as_bytes()).unwrap();
    let answers = rest(&mut stream);
    let bodies: Vec<_> = answers.lines().filter_map(|line| line.strip_prefix('/')).collect();
    // The next status line follows a body at once.
    let bodies: Vec<_> = bodies.iter().map(|body| body.trim_end_matches("HTTP/1.1 200 OK")).collect();
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn a_body_that_trickles_is_handed_on_as_it_comes() {
    let server = TcpServer::start(|mut stream| {
        head(&mut stream);
        let mut body = [0; 6];
        stream.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")?;
        stream.write_all(&body)
    });
    // The server waits for the client, and that is not the server's silence.
    let mut spec = spec(&[server.address]);
    spec.timeouts.first_byte = Duration::from_millis(200);
    let proxy = Proxy::start(spec);
    let mut stream = connect(proxy.address);
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\n")
        .unwrap();
    for byte in b"slowly" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(80));
    }
    assert!(rest(&mut stream).ends_with("slowly"));
}

#[test]
fn a_body_that_breaks_off_is_not_the_servers_fault() {
    let server = TcpServer::start(|mut stream| {
        head(&mut stream);
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let proxy = Proxy::start(spec(&[server.address]));
    let mut stream = connect(proxy.address);
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .unwrap();
    until("the request", || proxy.metric("connections", "") == 1);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    drop(rest(&mut stream));
    until("the connection's end", || proxy.metric("connections", "") == 0);
    assert_eq!(proxy.metric("failures_total", ",reason=\"reset\""), 0);
    assert_eq!(proxy.upstream.available(), [server.address]);
}
