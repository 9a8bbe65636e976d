//! Making a connection to a server: TCP, TLS where it speaks it, and the version of HTTP that both know.

use super::exchange::Protocol;
use super::failure::Failure;
use super::http2::Shared;
use super::link::Link;
use super::server::{Server, speaks};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use sampan_app::{KeepAlive, UpstreamProtocol};
use sampan_service::{Handshake, ViaConnection};
use sampan_telemetry::Gauge;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How an upstream's connections are made.
pub struct Connector {
    pub protocol: UpstreamProtocol,
    pub timeout: Duration,
    pub keep_alive: KeepAlive,
    /// `None` where no server speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What we show to those that ask.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
    pub open: Arc<Open>,
}

/// How many connections are open.
pub struct Open {
    count: AtomicU32,
    gauge: Gauge,
}

/// One that is open, as long as this is kept.
pub struct OpenOne(Arc<Open>);

impl Open {
    pub fn new(gauge: Gauge) -> Arc<Open> {
        Arc::new(Open { count: AtomicU32::new(0), gauge })
    }

    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    pub fn enter(self: &Arc<Self>) -> OpenOne {
        self.count.fetch_add(1, Relaxed);
        self.gauge.inc();
        OpenOne(self.clone())
    }
}

impl Drop for OpenOne {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Relaxed);
        self.0.gauge.dec();
    }
}

/// What came of connecting.
pub enum Connected {
    Http1(Box<Link>),
    Http2(Shared),
}

impl Connected {
    pub fn protocol(&self, server: &Server) -> Protocol {
        match self {
            Connected::Http1(_) => Protocol::Http1,
            Connected::Http2(_) => Protocol::Http2 { tls: server.tls.is_some() },
        }
    }
}

impl Connector {
    /// Connects within the time for it.
    pub async fn connect(&self, server: &Server) -> Result<Connected, Failure> {
        let connected = timeout(self.timeout, async {
            let one = self.open.enter();
            let stream = self.stream(server).await?;
            let about = self.about(&stream);
            let http2 = match self.protocol {
                UpstreamProtocol::Http1 => false,
                UpstreamProtocol::H2 => true,
                UpstreamProtocol::Auto => stream.chose_http2(),
            };
            server.speaks.store(if http2 { speaks::HTTP2 } else { speaks::HTTP1 }, Relaxed);
            if http2 {
                Shared::start(stream, about, one).await.map(Connected::Http2)
            } else {
                Link::start(stream, about, one).await.map(|link| Connected::Http1(Box::new(link)))
            }
        });
        connected.await.unwrap_or(Err(Failure::ConnectTime(self.timeout)))
    }

    fn about(&self, stream: &Stream) -> Arc<ViaConnection> {
        let (tcp, handshake) = match stream {
            Stream::Plain(tcp) => (tcp, None),
            Stream::Tls(tls) => {
                let (tcp, connection) = tls.get_ref();
                // rustls does not tell whether the server has asked for it.
                (tcp, Some(Handshake::of(connection, None, self.certificate.clone())))
            }
        };
        Arc::new(ViaConnection { local: tcp.local_addr().ok(), handshake })
    }

    async fn stream(&self, server: &Server) -> Result<Stream, Failure> {
        let tcp = tcp(server.address).await.map_err(Failure::Connect)?;
        let (Some(name), Some(config)) = (&server.tls, &self.tls) else { return Ok(Stream::Plain(tcp)) };
        let tls = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await;
        tls.map(|tls| Stream::Tls(Box::new(tls))).map_err(Failure::Tls)
    }
}

pub async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Small requests should not wait for more to come; where this fails they are only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// A connection in the clear or within TLS.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn chose_http2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
