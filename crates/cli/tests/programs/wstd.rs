//! The examples of wstd, an async standard library for components of WASI 0.2: HTTP clients and servers, TCP.

use crate::{finish, output, sampan_run};
use sampan_testing::{
    HttpServer, PATIENCE, Request, Response, Running, TcpServer, crate_examples, free_port,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;

#[track_caller]
fn examples() -> Option<PathBuf> {
    crate_examples("wstd", "0.6.8", "wasm32-wasip2", &[])
}

fn server() -> HttpServer {
    HttpServer::start(|request: &Request| match request.target.as_str() {
        "/boats?n=1" => Response::new(200, "sampan\n").with("X-Kind", "boat"),
        "/echo" => Response::new(201, request.body.clone()),
        _ => Response::new(404, "no such page\n"),
    })
}

#[test]
fn an_http_client() {
    let Some(examples) = examples() else { return };
    let server = server();
    let origin = format!("http://{}", server.address);
    let client = |flags: &[&str], args: &[&str]| {
        let mut command = sampan_run(flags);
        command.arg(examples.join("http_client.wasm")).args(args);
        command
    };
    let url = format!("{origin}/boats?n=1");
    let got = finish(&mut client(&["--allow-http", &origin], &[&url, "--header", "X-Mast: tall"]), "");
    assert_eq!((got.code, &*got.stdout), (0, "sampan\n"), "{got:?}");
    assert!(got.stderr.contains("< HTTP/1.1 200 OK\n") && got.stderr.contains("< x-kind: boat\n"), "{got:?}");
    assert_eq!(server.requests()[0].header("x-mast"), Some("tall"));

    // Its body streams from standard input.
    let url = format!("{origin}/echo");
    let long = "ahoy ".repeat(100_000);
    let args = [&*url, "--body", "--method", "POST"];
    assert_eq!(output(&mut client(&["--allow-http", &origin], &args), &long), long);

    // A port is part of an origin, and nothing else is reached.
    let refused = finish(&mut client(&["--allow-http", "http://127.0.0.1", "--explain"], &[&url]), "");
    assert_eq!((refused.code, &*refused.stdout), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("HttpRequestDenied"), "{refused:?}");
    assert!(refused.stderr.contains(&format!("grant it with --allow-http {origin}\n")), "{refused:?}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_http_client_with_trailers_and_timeouts() {
    let Some(examples) = examples() else { return };
    // Chunks and a trailer, by hand: it says when the request's trailer has come.
    let (sender, receiver) = channel();
    let server = TcpServer::start(move |mut stream| {
        let mut request = String::new();
        while !request.contains("X-Sum: 7\r\n\r\n") && !request.to_lowercase().contains("x-sum: 7\r\n\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            request.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        sender.send(request).expect("the test waits");
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n\
              5\r\nahoy\n\r\n0\r\nX-End: astern\r\n\r\n",
        )
    });
    let origin = format!("http://{}", server.address);
    let mut command = sampan_run(["--allow-http", &origin]);
    command.arg(examples.join("complex_http_client.wasm")).args([&origin, "--method", "PUT", "--body"]);
    command.args(["--trailer", "X-Sum: 7", "--header", "Trailer: X-Sum", "--connect-timeout", "60s"]);
    command.args(["--first-byte-timeout", "60s", "--between-bytes-timeout", "60s"]);
    let got = finish(&mut command, "load");
    let request = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!((got.code, &*got.stdout), (0, "ahoy\n"), "{got:?} after {request}");
    assert!(request.starts_with("PUT / HTTP/1.1\r\n") && request.contains("\r\n4\r\nload\r\n"), "{request}");
    assert!(got.stderr.contains("< x-end: astern\n"), "{got:?}");

    // A server that never answers.
    let silent = TcpServer::start(|stream| std::io::copy(&mut &stream, &mut std::io::sink()).map(drop));
    let origin = format!("http://{}", silent.address);
    let mut command = sampan_run(["--allow-http", &origin]);
    command.arg(examples.join("http_client.wasm")).args([&*origin, "--first-byte-timeout", "50ms"]);
    let late = finish(&mut command, "");
    assert_eq!(late.code, 1, "{late:?}");
    assert!(late.stderr.contains("Timeout"), "{late:?}");
}

#[test]
fn a_tcp_client_and_an_echo_server() {
    let Some(examples) = examples() else { return };
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let mut server =
        Running::start(sampan_run(["--publish", &publish]).arg(examples.join("tcp_echo_server.wasm")));
    // The guest sees its own port, not the one of this machine.
    server.wait_for_line("Listening on 127.0.0.1:8080");

    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        write!(client, "ahoy {number}").unwrap();
    }
    for (number, mut client) in clients.into_iter().enumerate().rev() {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("ahoy {number}"));
    }

    let (sender, receiver) = channel();
    let listener = TcpServer::start(move |mut stream| {
        let mut ping = [0; 5];
        stream.read_exact(&mut ping)?;
        sender.send(ping).expect("the test waits");
        stream.write_all(b"pong\n")
    });
    let address = listener.address.to_string();
    let program = examples.join("tcp_stream_client.wasm");
    output(sampan_run(["--allow-tcp", &address]).arg(&program).arg(&address), "");
    assert_eq!(&receiver.recv_timeout(PATIENCE).unwrap(), b"ping\n");

    let refused = finish(sampan_run(["--explain"]).arg(&program).arg(&address), "");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("open a TCP socket; grant it with --allow-tcp HOST:PORT"), "{refused:?}");
    assert!(receiver.try_recv().is_err());
}

#[test]
fn http_components_are_told_to_be_served() {
    let Some(examples) = examples() else { return };
    for name in ["http_server", "http_server_proxy"] {
        let finished = finish(sampan_run([""; 0]).arg(examples.join(name).with_extension("wasm")), "");
        assert_eq!((finished.code, &*finished.stdout), (134, ""), "{finished:?}");
        let help = "help: it answers HTTP requests (wasi:http/incoming-handler@0.2.12); \
                    such components are served, not run as commands\n";
        assert!(finished.stderr.ends_with(help), "{finished:?}");
    }
}
