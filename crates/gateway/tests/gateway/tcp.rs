//! TCP routes: connections that are carried to a server, with and without filters.

use crate::block_on;
use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use sampan_app::{RouteFilter, TcpRoute, UpstreamServer};
use sampan_gateway::{TcpHandlers, TcpProxy, Upstream};
use sampan_service::{
    ClosedBy, Flow, Handshake, Listen, Listener, Options, Peer, Server, Side, TcpEntry, TcpFilter, TcpPass,
    serve_tcp,
};
use sampan_testing::{PATIENCE, TcpServer};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;

/// An upstream with one server.
fn upstream(app: &str, server: SocketAddr) -> Arc<Upstream> {
    static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    });
    let server = UpstreamServer { host: server.ip().to_string(), port: server.port(), tls: false, weight: 1 };
    let spec = sampan_app::Upstream { name: "db".into(), servers: vec![server], ..Default::default() };
    Arc::new(block_on(Upstream::start(app, &spec, &RUNTIME)).unwrap())
}

fn start(
    app: &str,
    server: SocketAddr,
    idle: Duration,
    filters: &[(&str, Arc<dyn TcpFilter>)],
) -> (Server, SocketAddr) {
    let listener = Listener::bind_tcp(&Listen { address: ([127, 0, 0, 1], 0).into(), tls: None }).unwrap();
    let address = listener.address();
    let uses =
        filters.iter().map(|(name, _)| RouteFilter { filter: (*name).into(), config: Some("c".into()) });
    let route = TcpRoute {
        listen: sampan_app::Listen { address: ([127, 0, 0, 1], 0).into(), tls: None },
        upstream: "db".into(),
        filters: uses.collect(),
        idle,
        connections: 10,
    };
    let handlers = TcpHandlers {
        upstreams: HashMap::from([("db".to_owned(), upstream(app, server))]),
        filters: filters.iter().map(|(name, filter)| ((*name).to_owned(), filter.clone())).collect(),
    };
    let proxy = TcpProxy::new(app, &route, &handlers).unwrap();
    let options = Options { workers: 1, ..Options::default() };
    (serve_tcp(vec![listener], Arc::new(proxy), options).unwrap(), address)
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn rest(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    // A connection that was cut may end with a reset.
    let _ = stream.read_to_string(&mut text);
    text
}

#[track_caller]
fn expect(mut stream: &TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), text);
}

/// Waits until a connection has ended so.
#[track_caller]
fn expect_end(app: &str, end: &str) {
    let line = format!(
        "sampan_tcp_connections_ended_total{{app=\"{app}\",listen=\"127.0.0.1:0\",to=\"db\",end=\"{end}\"}} 1"
    );
    let deadline = std::time::Instant::now() + PATIENCE;
    while !sampan_telemetry::metrics().render().contains(&line) {
        assert!(std::time::Instant::now() < deadline, "{line}\n{}", sampan_telemetry::metrics().render());
        std::thread::yield_now();
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Speaks first, reads to the client's end, and only then answers.
fn counting() -> TcpServer {
    TcpServer::start(|mut stream| {
        stream.write_all(b"ready\n")?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        write!(stream, "{} bytes", all.len())
    })
}

#[test]
fn both_directions_end_on_their_own() {
    let server = counting();
    let (_proxy, address) = start("plain", server.address, HOUR, &[]);
    let mut stream = client(address);
    expect(&stream, "ready\n");
    // More than all buffers on the way hold.
    stream.write_all(&vec![7; 8 << 20]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream), "8388608 bytes");
    expect_end("plain", "done");
    let text = sampan_telemetry::metrics().render();
    let labels = r#"{app="plain",listen="127.0.0.1:0",to="db"}"#;
    assert!(text.contains(&format!("sampan_tcp_received_bytes_total{labels} 8388608\n")), "{text}");
    assert!(text.contains(&format!("sampan_tcp_sent_bytes_total{labels} 19\n")), "{text}");
}

#[test]
fn a_connection_on_which_nothing_moves_is_closed() {
    let server = TcpServer::echo();
    for (app, filters) in [("idle", vec![]), ("idle-filtered", vec![("f", Script::filter("upper").0)])] {
        let (_proxy, address) = start(app, server.address, Duration::from_millis(50), &filters);
        assert_eq!(rest(&client(address)), "");
        expect_end(app, "idle");
    }
}

#[test]
fn a_client_without_a_server_is_closed_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let (_proxy, address) = start("nobody", nobody, HOUR, &[]);
    assert_eq!(rest(&client(address)), "");
    expect_end("nobody", "unreachable");
}

