//! What servers get, and what clients get back.

use crate::{Fun, Proxy, RUNTIME, connect, head, listen, parts, server, spec};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_app::{HostHeader, UpstreamProtocol};
use sampan_service::{Body, Server, full};
use sampan_testing::TcpServer;
use std::io::{Read, Write};
use std::sync::Arc;

/// Says what it got.
fn mirror() -> Server {
    server(|request: Request<Body>| async move {
        let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
        for (name, value) in request.headers() {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        let body = request.into_body().collect().await.unwrap();
        text += &format!("[{}]", String::from_utf8_lossy(&body.to_bytes()));
        let mut response = Response::new(full(text));
        response.headers_mut().insert("x-served-by", "mirror".parse().unwrap());
        response
    })
}

#[test]
fn a_request_arrives_as_it_was_sent_but_for_what_belongs_to_the_connection() {
    let server = mirror();
    let proxy = Proxy::start(spec(server.addresses()));
    let answer = proxy.ask(
        "POST /a%20b/../c?x=%31 HTTP/1.1\r\nhost: shop.example\r\nconnection: close, x-mine\r\nx-mine: 1\r\n\
         x-forwarded-for: 203.0.113.1\r\nx-request-id: abc\r\ncontent-length: 5\r\n\r\nhello",
    );
    let (status, body) = parts(&answer);
    assert_eq!(status, "200");
    let port = proxy.address.port();
    for line in [
        "POST /a%20b/../c?x=%31 HTTP/1.1",
        "host: shop.example",
        "content-length: 5",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example",
        &format!("x-forwarded-port: {port}"),
        "x-request-id: abc",
        "[hello]",
    ] {
        assert!(body.lines().any(|one| one == line), "no {line} in:\n{body}");
    }
    assert!(!body.contains("x-mine") && answer.contains("x-served-by: mirror"), "{answer}");
}

#[test]
fn the_host_is_the_clients_the_servers_or_fixed() {
    let server = mirror();
    let own = server.addresses()[0].to_string();
    for (host, expected) in [
        (HostHeader::Client, "shop.example"),
        (HostHeader::Server, own.as_str()),
        (HostHeader::Fixed("fixed.example:81".into()), "fixed.example:81"),
    ] {
        for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::H2] {
            let proxy = Proxy::start(sampan_app::Upstream {
                host: host.clone(),
                protocol,
                ..spec(server.addresses())
            });
            let answer = proxy.get("/");
            let seen = match protocol {
                UpstreamProtocol::H2 => format!("GET http://{expected}/ HTTP/2.0\n"),
                _ => format!("host: {expected}\n"),
            };
            assert!(answer.contains(&seen), "{host:?} {protocol:?}: {answer}");
        }
    }
}

#[test]
fn connections_are_used_again_and_closed_after_their_share() {
    for (requests, connections) in [(None, 1), (Some(3), 4)] {
        let server = server(|request: Request<Body>| async move {
            let peer = request.extensions().get::<sampan_service::Peer>().unwrap().address;
            Response::new(full(peer.to_string()))
        });
        let mut spec = spec(server.addresses());
        spec.keep_alive.requests = requests;
        let proxy = Proxy::start(spec);
        let peers: std::collections::HashSet<_> =
            (0..10).map(|_| parts(&proxy.get("/")).1.to_owned()).collect();
        assert_eq!(peers.len(), connections, "{requests:?}: {peers:?}");
    }
}

