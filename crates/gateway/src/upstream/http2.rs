//! An HTTP/2 connection to a server, which many requests share. A task on the runtime that made it drives it.

use super::connect::{OpenOne, Stream};
use super::failure::Failure;
use super::link::Unanswered;
use super::timer::Timer;
use super::wait::Wait;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sampan_service::{Body, ViaConnection};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// A server with requests under way is asked for a sign of life this often, and given up after as long again.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// What may be on its way to us on one stream, and on all of a connection, before we have read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Requests at once on one connection before there is another; servers usually take no more (RFC 9113 §6.5.2
/// recommends to allow no fewer). Where one takes fewer, the others wait for their turn.
const STREAMS_MAX: u32 = 100;
/// What may wait to be sent on one stream.
const SEND_BYTES_MAX: usize = 256 << 10;

pub struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Arc<AtomicU32>,
    /// A request began on it then.
    pub since: Instant,
    about: Arc<ViaConnection>,
}

/// A request on a shared connection.
pub struct Share {
    sender: http2::SendRequest<Body>,
    streams: Arc<AtomicU32>,
    pub about: Arc<ViaConnection>,
}

impl Shared {
    pub async fn start(stream: Stream, about: Arc<ViaConnection>, open: OpenOne) -> Result<Shared, Failure> {
        let started = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await;
        let (sender, connection) = started.map_err(Failure::Reset)?;
        tokio::spawn(async move {
            // Its errors reach whoever waits for a response; it ends when nobody holds the sender.
            let _ = connection.await;
            drop(open);
        });
        Ok(Shared { sender, streams: Arc::default(), since: Instant::now(), about })
    }

    pub fn closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub fn unused(&self) -> bool {
        self.streams.load(Relaxed) == 0
    }

    /// A place on it, unless it has enough requests.
    pub fn share(&mut self, now: Instant) -> Option<Share> {
        if self.closed() || self.streams.load(Relaxed) >= STREAMS_MAX {
            return None;
        }
        self.since = now;
        Some(self.share_anyway())
    }

    /// A place on it, to wait for the server if need be.
    pub fn share_anyway(&self) -> Share {
        self.streams.fetch_add(1, Relaxed);
        Share { sender: self.sender.clone(), streams: self.streams.clone(), about: self.about.clone() }
    }
}

impl Share {
    /// Sends a request in absolute form and waits for the head of its response.
    pub async fn send(
        &mut self,
        request: Box<Request<Body>>,
        mut wait: Wait<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut timer = Timer::default();
        let mut response = pin!(self.sender.try_send_request(*request));
        poll_fn(|cx| {
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| wait.unanswered(error)));
            }
            let over = wait.poll(cx, &mut timer);
            over.map(|failure| Err(Unanswered { request: None, failure }))
        })
        .await
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Relaxed);
    }
}
