//! One connection from handshake to end.

use crate::exchange;
use crate::line::Line;
use crate::wire::{Stream, Wire};
use crate::worker::Slot;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::future::poll_fn;
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most requests' heads fit.
const FIRST_READ: usize = 1024;

/// Serves a connection until either side ends it. Errors are the client's, and it knows them.
pub(crate) async fn run(stream: TcpStream, line: Arc<Line>, slot: Slot, tls: Option<Arc<ServerConfig>>) {
    let limit = line.shared.limits.header_timeout;
    let begun = timeout(limit, unless_draining(&line, begin(stream, tls))).await;
    let Ok(Some(Some((stream, first, http2)))) = begun else { return };
    let wire = Wire::new(stream, first, line.clone(), slot, !http2);
    if http2 {
        line.http2.store(true, Relaxed);
        serve_http2(wire, &line).await;
    } else {
        serve_http1(wire, &line).await;
    }
}

/// The handshake and the first bytes, which say what the client speaks.
async fn begin(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Option<(Stream, Vec<u8>, bool)> {
    let mut stream = tokio::net::TcpStream::from_std(stream).ok()?;
    if let Some(config) = tls {
        let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        return Some((Stream::Tls(Box::new(stream)), Vec::new(), http2));
    }
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
async fn unless_draining<T>(line: &Line, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        line.register(cx);
        if line.shared.draining() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn serve_http1(wire: Wire, line: &Arc<Line>) {
    let service = service_fn(|request| exchange::answer(line.clone(), request));
    let mut connection =
        pin!(line.shared.http1.serve_connection(TokioIo::new(wire), service).with_upgrades());
    let mut told = false;
    poll_fn(|cx| {
        line.register(cx);
        if !told && line.shared.draining() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

async fn serve_http2(wire: Wire, line: &Arc<Line>) {
    let context = line.clone();
    let service = service_fn(move |request| exchange::answer(context.clone(), request));
    let mut connection = pin!(line.shared.http2.serve_connection(TokioIo::new(wire), service));
    let mut rest = Rest::new(line);
    let mut told = false;
    poll_fn(|cx| {
        line.register(cx);
        let idle = rest.poll(cx, line, told);
        if idle && told {
            // The client was told to go, has nothing in flight, and does not close.
            return Poll::Ready(());
        }
        if !told && (idle || line.shared.draining()) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Finds out that an HTTP/2 connection has had nothing to do for long, by looking now and then: this costs
/// nothing for each request.
struct Rest {
    sleep: Pin<Box<Sleep>>,
    /// The requests at the last look.
    seen: u32,
    /// Looks in a row that found nothing.
    rests: u8,
}

impl Rest {
    fn new(line: &Line) -> Self {
        // The first request is to come within the time for a head.
        Rest { sleep: Box::pin(sleep(line.shared.limits.header_timeout)), seen: 0, rests: 0 }
    }

    /// Whether the connection has been idle for the time allowed, or for the time of a head where the client
    /// was told to go or has never asked for anything.
    fn poll(&mut self, cx: &mut Context<'_>, line: &Line, told: bool) -> bool {
        let limits = &line.shared.limits;
        while self.sleep.as_mut().poll(cx).is_ready() {
            let requests = line.requests();
            let resting = requests == self.seen && line.streams.load(Relaxed) == 0;
            self.rests = if resting { self.rests.saturating_add(1) } else { 0 };
            self.seen = requests;
            let idle = self.rests > 1 || (self.rests == 1 && (told || requests == 0));
            let next = if told || idle { limits.header_timeout } else { limits.keep_alive / 2 };
            self.sleep.as_mut().reset(Instant::now() + next);
            if idle {
                return true;
            }
        }
        false
    }
}
