//! Making a connection: look the name up, keep the permitted addresses, connect to one of those very
//! addresses, start TLS and HTTP. There is no second look-up, so a name that changes cannot slip through.

use super::policy::{Policy, Target};
use super::pool::Sender;
use super::{Body, Error, MAX_RESPONSE_HEAD_BYTES};
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{DnsName, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sampan_service::{CountedTcp, Traffic};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// Addresses of one name that are tried; a name with more is served as well by these.
const MAX_ADDRESSES: usize = 16;
/// The head start of each address before the next one is tried too (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Name look-ups of one guest at once: each occupies a thread, even when nobody waits for it any more.
pub const MAX_LOOKUPS: usize = 16;
/// An HTTP/2 connection with requests under way is asked for a sign of life this often, and given up after
/// as long again.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// What a door needs to connect.
pub struct Connector {
    lookups: Arc<Semaphore>,
    /// `None`: the system's trusted roots, loaded at the first TLS connection of the process.
    tls: Option<Arc<ClientConfig>>,
    /// Where the bytes of its connections are counted, if anybody asks for it.
    pub traffic: OnceLock<Arc<Traffic>>,
}

impl Connector {
    pub fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Connector { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)), tls, traffic: OnceLock::new() }
    }

    /// Connects to a target whose origin was checked.
    pub async fn connect(
        &self,
        policy: &Policy,
        target: &Target,
        deadline: Instant,
    ) -> Result<Sender, Error> {
        let addresses = match target.address() {
            Some(address) => vec![address],
            None => {
                let lookup = timeout_at(deadline, self.look_up(target.host.clone()));
                lookup.await.map_err(|_| Error::DnsTimeout)??
            }
        };
        let permitted = policy.permitted(target, &addresses)?;
        let connected = timeout_at(deadline, async {
            let tcp = race(permitted, target.port).await?;
            // Small requests should not wait for more to come; where this fails they are only slower.
            let _ = tcp.set_nodelay(true);
            let tcp = CountedTcp::new(tcp, self.traffic.get().cloned());
            if target.tls { self.start_tls(target, tcp).await } else { start_http1(tcp).await }
        });
        connected.await.map_err(|_| Error::ConnectTimeout)?
    }

    async fn look_up(&self, host: String) -> Result<Vec<IpAddr>, Error> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| Error::LimitReached)?;
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (host.as_str(), 0)
                .to_socket_addrs()
                .map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
        });
        let found =
            lookup.await.map_err(|_| Error::Configuration("the name look-up was ended".to_owned()))?;
        let mut addresses = found.map_err(|error| Error::Dns(error.to_string()))?;
        if addresses.is_empty() {
            return Err(Error::Dns("the name has no address".to_owned()));
        }
        addresses.dedup();
        Ok(addresses)
    }

    async fn start_tls(&self, target: &Target, tcp: CountedTcp) -> Result<Sender, Error> {
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => system_tls().await?,
        };
        let name = server_name(target)?;
        let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(|e| Error::from_tls(&e))?;
        match tls.get_ref().1.alpn_protocol() {
            Some(b"h2") => start_http2(tls).await,
            _ => start_http1(tls).await,
        }
    }
}

/// The name that the server's certificate must have.
fn server_name(target: &Target) -> Result<ServerName<'static>, Error> {
    match target.address() {
        Some(address) => Ok(ServerName::from(address)),
        None => DnsName::try_from(target.host.trim_end_matches('.').to_owned())
            .map(ServerName::from)
            .map_err(|_| Error::BadUri),
    }
}

/// Connects to the first address that answers: one after the other, each with a head start, families
/// alternating (RFC 8305), so that a broken IPv6 route costs a quarter of a second and not the timeout.
pub async fn race(addresses: Vec<IpAddr>, port: u16) -> Result<TcpStream, Error> {
    let mut waiting = interleave(addresses);
    let mut trying = FuturesUnordered::new();
    let mut failure = Error::Unroutable;
    loop {
        if let Some(address) = waiting.pop_front() {
            trying.push(TcpStream::connect(SocketAddr::new(address, port)));
        }
        let next = if waiting.is_empty() {
            trying.next().await
        } else {
            match select(trying.next(), pin!(tokio::time::sleep(HEAD_START))).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => continue,
            }
        };
        match next {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = Error::from_connect(&error),
            None => return Err(failure),
        }
    }
}

/// Alternates the families, beginning with that of the first address, which the system prefers.
fn interleave(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::with_capacity(one.len() + other.len());
    while !(one.is_empty() && other.is_empty()) {
        mixed.extend(one.pop_front());
        mixed.extend(other.pop_front());
    }
    mixed.truncate(MAX_ADDRESSES);
    mixed
}

async fn start_http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Error> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_RESPONSE_HEAD_BYTES)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| Error::from_exchange(&error))?;
    // Its errors reach whoever waits for a response; it ends when nobody holds the sender.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Sender::Http1(sender))
}

async fn start_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Error> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_RESPONSE_HEAD_BYTES as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| Error::from_exchange(&error))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Sender::Http2(sender))
}

/// TLS with the roots that this machine trusts (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`). Reading
/// them takes milliseconds and megabytes, so it happens once a process, and only when TLS is used.
pub async fn system_tls() -> Result<Arc<ClientConfig>, Error> {
    static SHARED: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    let load = || async {
        let loaded = tokio::task::spawn_blocking(load_system_roots).await;
        let roots = loaded.map_err(|error| Error::Configuration(error.to_string()))??;
        client_config(roots).map(Arc::new)
    };
    SHARED.get_or_try_init(load).await.map(Arc::clone)
}

fn load_system_roots() -> Result<RootCertStore, Error> {
    let roots = sampan_service::system_roots();
    roots.map_err(|error| Error::Configuration(format!("{error}; {}", error.help())))
}

/// TLS 1.2 and 1.3 with HTTP/2 preferred, trusting `roots`.
pub fn client_config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Configuration(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
