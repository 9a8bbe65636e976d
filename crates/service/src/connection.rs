//! One connection from handshake to end.

use crate::exchange;
use crate::handshake::Handshake;
use crate::line::Line;
use crate::server::{Http, Work};
use crate::tcp;
use crate::tls::Identity;
use crate::traffic::CountedTcp;
use crate::wire::{Stream, Wire};
use crate::worker::Slot;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most requests' heads fit.
const FIRST_READ: usize = 1024;

/// Serves a connection until either side ends it. Errors are the client's, and it knows them.
pub(crate) async fn run(stream: TcpStream, line: Arc<Line>, slot: Slot, tls: Option<Arc<Identity>>) {
    let shared = line.shared.clone();
    let http = match &shared.work {
        Work::Http(http) => http,
        Work::Tcp(handler) => return tcp::run(stream, line, slot, tls, &**handler).await,
    };
    let limit = line.shared.limits.header_timeout;
    let begun = timeout(limit, unless_draining(&line, begin(stream, &line, tls))).await;
    let Ok(Some(Some((stream, first, http2)))) = begun else { return };
    let wire = Wire::new(stream, first, line.clone(), slot, !http2);
    if http2 {
        line.http2.store(true, Relaxed);
        serve_http2(wire, &line, http).await;
    } else {
        serve_http1(wire, &line, http).await;
    }
}

/// The connection, behind its handshake.
pub(crate) async fn open(stream: TcpStream, line: &Line, tls: Option<Arc<Identity>>) -> Option<Stream> {
    let stream = tokio::net::TcpStream::from_std(stream).ok()?;
    let stream = CountedTcp::new(stream, line.shared.traffic.clone());
    let Some(identity) = tls else { return Some(Stream::Plain(stream)) };
    let stream = TlsAcceptor::from(identity.config.clone()).accept(stream).await.ok()?;
    let connection = stream.get_ref().1;
    let asked = connection.server_name().map(str::to_owned);
    // A connection has one handshake.
    let _ = line.handshake.set(Handshake::of(connection, asked, Some(identity.certificate.clone())));
    Some(Stream::Tls(Box::new(stream)))
}

/// The handshake and the first bytes, which say what the client speaks.
async fn begin(
    stream: TcpStream,
    line: &Line,
    tls: Option<Arc<Identity>>,
) -> Option<(Stream, Vec<u8>, bool)> {
    let mut stream = match open(stream, line, tls).await? {
        Stream::Plain(stream) => stream,
        Stream::Tls(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Some((Stream::Tls(stream), Vec::new(), http2));
        }
    };
    let mut first = Vec::with_capacity(FIRST_READ);
    loop {
        if stream.read_buf(&mut first).await.ok()? == 0 {
            return None;
        }
        let known = first.len().min(PREFACE.len());
        let different = first[..known] != PREFACE[..known];
        if different || known == PREFACE.len() {
            return Some((Stream::Plain(stream), first, !different));
        }
    }
}

/// `None` when the server drains: nothing has been asked for on this connection.
pub(crate) async fn unless_draining<T>(line: &Line, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut registered = false;
    poll_fn(|cx| {
        if !registered {
            // A task's waker stays the same, so once is enough for all that follows in this task.
            registered = true;
            line.register(cx);
        }
        if line.shared.draining() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn serve_http1(wire: Wire, line: &Arc<Line>, http: &Http) {
    let service = service_fn(|request| exchange::answer(line.clone(), request));
    let mut connection = pin!(http.http1.serve_connection(TokioIo::new(wire), service).with_upgrades());
    let mut told = false;
    poll_fn(|cx| {
        if !told && line.shared.draining() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

async fn serve_http2(wire: Wire, line: &Arc<Line>, http: &Http) {
    let context = line.clone();
    let service = service_fn(move |request| exchange::answer(context.clone(), request));
    let mut connection = pin!(http.http2.serve_connection(TokioIo::new(wire), service));
    let mut rest = Rest::new(line);
    let mut told = false;
    poll_fn(|cx| {
        let found = rest.poll(cx, line, told);
        if found == Found::Stalled || (found == Found::Idle && told) {
            // It takes nothing, or it was told to go, has nothing in flight, and does not close.
            return Poll::Ready(());
        }
        if !told && (found == Found::Idle || line.shared.draining()) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Finds out that an HTTP/2 connection has had nothing to do for long, or does not take its responses, by looking
/// now and then: this costs next to nothing for each request.
struct Rest {
    sleep: Pin<Box<Sleep>>,
    /// The requests at the last look.
    seen: u32,
    /// Since when looks have found nothing.
    since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Busy,
    Idle,
    Stalled,
}

impl Rest {
    fn new(line: &Line) -> Self {
        // The first request is to come within the time for a head.
        let sleep = Box::pin(sleep(line.shared.limits.header_timeout));
        Rest { sleep, seen: 0, since: Some(Instant::now()) }
    }

    /// What a look finds; idle is also who was told to go, or has never asked for anything, within the time of
    /// a head.
    fn poll(&mut self, cx: &mut Context<'_>, line: &Line, told: bool) -> Found {
        let limits = &line.shared.limits;
        while self.sleep.as_mut().poll(cx).is_ready() {
            let (now, requests) = (Instant::now(), line.requests());
            if line.look() {
                return Found::Stalled;
            }
            let resting = requests == self.seen && line.streams.load(Relaxed) == 0;
            self.since = self.since.filter(|_| resting).or(resting.then_some(now));
            self.seen = requests;
            let allowed = if told || requests == 0 { limits.header_timeout } else { limits.keep_alive };
            let idle = self.since.is_some_and(|since| now - since >= allowed);
            let shortest = limits.write_stall.min(limits.keep_alive / 2);
            let next = if told || idle { limits.header_timeout.min(shortest) } else { shortest };
            // Even if everything is unlimited, a look each day does no harm.
            self.sleep.as_mut().reset(now + next.min(Duration::from_secs(86_400)));
            if idle {
                return Found::Idle;
            }
        }
        Found::Busy
    }
}
