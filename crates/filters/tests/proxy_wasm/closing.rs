//! `proxy_close_stream`: the client gets no answer, or no more of one.

use crate::harness::*;
use bytes::Bytes;
use futures::SinkExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_app::Filter as Spec;
use sampan_service::{Answer, Body, Handler, Listen, Listener, Options, Server, empty, is_reset, serve};
use std::error::Error;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Begins an answer at once, and goes on with it for ever.
struct Endless;

impl Handler for Endless {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        let (mut sender, body) = futures::channel::mpsc::channel(1);
        let piece = || Ok(Frame::data(Bytes::from_static(b"more")));
        tokio::spawn(async move { while sender.send(piece()).await.is_ok() {} });
        let body = http_body_util::StreamBody::new(body).boxed_unsync();
        Box::pin(std::future::ready(Response::new(body)))
    }
}

/// Closes a stream, when its response has begun, by a tick. It sees no bodies.
const BY_TICK: &str = r#"(module
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $root (mut i32) (i32.const 0))
    (global $stream (mut i32) (i32.const 0))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32)
        (if (i32.eqz (local.get 1)) (then (global.set $root (local.get 0)))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0))
        (drop (call $effective (global.get $root)))
        (drop (call $tick (i32.const 1)))
        (i32.const 0))
    (func (export "proxy_on_tick") (param i32)
        (drop (call $effective (global.get $stream)))
        (drop (call $close (i32.const 1))))
    (func (export "proxy_on_log") (param i32)))"#;

fn listen(handler: Arc<dyn Handler>) -> Server {
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: None };
    let options = Options { workers: 1, ..Options::default() };
    serve(vec![Listener::bind(&listen).unwrap()], handler, options).unwrap()
}

/// All that a client of HTTP/1.1 gets.
async fn raw(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // A reset ends it too.
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

async fn http2(server: &Server) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn ask(path: &str) -> Request<Body> {
    Request::get(format!("http://a{path}")).body(empty()).unwrap()
}

fn is_of_stream(error: &hyper::Error) -> bool {
    error.source().is_some_and(|cause| cause.to_string().starts_with("stream error received"))
}

#[test]
fn before_the_response_the_client_gets_none() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let server = listen(Arc::clone(&filtered.handler));
        for path in ["/reset", "/reset-late"] {
            assert!(is_reset(&filtered.handler.handle(get(path)).await), "{path}");
            assert_eq!(raw(&server, path).await, "", "{path}");
            // In HTTP/2 only the one stream is gone.
            let mut client = http2(&server).await;
            let error = client.send_request(ask(path)).await.unwrap_err();
            assert!(is_of_stream(&error), "{path}: {error:?}");
            assert_eq!(client.send_request(ask("/next")).await.unwrap().status(), 200, "{path}");
        }
        // The contexts have ended as all do, and closing is no failure.
        filtered.until("all ends", |one| one.logged("log /reset") == 6).await;
        assert_eq!(filtered.failures("trap"), 0);
    });
}

#[test]
fn a_response_that_has_begun_breaks_off() {
    run(async {
        let sees_bodies = before(Arc::new(Endless), spec("proxy-headers", "c")).await;
        let (surroundings, _) = surroundings();
        let by_tick = Spec { name: "tick".into(), ..Spec::default() };
        let version = prove_wat(&surroundings, &by_tick, BY_TICK).await.unwrap();
        let sees_none = sampan_filters::Filter::new(version, None);
        let sees_none = sampan_service::Filter::before(&sees_none, Arc::new(Endless), None).unwrap();
        for handler in [Arc::clone(&sees_bodies.handler), sees_none] {
            let server = listen(handler);
            let answer = raw(&server, "/reset-body").await;
            assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("\r\n0\r\n"), "{answer}");
            let response = http2(&server).await.send_request(ask("/reset-body")).await.unwrap();
            assert_eq!(response.status(), 200);
            let error = response.into_body().collect().await.unwrap_err();
            assert!(is_of_stream(&error), "{error:?}");
        }
    });
}

/// Filters in front of it do not see what is not sent.
#[test]
fn a_chain_passes_it_on() {
    run(async {
        let inner = filtered(spec("proxy-headers", "c")).await;
        let outer = before(Arc::clone(&inner.handler), spec("proxy-headers", "o")).await;
        let response = outer.handler.handle(get("/reset")).await;
        assert!(is_reset(&response) && !response.headers().contains_key("x-filter"), "{response:?}");
    });
}
