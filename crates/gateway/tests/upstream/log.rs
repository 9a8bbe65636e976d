//! The access log says which servers were asked, how often, and for how long.

use crate::{Proxy, head, listen, named, parts, spec};
use sampan_app::{Outlier, RetryOn, Route, Target, Upstream as Spec};
use sampan_gateway::{Handlers, Router, Upstream};
use sampan_service::Handler;
use sampan_telemetry::{AccessLog, LogFields, LogTarget};
use sampan_testing::{TcpServer, free_port, temp_dir};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the log says of one request to an upstream, and the status that the client got.
fn logged(spec: Spec, request: &str) -> (String, Value) {
    let (status, line, _) = logged_within(spec, request, None);
    (status, line)
}

/// With a time that the route gives.
fn logged_within(spec: Spec, request: &str, time: Option<Duration>) -> (String, Value, Arc<Upstream>) {
    let folder = temp_dir();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(&LogTarget::File(path.clone()), LogFields::default()).unwrap();
    let proxy = Proxy::start(spec);
    let handler: Arc<dyn Handler> = match time {
        None => proxy.upstream.clone(),
        Some(timeout) => routed(&proxy.upstream, timeout),
    };
    let server = listen(handler, None, Some(log.clone()));
    let answer = crate::exchange(server.addresses()[0], request.as_bytes());
    // All of its connections are over then, so the line is queued.
    drop(server);
    log.flush();
    let line = std::fs::read_to_string(path).unwrap();
    let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
    (parts(&answer).0.to_owned(), line, proxy.upstream.clone())
}

/// A route to an upstream that gives it so much time.
fn routed(upstream: &Arc<Upstream>, timeout: Duration) -> Arc<dyn Handler> {
    let mut route = Route::new("/...", Target::Upstream("shop".into()));
    route.policy.timeout = Some(timeout);
    let upstream: Arc<dyn Handler> = upstream.clone();
    let handlers = Handlers { upstreams: [("shop".to_owned(), upstream)].into(), ..Handlers::default() };
    Arc::new(Router::new("app", &[route], &handlers).unwrap())
}

/// A client that leaves before there is an answer.
#[test]
fn who_was_asked_when_the_client_left_is_said() {
    let (sender, asked) = std::sync::mpsc::channel();
    let silent = TcpServer::start(move |mut stream| {
        head(&mut stream);
        sender.send(()).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let folder = temp_dir();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(&LogTarget::File(path.clone()), LogFields::default()).unwrap();
    let proxy = Proxy::start(spec(&[silent.address]));
    let server = listen(proxy.upstream.clone(), None, Some(log.clone()));
    let mut client = crate::connect(server.addresses()[0]);
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    asked.recv_timeout(sampan_testing::PATIENCE).unwrap();
    drop(client);
    crate::until("the line", || {
        log.flush();
        std::fs::read_to_string(&path).is_ok_and(|text| !text.is_empty())
    });
    let line: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(fields(&line), json!([silent.address.to_string(), 1, "cancelled", null]));
    assert_eq!(line["status"], 0);
    assert_eq!(proxy.upstream.available(), [silent.address]);
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn fields(line: &Value) -> Value {
    json!([line["server"], line["attempts"], line["failure"], line["tried"]])
}

#[test]
fn who_answered_is_said() {
    let good = named("good");
    let address = good.addresses()[0];
    let (status, line) = logged(spec(&[address]), GET);
    assert_eq!((status.as_str(), fields(&line)), ("200", json!([address.to_string(), 1, null, null])));
    let upstream_ms = line["upstream_ms"].as_f64().unwrap();
    assert!(0.0 < upstream_ms && upstream_ms <= line["duration_ms"].as_f64().unwrap(), "{line}");
}

#[test]
fn those_that_failed_before_are_said_too() {
    let busy = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
    });
    let good = named("good");
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut spec = spec(&[gone, busy.address, good.addresses()[0]]);
    spec.retry.attempts = 3;
    spec.retry.on = vec![RetryOn::Connect, RetryOn::Status(503)];
    let (status, line) = logged(spec, GET);
    let tried = [format!("{gone} connect"), format!("{} 503", busy.address)];
    let expected = json!([good.addresses()[0].to_string(), 3, null, tried]);
    assert_eq!((status.as_str(), fields(&line)), ("200", expected));
}

#[test]
fn why_there_is_no_answer_is_said() {
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut once = spec(&[gone]);
    once.retry.attempts = 1;
    let (status, line) = logged(once, GET);
    assert_eq!((status.as_str(), fields(&line)), ("502", json!([gone.to_string(), 1, "connect", null])));

    // The time for the whole exchange ends while a server is waited for.
    let silent = TcpServer::start(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()).map(drop));
    let mut slow = spec(&[silent.address]);
    slow.timeouts.total = Some(Duration::from_millis(50));
    let (status, line) = logged(slow, GET);
    let expected = json!([silent.address.to_string(), 1, "total", null]);
    assert_eq!((status.as_str(), fields(&line)), ("504", expected));
    assert!(line["upstream_ms"].as_f64().unwrap() >= 49.0, "{line}");

    // The route gives no more time, and the server has had its chance.
    let mut slow = spec(&[silent.address, SocketAddr::from(([127, 0, 0, 1], free_port()))]);
    slow.outlier = Some(Outlier { failures: Some(1), ..Outlier::default() });
    let expected = json!([silent.address.to_string(), 1, "total", null]);
    let (status, line, upstream) = logged_within(slow, GET, Some(Duration::from_millis(50)));
    assert_eq!((status.as_str(), fields(&line)), ("504", expected));
    assert!(!upstream.available().contains(&silent.address));

    // Nobody was asked.
    let (status, line) = logged(spec(&[]), GET);
    assert_eq!((status.as_str(), fields(&line)), ("503", json!([null, 0, "no_server", null])));
    assert_eq!(line["upstream_ms"], 0.0);
}