#[test]
fn routes_that_cannot_be_served_are_said() {
    let route = |upstream: &str, filter: Option<&str>| TcpRoute {
        listen: sampan_app::Listen { address: ([127, 0, 0, 1], 0).into(), tls: None },
        upstream: upstream.into(),
        filters: filter.map(|name| RouteFilter { filter: name.into(), config: None }).into_iter().collect(),
        idle: HOUR,
        connections: 1,
    };
    let handlers = TcpHandlers {
        upstreams: HashMap::from([("db".to_owned(), upstream("app", ([127, 0, 0, 1], 1).into()))]),
        filters: HashMap::from([("f".to_owned(), Script::filter("upper").0)]),
    };
    let table = [
        (route("x", None), "there is no upstream `x`"),
        (route("db", Some("x")), "the filter `x` is none for TCP"),
        (route("db", Some("f")), "it wants a configuration"),
    ];
    for (route, expected) in table {
        let error = TcpProxy::new("app", &route, &handlers).map(drop).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

type Releases = UnboundedReceiver<(Side, Flow)>;

/// A filter that does what its name says, and tells what it sees.
struct Script {
    name: &'static str,
    tell: Mutex<Sender<String>>,
    /// What it lets go on its own.
    releases: Mutex<Option<Releases>>,
}

impl Script {
    fn filter(name: &'static str) -> (Arc<dyn TcpFilter>, Receiver<String>) {
        let (tell, told) = channel();
        let script = Script { name, tell: Mutex::new(tell), releases: Mutex::default() };
        (Arc::new(Filter(Arc::new(script))), told)
    }
}

struct Filter(Arc<Script>);

impl TcpFilter for Filter {
    fn configured(&self, config: Option<&str>) -> Result<Arc<dyn TcpEntry>, String> {
        config.ok_or("it wants a configuration")?;
        Ok(Arc::new(Entry(self.0.clone())))
    }
}

struct Entry(Arc<Script>);

impl TcpEntry for Entry {
    fn connect(&self, peer: Peer, _: Option<Arc<Handshake>>) -> BoxFuture<'_, Option<Box<dyn TcpPass>>> {
        assert!(peer.address.ip().is_loopback());
        let pass = Pass {
            name: self.0.name,
            tell: self.0.tell.lock().unwrap().clone(),
            kept: Vec::new(),
            releases: self.0.releases.lock().unwrap().take(),
        };
        let wanted = self.0.name != "nobody";
        Box::pin(async move { wanted.then(|| Box::new(pass) as Box<dyn TcpPass>) })
    }
}

struct Pass {
    name: &'static str,
    tell: Sender<String>,
    kept: Vec<u8>,
    releases: Option<Releases>,
}

impl TcpPass for Pass {
    fn connected(&mut self, server: SocketAddr) {
        let _ = self.tell.send(format!("server {}", server.ip()));
    }

    fn data(&mut self, from: Side, data: Bytes, end: bool) -> BoxFuture<'_, Flow> {
        let text = String::from_utf8_lossy(&data).into_owned();
        let _ = self.tell.send(format!("{from:?} {text:?} {end}"));
        let flow = match self.name {
            "upper" => Flow::Pass { data: text.to_uppercase().into(), end },
            "brackets" if text.is_empty() => Flow::Pass { data, end },
            "brackets" => Flow::Pass { data: format!("[{text}]").into(), end },
            // Whole lines only.
            "lines" if from == Side::Client => {
                self.kept.extend_from_slice(&data);
                let whole = self.kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let whole = if end { self.kept.len() } else { whole };
                Flow::Pass { data: self.kept.drain(..whole).collect::<Vec<_>>().into(), end }
            }
            "closer" if text.contains("quit") => Flow::Close,
            "keeper" if from == Side::Client => Flow::HOLD,
            _ => Flow::Pass { data, end },
        };
        Box::pin(std::future::ready(flow))
    }

    fn next(&mut self) -> BoxFuture<'_, (Side, Flow)> {
        match &mut self.releases {
            None => Box::pin(std::future::pending()),
            Some(releases) => releases
                .next()
                .then(|next| async move {
                    match next {
                        Some(next) => next,
                        None => std::future::pending().await,
                    }
                })
                .boxed(),
        }
    }

    fn closed(&mut self, side: Side, by: ClosedBy) -> BoxFuture<'_, ()> {
        let _ = self.tell.send(format!("{side:?} closed by {by:?}"));
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn filters_see_the_client_in_their_order_and_the_server_in_the_opposite_one() {
    let server = TcpServer::echo();
    let (upper, told) = Script::filter("upper");
    let (brackets, _) = Script::filter("brackets");
    let (_proxy, address) = start("order", server.address, HOUR, &[("u", upper), ("b", brackets)]);
    let mut stream = client(address);
    stream.write_all(b"abc").unwrap();
    // Upper, brackets, the echo, brackets, upper.
    expect(&stream, "[[ABC]]");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&stream), "");
    expect_end("order", "done");
    let expected = [
        "server 127.0.0.1",
        "Client \"abc\" false",
        "Server \"[[ABC]]\" false",
        "Client \"\" true",
        "Server \"\" true",
        "Client closed by Remote",
        "Server closed by Remote",
    ];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_filter_keeps_waits_for_it() {
    let (sent, received) = channel();
    let sent = Mutex::new(sent);
    let server = TcpServer::start(move |mut stream| {
        let mut buffer = [0; 100];
        loop {
            let count = stream.read(&mut buffer)?;
            let _ = sent.lock().unwrap().send(String::from_utf8_lossy(&buffer[..count]).into_owned());
            if count == 0 {
                return stream.write_all(b"end");
            }
        }
    });
    let (lines, told) = Script::filter("lines");
    let (_proxy, address) = start("lines", server.address, HOUR, &[("l", lines)]);
    let mut stream = client(address);
    stream.write_all(b"one\ntw").unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "one\n");
    stream.write_all(b"o\nthr").unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "two\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "thr");
    assert_eq!(rest(&stream), "end");
    drop(told);
}

