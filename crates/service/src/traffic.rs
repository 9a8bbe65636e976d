//! How many bytes went over the network: for containers, which are asked for it.

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Linux takes no more pieces in a call (`UIO_MAXIOV`, `sendmsg(2)`).
const PIECES_MAX: usize = 1024;

/// What sockets were given and gave: with heads and TLS, without the headers of TCP, UDP and IP.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Received and sent, until now.
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }
}

/// A connection whose bytes are counted, if anybody asks for it.
pub struct CountedTcp {
    stream: TcpStream,
    traffic: Option<Arc<Traffic>>,
}

impl CountedTcp {
    pub fn new(stream: TcpStream, traffic: Option<Arc<Traffic>>) -> Self {
        CountedTcp { stream, traffic }
    }

    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    /// By a call for sockets: what a process writes otherwise, the system counts as written to files
    /// (`proc_pid_io(5)`, `wchar`), which containers are asked for too.
    fn poll_send(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut control = SendAncillaryBuffer::default();
                Ok(sendmsg(&self.stream, bufs, &mut control, SendFlags::NOSIGNAL)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn note_sent(&self, result: &Poll<io::Result<usize>>) {
        if let (Some(traffic), Poll::Ready(Ok(count))) = (&self.traffic, result) {
            traffic.sent(*count);
        }
    }
}

impl AsyncRead for CountedTcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(traffic) = &this.traffic {
            traffic.received(buf.filled().len() - before);
        }
        result
    }
}

impl AsyncWrite for CountedTcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.note_sent(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.traffic.is_none() {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        }
        let result = this.poll_send(cx, &bufs[..bufs.len().min(PIECES_MAX)]);
        this.note_sent(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn counts_both_directions_and_every_way_to_write() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(transfer());
    }

    async fn transfer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let traffic = Arc::<Traffic>::default();
        let mut client = CountedTcp::new(client, Some(traffic.clone()));

        client.write_all(b"three").await.unwrap();
        let pieces = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(client.write_vectored(&pieces).await.unwrap(), 6);
        assert_eq!(client.write_vectored(&vec![IoSlice::new(b"x"); 2 * PIECES_MAX]).await.unwrap(), 1024);
        let mut text = vec![0; 5 + 6 + 1024];
        server.read_exact(&mut text).await.unwrap();
        assert_eq!(&text[..12], b"threeonetwox");
        assert_eq!(traffic.bytes(), (0, 1035));

        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!((answer.len(), traffic.bytes()), (6, (6, 1035)));
    }
}
