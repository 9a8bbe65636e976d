//! A running server: its workers, its acceptor, and its end.

use crate::accept;
use crate::handler::Handler;
use crate::limits::{HEADERS_FREE, Limits};
use crate::listener::Listener;
use crate::notice::{Notice, Notices};
use crate::tcp::TcpHandler;
use crate::traffic::Traffic;
use crate::worker::Worker;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sampan_telemetry::AccessLog;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Pings find HTTP/2 clients that vanished.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How to serve; the default is right for most.
#[derive(Clone, Default)]
pub struct Options {
    pub limits: Limits,
    /// Threads that hold connections; 0 for one per core.
    pub workers: usize,
    /// Where each request is written down; `None` costs nothing.
    pub log: Option<AccessLog>,
    /// Told about what an operator should know.
    pub notices: Notices,
    /// Where the bytes of all connections are counted.
    pub traffic: Option<Arc<Traffic>>,
}

/// What is done with connections.
pub(crate) enum Work {
    Http(Box<Http>),
    Tcp(Arc<dyn TcpHandler>),
}

pub(crate) struct Http {
    pub handler: Arc<dyn Handler>,
    pub http1: http1::Builder,
    pub http2: http2::Builder<TokioExecutor>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub work: Work,
    pub limits: Limits,
    pub log: Option<AccessLog>,
    pub notices: Notices,
    pub traffic: Option<Arc<Traffic>>,
    draining: AtomicBool,
    /// Connections that were accepted and have not been closed.
    open: AtomicUsize,
    /// Taken only while draining.
    closed: (Mutex<()>, Condvar),
    /// Ends the acceptor.
    pub stop: Notify,
    /// Asks for a look at the certificates.
    pub reload: Notify,
}

impl Shared {
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Counts a connection, unless there are too many.
    pub fn admit(&self) -> bool {
        let admitted = self.open.fetch_add(1, Ordering::AcqRel) < self.limits.connections;
        if !admitted {
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
        admitted
    }

    pub fn leave(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        if self.draining() {
            let _held = self.closed.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.closed.1.notify_all();
        }
    }
}

/// Serves until [`Server::drain`], or until it is dropped, which cuts every connection.
pub struct Server {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    acceptor: Option<JoinHandle<()>>,
}

/// What became of the connections that were open when a drain began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Those that had to be cut at the deadline.
    pub cut: usize,
}

/// Answers the clients of all `listeners` with `handler`, on threads of its own. The caller may be
/// synchronous.
pub fn serve(listeners: Vec<Listener>, handler: Arc<dyn Handler>, options: Options) -> io::Result<Server> {
    start(listeners, Work::Http(Box::new(http(handler, &options.limits))), options)
}

/// As [`serve`], for connections that speak a protocol of their own. Of the limits, those on connections and
/// handshakes count.
pub fn serve_tcp(
    listeners: Vec<Listener>,
    handler: Arc<dyn TcpHandler>,
    options: Options,
) -> io::Result<Server> {
    start(listeners, Work::Tcp(handler), options)
}

fn start(listeners: Vec<Listener>, work: Work, options: Options) -> io::Result<Server> {
    let addresses = listeners.iter().map(Listener::address).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = if options.workers == 0 { cores } else { options.workers };
    let shared = Arc::new(shared(work, options));
    let workers = (0..count).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
    let mut server = Server { addresses, shared, workers, acceptor: None };
    let hands = server.workers.iter().map(Worker::hand).collect();
    server.acceptor = Some(accept::start(listeners, hands, server.shared.clone())?);
    Ok(server)
}

fn http(handler: Arc<dyn Handler>, limits: &Limits) -> Http {
    let mut http1 = http1::Builder::new();
    // Deadlines are those of crate::io, which need no timer for each request; and it tells hyper about the
    // end of a client's side only when it means that the client is gone.
    http1.header_read_timeout(None).max_header_size(limits.header_bytes);
    // Room for a pipelined request beside a head of the full size.
    http1.max_buf_size((limits.header_bytes * 2).max(64 << 10));
    if limits.headers != HEADERS_FREE {
        http1.max_headers(limits.headers);
    }
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.streams_reset_pending)
        .max_local_error_reset_streams(limits.streams_reset_local)
        .max_send_buf_size(limits.stream_send_bytes);
    Http { handler, http1, http2 }
}

fn shared(work: Work, options: Options) -> Shared {
    Shared {
        work,
        limits: options.limits,
        log: options.log,
        notices: options.notices,
        traffic: options.traffic,
        draining: AtomicBool::new(false),
        open: AtomicUsize::new(0),
        closed: (Mutex::new(()), Condvar::new()),
        stop: Notify::new(),
        reload: Notify::new(),
    }
}

impl Server {
    /// In the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open()
    }

    /// Looks at the certificates now, rather than within a second of their change.
    pub fn reload_certificates(&self) {
        self.shared.reload.notify_one();
    }

    /// Stops accepting, lets requests in flight end, tells clients to go (`Connection: close`, GOAWAY), and
    /// cuts what is left after `timeout`. Blocks; upgraded connections count too.
    pub fn drain(mut self, timeout: Duration) -> Drained {
        let deadline = Instant::now() + timeout;
        self.stop_accepting();
        for worker in &self.workers {
            worker.wake_all();
        }
        let (lock, closed) = &self.shared.closed;
        let mut held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.shared.open() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            held = closed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(held);
        let cut = self.shared.open();
        if cut > 0 {
            self.shared.notices.tell(&Notice::Cut(cut));
        }
        Drained { cut }
    }

    fn stop_accepting(&mut self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stop.notify_one();
        if let Some(acceptor) = self.acceptor.take() {
            // It ends at once; a panic in it was printed by then.
            let _ = acceptor.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
        // The workers end with their values.
    }
}
