//! Connections that are handed over as they are: the seam to whoever serves them.

use crate::connection;
use crate::handler::Peer;
use crate::handshake::Handshake;
use crate::line::Line;
use crate::tls::Identity;
use crate::wire::Stream;
use crate::worker::Slot;
use futures::future::BoxFuture;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whatever serves connections that speak a protocol of their own.
pub trait TcpHandler: Send + Sync {
    /// Serves a connection until either side ends it. It runs on the connection's worker; when the server's
    /// time to drain is over, it is dropped.
    fn serve(&self, connection: TcpConnection) -> BoxFuture<'_, ()>;
}

/// A client's connection; in the clear, because TLS ends here.
pub struct TcpConnection {
    pub peer: Peer,
    /// Where TLS has ended here.
    pub handshake: Option<Arc<Handshake>>,
    stream: Stream,
    /// It is counted until it is dropped.
    _slot: Slot,
}

/// Serves a connection. It may rest at the beginning: in some protocols the server speaks first.
pub(crate) async fn run(
    stream: TcpStream,
    line: Arc<Line>,
    slot: Slot,
    tls: Option<Arc<Identity>>,
    handler: &dyn TcpHandler,
) {
    let limit = line.shared.limits.header_timeout;
    let open = connection::open(stream, &line, tls);
    let begun = tokio::time::timeout(limit, connection::unless_draining(&line, open));
    let Ok(Some(Some(stream))) = begun.await else { return };
    handler
        .serve(TcpConnection {
            peer: line.peer,
            handshake: line.handshake.get().cloned(),
            stream,
            _slot: slot,
        })
        .await;
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}
