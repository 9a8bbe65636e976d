//! The guest of `make demo` as its visitors see it: a web server on WasmEdge's sockets behind `-p`.

use sampan_testing::{Running, allow_many_files, free_port, guest, http_get, http_send, root, sampan};
use std::io::{Read, Write};
use std::net::TcpStream;

struct Server {
    address: String,
    _running: Running,
}

/// Serves examples/site until it is dropped.
fn server() -> Server {
    let address = format!("127.0.0.1:{}", free_port());
    let site = format!("{}:/site:ro", root().join("examples/site").display());
    let mut command = sampan();
    command.args(["run", "-p", &format!("{address}:80"), "-v", &site]).arg(guest("web-server"));
    let mut running = Running::start(&mut command);
    running.wait_for_line("serving /site");
    Server { address, _running: running }
}

#[test]
fn files_with_types_and_lengths() {
    let server = server();
    for (path, file, content_type) in [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/style.css?v=1", "style.css", "text/css; charset=utf-8"),
        ("/boat%2esvg", "boat.svg", "image/svg+xml"),
    ] {
        let response = http_get(&server.address, path).unwrap();
        let expected = std::fs::read(root().join("examples/site").join(file)).unwrap();
        assert_eq!((response.status, response.header("content-type")), (200, Some(content_type)), "{path}");
        assert_eq!(response.header("content-length"), Some(&*expected.len().to_string()), "{path}");
        assert_eq!(response.body, expected, "{path}");
        let head = http_send(&server.address, "HEAD", path, &[], b"").unwrap();
        assert_eq!(head.header("content-length"), response.header("content-length"));
    }
}

#[test]
fn what_is_not_there_or_not_allowed() {
    let server = server();
    for (method, path, status) in [
        ("GET", "/none", 404),
        ("GET", "/index.html/", 404),
        ("GET", "/../style.css", 400),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 400),
        ("GET", "/..%2f..%2fetc/passwd", 400),
        ("GET", "/%zz", 400),
        ("GET", "/%00", 400),
        ("POST", "/", 405),
    ] {
        let response = http_send(&server.address, method, path, &[], b"").unwrap();
        assert_eq!(response.status, status, "{method} {path}");
    }
    let long = format!("/{}", "a".repeat(20_000));
    assert_eq!(http_get(&server.address, &long).map(|response| response.status).unwrap_or(431), 431);
}

/// As many clients at once as a small server has on a busy day; none is lost, and none waits for another.
#[test]
fn a_thousand_connections() {
    allow_many_files();
    let server = server();
    let connect = || TcpStream::connect(&server.address).unwrap();
    let mut clients: Vec<TcpStream> = (0..1000).map(|_| connect()).collect();
    for round in 0..2 {
        for client in &mut clients {
            client.write_all(b"GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        }
        let length = std::fs::metadata(root().join("examples/site/style.css")).unwrap().len() as usize;
        for (index, client) in clients.iter_mut().enumerate() {
            let mut response = vec![0; 4096];
            let mut count = 0;
            while !response[..count].ends_with(b"}\n") || count < length {
                let got = client.read(&mut response[count..]).unwrap();
                assert_ne!(got, 0, "client {index} was dropped in round {round}");
                count += got;
            }
            assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"), "client {index} in round {round}");
        }
    }
}
