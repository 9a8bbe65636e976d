//! Two connections that became one: bytes are carried both ways until both sides have ended, one breaks, or
//! nothing was said for too long.

use super::gate::Permit;
use super::lease::{Carrier, Lease};
use futures::future::{select, try_join};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::sleep;

pub async fn join(client: OnUpgrade, server: OnUpgrade, mut lease: Lease, permit: Permit, silence: Duration) {
    if let Carrier::Http1(link) = &mut lease.carrier {
        // hyper hands the connection over with its last step.
        link.until_ended().await;
    }
    if let Ok((client, server)) = try_join(client, server).await {
        let moved = Arc::new(AtomicBool::new(true));
        let mut client = Watched { io: TokioIo::new(client), moved: moved.clone() };
        let mut server = TokioIo::new(server);
        let both = pin!(copy_bidirectional(&mut client, &mut server));
        // A connection that breaks is nobody's error here: both sides see it.
        select(both, pin!(until_silent(&moved, silence))).await;
    }
    drop((lease, permit));
}

/// Up to twice the time may pass before silence is noticed: nothing is measured when bytes move.
async fn until_silent(moved: &AtomicBool, silence: Duration) {
    while moved.swap(false, Relaxed) {
        sleep(silence).await;
    }
}

/// Every byte of a tunnel is read from the client or written to it.
struct Watched<T> {
    io: T,
    moved: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.moved.store(true, Relaxed);
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        self.moved.store(true, Relaxed);
        Poll::Ready(wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
