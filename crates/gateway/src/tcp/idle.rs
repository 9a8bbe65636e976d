//! A client's connection that knows when bytes moved, so that one on which nothing does can be closed. Everything
//! that is carried goes through the client's side, so it is enough to look at that.

use sampan_telemetry::TcpMetrics;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

pub struct Idle<'a, S> {
    stream: S,
    metrics: &'a TcpMetrics,
    moved: Moved,
}

/// When something moved: milliseconds since the beginning. Not a lock, because its one writer and its one reader
/// are in the same task.
#[derive(Clone)]
pub struct Moved {
    began: Instant,
    at: Arc<AtomicU64>,
}

impl Moved {
    pub fn new() -> Self {
        Moved { began: Instant::now(), at: Arc::default() }
    }

    pub fn note(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(elapsed, Relaxed);
    }

    /// Ends when nothing has moved for so long. The timer fires once in that time at most.
    pub async fn rests(self, idle: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.at.load(Relaxed));
            let Some(deadline) = last.checked_add(idle) else { return std::future::pending().await };
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

impl<'a, S> Idle<'a, S> {
    pub fn new(stream: S, metrics: &'a TcpMetrics) -> Self {
        Idle { stream, metrics, moved: Moved::new() }
    }

    /// Ends when nothing has moved for so long.
    pub fn watch(&self, idle: Duration) -> impl Future<Output = ()> + use<S> {
        self.moved.clone().rests(idle)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.note();
            self.metrics.received(buf.filled().len() - before);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = &wrote {
            self.moved.note();
            self.metrics.sent(*count);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
