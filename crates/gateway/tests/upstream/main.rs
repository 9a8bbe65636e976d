//! Upstreams as clients and servers see them: real sockets on both sides of the proxy.

mod balance;
mod clients;
mod forwarding;
mod log;
mod misbehaving;
mod nginx;
mod outlier;
mod secure;
mod upgrades;

use http::{Request, Response};
use sampan_app::{Upstream as Spec, UpstreamServer};
use sampan_gateway::{Lookup, Upstream};
use sampan_service::{Answer, Body, Handler, Listen, Listener, Options, Server, full, serve};
use sampan_testing::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;

/// What upstreams do beside requests, and what tests do as clients.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// A listener in front of an upstream.
struct Proxy {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    name: String,
    _server: Server,
}

impl Proxy {
    fn start(spec: Spec) -> Proxy {
        Proxy::start_with(spec, sampan_gateway::system_lookup())
    }

    fn start_with(mut spec: Spec, lookup: Lookup) -> Proxy {
        // A name of its own for each, because metrics are the process's.
        let name = format!("up-{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        spec.name.clone_from(&name);
        let starting = Upstream::start_with("test", &spec, RUNTIME.handle(), lookup);
        let upstream = Arc::new(RUNTIME.block_on(starting).expect("an upstream"));
        let server = listen(upstream.clone(), None, None);
        Proxy { address: server.addresses()[0], upstream, name, _server: server }
    }

    /// One exchange on a connection of its own, which the request has to close.
    fn ask(&self, request: &str) -> String {
        exchange(self.address, request.as_bytes())
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n"))
    }

    /// The value of a metric of this upstream; `rest` are further labels.
    fn metric(&self, name: &str, rest: &str) -> i64 {
        let text = sampan_telemetry::metrics().render();
        let start = format!("sampan_upstream_{name}{{app=\"test\",upstream=\"{}\"{rest}}} ", self.name);
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |value| value.parse().expect("a number"))
    }
}

static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn listen(
    handler: Arc<dyn Handler>,
    tls: Option<sampan_service::TlsFiles>,
    log: Option<sampan_telemetry::AccessLog>,
) -> Server {
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls };
    let options = Options { workers: 1, log, ..Options::default() };
    serve(vec![Listener::bind(&listen).expect("a port")], handler, options).expect("a server")
}

/// An upstream of these servers, in the clear.
fn spec(servers: &[SocketAddr]) -> Spec {
    let server = |address: &SocketAddr| UpstreamServer {
        host: address.ip().to_string(),
        port: address.port(),
        tls: false,
        weight: 1,
    };
    Spec { servers: servers.iter().map(server).collect(), ..Spec::default() }
}

/// A server that answers with what a function says.
struct Fun<F>(F);

impl<F, A> Handler for Fun<F>
where
    F: Fn(Request<Body>) -> A + Send + Sync,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin((self.0)(request))
    }
}

fn server<F, A>(answer: F) -> Server
where
    F: Fn(Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    listen(Arc::new(Fun(answer)), None, None)
}

/// A server that says its name.
fn named(name: &'static str) -> Server {
    server(move |_| std::future::ready(Response::new(full(name))))
}

/// Sends bytes and reads until the other side closes.
fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(request).expect("a request");
    rest(&mut stream)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset ends an answer too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads a request's head from a client; its body, if any, is not read.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The status of an answer, and its body as it was sent.
fn parts(answer: &str) -> (&str, &str) {
    let status = answer.get(9..12).unwrap_or("");
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body))
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not happen");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
