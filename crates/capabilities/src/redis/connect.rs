//! One connection to a Redis server: look the name up, keep the permitted addresses, connect, start TLS, log in.
//!
//! Shared by the key-value store and by guests' own connections. The driver runs as a task of the runtime in
//! which the app's stores were opened, so that a guest that loops holds up nobody's connection.

use crate::http::connect::{race, system_tls};
use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Name look-up, connection, TLS and login together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A server, and how to log in there.
#[derive(Clone)]
pub struct Server {
    /// Empty for a socket file.
    pub host: String,
    pub port: u16,
    socket: Option<PathBuf>,
    tls: Option<Tls>,
    settings: RedisConnectionInfo,
}

#[derive(Clone)]
enum Tls {
    /// The machine's trusted roots.
    System,
    #[cfg_attr(not(test), allow(dead_code))]
    Own(Arc<rustls::ClientConfig>),
}

/// Why there is no connection. The texts name no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("no permitted address")]
    NotPermitted,
    #[error("{0}")]
    Unreachable(String),
    #[error("the server refused the login: {0}")]
    Login(String),
}

impl Server {
    /// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss` for TLS; `None` if it is not one.
    pub fn parse(url: &str) -> Option<Server> {
        let scheme = url.split_once("://")?.0;
        let is_one = ["redis", "rediss"].iter().any(|one| scheme.eq_ignore_ascii_case(one));
        if is_one { Server::parse_any(url) } else { None }
    }

    /// The same, and `unix://PATH`: for addresses that no guest has written.
    pub fn parse_any(url: &str) -> Option<Server> {
        let info = url.into_connection_info().ok()?;
        let settings = info.redis_settings().clone();
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port, None),
            // `#insecure` asks not to check the certificate.
            ConnectionAddr::TcpTls { insecure: true, .. } => return None,
            ConnectionAddr::TcpTls { host, port, .. } => (host, *port, Some(Tls::System)),
            ConnectionAddr::Unix(path) => {
                let socket = Some(path.clone());
                return Some(Server { host: String::new(), port: 0, socket, tls: None, settings });
            }
            _ => return None,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        (!host.is_empty() && port != 0).then_some(Server { host, port, socket: None, tls, settings })
    }

    /// The same server behind other roots of trust than the machine's.
    #[cfg(test)]
    pub fn trusting(mut self, config: rustls::ClientConfig) -> Server {
        self.tls = Some(Tls::Own(Arc::new(config)));
        self
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.settings.db()
    }

    /// For messages.
    pub fn shown(&self) -> String {
        if let Some(path) = &self.socket {
            return format!("unix://{}", path.display());
        }
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", self.port)
    }
}

/// A live connection. Dropping it closes it, whatever is under way.
pub struct Connection {
    pub redis: MultiplexedConnection,
    driver: AbortHandle,
    /// The other side's address.
    pub address: IpAddr,
    /// How many more bytes may be read.
    budget: Arc<AtomicU64>,
}

impl Connection {
    /// Connects by a task of `runtime`. `permit` says which of the found addresses may be connected to.
    pub async fn open(
        server: Server,
        runtime: &Handle,
        permit: impl FnOnce(&[IpAddr]) -> Vec<IpAddr> + Send + 'static,
    ) -> Result<Connection, ConnectError> {
        let late = silent(&server);
        // All of it belongs to that runtime: socket, timer and driver.
        let opening = async { tokio::time::timeout(CONNECT_TIMEOUT, connect(server, permit)).await };
        match runtime.spawn(opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(late),
            Err(_) => Err(ConnectError::Unreachable("the runtime of the stores has ended".to_owned())),
        }
    }

    /// Whether the other side is gone, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// The responses from here on may have so many bytes; after more, the connection fails.
    pub fn allow_bytes(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that receives what is published, and does nothing else. Must be called inside the runtime of
/// the drivers. Its time is bounded as that of every connection.
pub async fn subscriber(server: &Server) -> Result<PubSub, ConnectError> {
    let opening = async {
        let (stream, _) = dial(server, <[_]>::to_vec).await?;
        PubSub::new(&server.settings, stream).await.map_err(|error| not_ready(server, &error))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(silent(server)))
}

async fn connect(
    server: Server,
    permit: impl FnOnce(&[IpAddr]) -> Vec<IpAddr>,
) -> Result<Connection, ConnectError> {
    let (stream, address) = dial(&server, permit).await?;
    let budget = Arc::new(AtomicU64::new(u64::MAX));
    let stream = Bounded { stream, budget: Arc::clone(&budget) };
    // Times are limited by whoever sends a command, who knows what it is.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let made = MultiplexedConnection::new_with_config(&server.settings, stream, config).await;
    let (redis, driver) = made.map_err(|error| not_ready(&server, &error))?;
    let driver = tokio::spawn(driver).abort_handle();
    Ok(Connection { redis, driver, address, budget })
}

/// A socket, with TLS where it is wanted.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Everything before the protocol begins.
async fn dial(
    server: &Server,
    permit: impl FnOnce(&[IpAddr]) -> Vec<IpAddr>,
) -> Result<(Box<dyn Stream>, IpAddr), ConnectError> {
    let shown = server.shown();
    let unreachable =
        |why: &dyn std::fmt::Display| ConnectError::Unreachable(format!("cannot reach {shown}: {why}"));
    if let Some(path) = &server.socket {
        let stream = tokio::net::UnixStream::connect(path).await.map_err(|error| unreachable(&error))?;
        return Ok((Box::new(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let addresses: Vec<IpAddr> = found.map_err(|error| unreachable(&error))?.map(|one| one.ip()).collect();
    let permitted = permit(&addresses);
    if permitted.is_empty() {
        return Err(ConnectError::NotPermitted);
    }
    let tcp = race(permitted, server.port).await.map_err(|error| unreachable(&error))?;
    // Small commands should not wait for more to come; where this fails they are only slower.
    let _ = tcp.set_nodelay(true);
    let address = tcp.peer_addr().map_err(|error| unreachable(&error))?.ip();
    let Some(tls) = &server.tls else { return Ok((Box::new(tcp), address)) };
    let config = match tls {
        Tls::Own(config) => Arc::clone(config),
        Tls::System => {
            let shared = system_tls().await.map_err(|error| unreachable(&error))?;
            // They are made for HTTP, which negotiates its version; Redis does not.
            let mut config = rustls::ClientConfig::clone(&shared);
            config.alpn_protocols.clear();
            Arc::new(config)
        }
    };
    let name = ServerName::try_from(server.host.clone()).map_err(|error| unreachable(&error))?;
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(name, tcp).await.map_err(|error| unreachable(&error))?;
    Ok((Box::new(stream), address))
}

/// An error of the first commands on a connection.
fn not_ready(server: &Server, error: &RedisError) -> ConnectError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => ConnectError::Login(error.to_string()),
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            ConnectError::Login(error.to_string())
        }
        _ => {
            ConnectError::Unreachable(format!("{} is no Redis server, or not ready: {error}", server.shown()))
        }
    }
}

fn silent(server: &Server) -> ConnectError {
    let (shown, seconds) = (server.shown(), CONNECT_TIMEOUT.as_secs());
    ConnectError::Unreachable(format!("{shown} did not answer within {seconds} seconds"))
}

/// A stream that ends when more comes in than is allowed.
struct Bounded<S> {
    stream: S,
    budget: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        let left = self.budget.load(Ordering::Relaxed);
        if read > left {
            return Poll::Ready(Err(std::io::Error::other("the response is too large")));
        }
        self.budget.store(left - read, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