#[test]
fn head_no_content_and_not_modified_have_no_body() {
    let server = TcpServer::start(|mut stream| {
        loop {
            let answer: &[u8] = match head(&mut stream) {
                head if head.starts_with("HEAD /a ") => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
                head if head.contains(" /304 ") => {
                    b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 9\r\n\r\n"
                }
                head if head.contains(" /204 ") => b"HTTP/1.1 204 No Content\r\n\r\n",
                head if head.is_empty() => return Ok(()),
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            };
            stream.write_all(answer)?;
        }
    });
    let proxy = Proxy::start(spec(&[server.address]));
    let ask = |method: &str, path: &str| {
        proxy.ask(&format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    };
    let answer = ask("HEAD", "/a");
    assert!(answer.contains("content-length: 10") && parts(&answer) == ("200", ""), "{answer}");
    assert_eq!(parts(&ask("GET", "/304")), ("304", ""));
    assert_eq!(parts(&ask("GET", "/204")), ("204", ""));
    assert_eq!(parts(&ask("GET", "/b")), ("200", "ok"));
    // All on one connection, so nothing was misread as the beginning of the next.
    assert_eq!(proxy.metric("connections", ""), 1);
}

#[test]
fn bodies_stream_both_ways_and_no_faster_than_they_are_read() {
    let echo = server(|request: Request<Body>| async move { Response::new(request.into_body()) });
    let proxy = Proxy::start(spec(echo.addresses()));
    let bytes = 64 << 20;
    let mut stream = connect(proxy.address);
    let mut reading = stream.try_clone().unwrap();
    let begin = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
    stream.write_all(begin.as_bytes()).unwrap();
    // Nobody reads, so that the writer has to stop long before the end.
    stream.set_nonblocking(true).unwrap();
    let chunk = vec![b'x'; 1 << 16];
    let (mut sent, mut stalled) = (0, 0);
    while stalled < 50 {
        match stream.write(&chunk) {
            Ok(count) => (sent, stalled) = (sent + count, 0),
            Err(_) => {
                stalled += 1;
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
    assert!(sent < bytes / 2, "{sent} bytes were taken, and nobody read");
    stream.set_nonblocking(false).unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..=(bytes - sent) / chunk.len() {
            let count = chunk.len().min(bytes - sent);
            stream.write_all(&chunk[..count]).unwrap();
            sent += count;
        }
    });
    let mut got = 0;
    head(&mut reading);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = reading.read(&mut buffer) {
        got += count;
    }
    writer.join().unwrap();
    // The echo has no length, so chunks' heads come on top.
    assert!(got >= bytes, "{got}");
}

#[test]
fn a_body_waits_until_the_server_wants_it() {
    let server = TcpServer::start(|mut stream| {
        let head = head(&mut stream);
        assert!(head.contains("expect: 100-continue"), "{head}");
        if head.contains("/refuse") {
            return stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
        }
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        let mut body = [0; 5];
        stream.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")?;
        stream.write_all(&body)
    });
    let proxy = Proxy::start(spec(&[server.address]));
    for (path, expected) in [("/take", "HTTP/1.1 100 Continue"), ("/refuse", "HTTP/1.1 413")] {
        let mut stream = connect(proxy.address);
        let begin = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 5\r\n\r\n"
        );
        stream.write_all(begin.as_bytes()).unwrap();
        let first = head(&mut stream);
        assert!(first.starts_with(expected), "{path}: {first}");
        if path == "/take" {
            stream.write_all(b"hello").unwrap();
            assert_eq!(parts(&crate::rest(&mut stream)), ("200", "hello"));
        }
    }
}

/// A service of gRPC: the messages back (each with its prefix of five bytes), then the status in trailers.
fn grpc() -> Server {
    listen(
        Arc::new(Fun(|request: Request<Body>| async move {
            assert_eq!(
                (&request.headers()["te"], request.version()),
                (&"trailers".parse().unwrap(), Version::HTTP_2)
            );
            let mut incoming = request.into_body();
            let (sender, frames) = tokio::sync::mpsc::channel(4);
            tokio::spawn(async move {
                while let Some(Ok(frame)) = incoming.frame().await {
                    if sender.send(Ok(frame)).await.is_err() {
                        return;
                    }
                }
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let _ = sender.send(Ok(Frame::trailers(trailers))).await;
            });
            let frames = futures::stream::unfold(frames, |mut frames| async {
                let frame = frames.recv().await?;
                Some((frame, frames))
            });
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response
        })),
        None,
        None,
    )
}

/// A client of HTTP/2 in the clear.
async fn http2(address: std::net::SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

#[test]
fn grpc_streams_both_ways_and_ends_with_trailers() {
    let server = grpc();
    let proxy =
        Proxy::start(sampan_app::Upstream { protocol: UpstreamProtocol::H2, ..spec(server.addresses()) });
    RUNTIME.block_on(async {
        let mut sender = http2(proxy.address).await;
        let (messages, frames) =
            tokio::sync::mpsc::channel::<Result<Frame<Bytes>, sampan_service::BodyError>>(1);
        let frames = futures::stream::unfold(frames, |mut frames| async {
            let frame = frames.recv().await?;
            Some((frame, frames))
        });
        let request = Request::post(format!("http://{}/pkg.Service/Method", proxy.address))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(StreamBody::new(frames).boxed_unsync())
            .unwrap();
        let response = sender.send_request(request);
        messages.send(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x01a")))).await.unwrap();
        let mut response = response.await.unwrap();
        // Each message comes back before the next is sent.
        let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&first[..], b"\0\0\0\0\x01a");
        messages.send(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x01b")))).await.unwrap();
        let second = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&second[..], b"\0\0\0\0\x01b");
        drop(messages);
        let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert!(response.frame().await.is_none());
    });
}

#[test]
fn trailers_of_http1_reach_clients_of_http2() {
    let server = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
        )
    });
    let proxy = Proxy::start(spec(&[server.address]));
    RUNTIME.block_on(async {
        let mut sender = http2(proxy.address).await;
        let request =
            Request::get(format!("http://{}/", proxy.address)).body(sampan_service::empty()).unwrap();
        let collected = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
        assert_eq!(&collected.to_bytes()[..], b"ok");
    });
}

#[test]
fn many_requests_share_a_connection_of_http2() {
    let server = mirror();
    let proxy =
        Proxy::start(sampan_app::Upstream { protocol: UpstreamProtocol::H2, ..spec(server.addresses()) });
    RUNTIME.block_on(async {
        let sender = http2(proxy.address).await;
        let asks = (0..50).map(|number| {
            let mut sender = sender.clone();
            let request = Request::get(format!("http://{}/{number}", proxy.address));
            let request = request.body(sampan_service::empty()).unwrap();
            async move {
                let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
                assert!(String::from_utf8_lossy(&body.to_bytes()).contains(&format!("/{number} HTTP/2.0")));
            }
        });
        futures::future::join_all(asks).await;
    });
    assert_eq!(proxy.metric("connections", ""), 1);
}