#[test]
fn a_filter_may_let_go_later_on_its_own() {
    let server = TcpServer::echo();
    let (release, releases) = unbounded();
    let (tell, told) = channel();
    let script = Script { name: "keeper", tell: Mutex::new(tell), releases: Mutex::new(Some(releases)) };
    let keeper: Arc<dyn TcpFilter> = Arc::new(Filter(Arc::new(script)));
    let (upper, _) = Script::filter("upper");
    let (_proxy, address) = start("keeper", server.address, HOUR, &[("k", keeper), ("u", upper)]);
    let mut stream = client(address);
    stream.write_all(b"abc").unwrap();
    while told.recv_timeout(PATIENCE).unwrap() != "Client \"abc\" false" {}
    let pass = |text: &'static str, end| Flow::Pass { data: Bytes::from_static(text.as_bytes()), end };
    release.unbounded_send((Side::Client, pass("later", false))).unwrap();
    expect(&stream, "LATER");
    // To the client, behind nobody.
    release.unbounded_send((Side::Server, pass("news", false))).unwrap();
    expect(&stream, "news");
    release.unbounded_send((Side::Client, pass("", true))).unwrap();
    assert_eq!(rest(&stream), "");
}

#[test]
fn a_filter_may_refuse_and_close() {
    let server = TcpServer::echo();
    let (nobody, _) = Script::filter("nobody");
    let (first, told) = Script::filter("upper");
    let (_proxy, address) = start("refused", server.address, HOUR, &[("f", first), ("n", nobody)]);
    assert_eq!(rest(&client(address)), "");
    expect_end("refused", "filter");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["Client closed by Local", "Server closed by Local"]);

    let (closer, told) = Script::filter("closer");
    let (_proxy, address) = start("closer", server.address, HOUR, &[("c", closer)]);
    let mut stream = client(address);
    stream.write_all(b"hello").unwrap();
    expect(&stream, "hello");
    stream.write_all(b"quit").unwrap();
    assert_eq!(rest(&stream), "");
    expect_end("closer", "filter");
    assert!(told.try_iter().any(|line| line == "Client closed by Local"));
}
