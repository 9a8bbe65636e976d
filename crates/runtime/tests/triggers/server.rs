//! Guests that listen for themselves: asked, upgraded, ended, started again.

use crate::site::{Site, component, limited};
use sampan_app::{Component, ComponentKind, Limits};
use sampan_testing::{PATIENCE, Response, guest, guest_for, http_send, temp_dir};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn server(port: u16) -> Component {
    component("root", &guest("server"), ComponentKind::Server { port })
}

#[track_caller]
fn is(response: &Response, status: u16, text: &str) {
    assert_eq!((response.status, &*response.text()), (status, text));
}

#[test]
fn a_guest_is_started_by_the_first_request_and_kept() {
    let site = Site::start(vec![server(8080)]);
    is(&site.get("/"), 200, "request 1\n");
    is(&site.get("/"), 200, "request 2\n");
    let body: Vec<u8> = (0..2_000_000u32).map(|n| n as u8).collect();
    assert!(http_send(site.address, "POST", "/echo", &[], &body).unwrap().body == body);
    let head =
        http_send(site.address, "GET", "/head", &[("Host", "example.com"), ("X-One", "1")], b"").unwrap();
    let head = head.text().to_ascii_lowercase();
    for line in ["get /head http/1.1", "host: example.com", "x-one: 1", "x-forwarded-for: 127.0.0.1"] {
        assert!(head.lines().any(|one| one == line), "{line} is not in {head}");
    }
    assert_eq!(site.get("/nowhere").status, 404);
}

#[test]
fn a_component_on_wasi_sockets() {
    let program = guest_for("wasm32-wasip2", "server");
    let site = Site::start(vec![component("root", &program, ComponentKind::Server { port: 8080 })]);
    is(&site.get("/"), 200, "request 1\n");
    is(&http_send(site.address, "POST", "/echo", &[], b"abc").unwrap(), 200, "abc");
}

#[test]
fn a_guest_that_keeps_connections_open() {
    let folder = temp_dir();
    std::fs::write(folder.path().join("a.txt"), "text").unwrap();
    let web = component("root", &guest("web-server"), ComponentKind::Server { port: 80 });
    let site = Site::start(vec![crate::site::mounted(web, folder.path(), "/site")]);
    for _ in 0..20 {
        is(&site.get("/a.txt"), 200, "text");
    }
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let address = site.address;
            std::thread::spawn(move || {
                (0..25).all(|_| sampan_testing::http_get(address, "/a.txt").unwrap().status == 200)
            })
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
}

#[test]
fn trailers_pass() {
    let site = Site::start(vec![server(8080)]);
    let mut stream = TcpStream::connect(site.address).unwrap();
    let head = "GET /trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("abc") && text.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{text}");
}

#[test]
fn a_guest_that_dies_is_started_again() {
    let site = Site::start(vec![server(8080)]);
    is(&site.get("/"), 200, "request 1\n");
    is(&site.get("/"), 200, "request 2\n");
    // In flight when it dies: before the answer, and in the middle of it.
    assert_eq!(site.get("/die").status, 502);
    site.log.wait_for("it exited with code 7; it is started again");
    is(&site.get("/"), 200, "request 1\n");
    assert!(sampan_testing::http_get(site.address, "/half").is_err());
    site.log.wait_for("it exited with code 8");
    is(&site.get("/"), 200, "request 1\n");
}

#[test]
fn answers_that_are_none() {
    let site = Site::start(vec![server(8080)]);
    for path in ["/garbage", "/close"] {
        assert_eq!(site.get(path).status, 502, "{path}");
    }
    site.log.wait_for("a request got no answer");
    assert_eq!(site.get("/").status, 200);
}

#[test]
fn a_guest_that_cannot_run_is_503_with_a_time() {
    let mut failing = server(8080);
    failing.grants.env = vec![("FAIL".into(), "1".into())];
    failing.serving.queue_timeout = Duration::from_millis(200);
    let site = Site::start(vec![failing]);
    let response = site.get("/");
    assert_eq!(response.status, 503, "{}", response.text());
    let seconds: u32 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
    // The first time at once, then later and later.
    site.log.wait_for("it exited with code 9; it is started again in 100ms");
    site.log.wait_for("server: told to fail");
}

#[test]
fn a_guest_that_never_listens_is_503() {
    let mut deaf = component("root", &guest("endless"), ComponentKind::Server { port: 8080 });
    deaf.serving.queue_timeout = Duration::from_millis(200);
    let site = Site::start(vec![deaf]);
    assert_eq!(site.get("/").status, 503);
    site.log.wait_for("it has not begun to listen on its port 8080 within 200ms");
}

#[test]
fn a_guest_in_a_loop_does_not_hang_its_clients() {
    let limits = Limits { timeout: Some(Duration::from_millis(300)), ..Limits::default() };
    let site = Site::start(vec![limited(server(8080), limits)]);
    is(&site.get("/"), 200, "request 1\n");
    assert_eq!(site.get("/loop").status, 504);
    // It takes no more connections; the system's queue does.
    assert_eq!(site.get("/").status, 504);
    site.log.wait_for("it did not answer within 300ms");
}

#[test]
fn web_sockets() {
    let site = Site::start(vec![server(8080)]);
    let mut stream = web_socket(&site, "/ws");
    echo(&mut stream, "hello");
    echo(&mut stream, "and again");
}

/// The handshake with the key of RFC 6455 §1.3, and the answer that it gives there.
fn web_socket(site: &Site, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(site.address).unwrap();
    stream
        .write_all(
            format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    stream
}

/// One text message there, and back (RFC 6455 §5.7).
fn echo(stream: &mut TcpStream, text: &str) {
    let mask = [1, 2, 3, 4];
    let masked = text.bytes().enumerate().map(|(index, byte)| byte ^ mask[index % 4]);
    let frame: Vec<u8> = [0x81, 0x80 | text.len() as u8].into_iter().chain(mask).chain(masked).collect();
    stream.write_all(&frame).unwrap();
    let mut answer = vec![0; 2 + text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [&[0x81, text.len() as u8], text.as_bytes()].concat());
}

#[test]
fn a_replaced_guest_ends_when_its_last_client_is_done() {
    // A name of its own, for its own gauge.
    let component = || Component { name: "replaced".to_owned(), ..server(8080) };
    let live = sampan_telemetry::metrics().component("test", "replaced").live;
    let site = Site::start(vec![component()]);
    let mut old = web_socket(&site, "/replaced/ws");
    echo(&mut old, "before");
    site.replace(vec![component()]);
    // The new one answers, the old one still has a client.
    is(&site.get("/replaced/"), 200, "request 1\n");
    echo(&mut old, "after");
    assert_eq!(live.get(), 2);
    drop(old);
    let begin = Instant::now();
    while live.get() > 1 {
        assert!(begin.elapsed() < PATIENCE, "the old guest still runs");
        std::thread::yield_now();
    }
    is(&site.get("/replaced/"), 200, "request 2\n");
}

#[test]
fn requests_that_are_too_large_are_refused() {
    let mut small = server(8080);
    small.serving.body_bytes = 1000;
    let site = Site::start(vec![small]);
    assert_eq!(http_send(site.address, "POST", "/echo", &[], &[b'x'; 1001]).unwrap().status, 413);
    let mut stream = TcpStream::connect(site.address).unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}
