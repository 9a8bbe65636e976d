//! An upstream: a handler that hands requests on to servers.
//!
//! `exchange.rs` has the life of one request, `lease.rs` where its connection comes from, `cluster.rs` which server
//! gets it, `tend.rs` what is done beside requests.

mod body;
mod cluster;
mod connect;
mod exchange;
mod expect;
mod failure;
mod gate;
mod headers;
mod http2;
mod lease;
mod link;
mod outlier;
mod server;
mod shards;
mod tcp;
mod tend;
mod timer;
mod trace;
mod tunnel;
mod wait;

pub use tcp::TcpLink;
pub use tend::{Lookup, system_lookup};

use arc_swap::ArcSwap;
use cluster::{Cluster, hash};
use connect::{Connector, Open};
use failure::Failure;
use gate::Gate;
use http::Request;
use http::header::{COOKIE, HeaderValue};
use outlier::Shown;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use sampan_app::{Balance, HashKey, RetryOn, UpstreamProtocol};
use sampan_service::{Answer, Body, ClientTls, Handler, Peer, TlsError, TlsFiles};
use sampan_telemetry::{UpstreamMetrics, metrics};
use server::Server;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use trace::Watch;

/// A start waits for names no longer than this; what is found later is used from then on.
const FIRST_LOOKUP: Duration = Duration::from_secs(3);

/// Servers that requests are handed on to. Dropping it ends what it does beside requests.
pub struct Upstream {
    inner: Arc<Inner>,
    tasks: Vec<AbortHandle>,
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("`{0}` cannot be the name in a certificate")]
    ServerName(String),
}

impl UpstreamError {
    /// What a person can do about it.
    pub fn help(&self) -> String {
        match self {
            UpstreamError::Tls(error) => error.help(),
            UpstreamError::ServerName(_) => {
                "name the host that the server's certificate is for as `server_name`".to_owned()
            }
        }
    }
}

struct Inner {
    name: Arc<str>,
    spec: sampan_app::Upstream,
    cluster: ArcSwap<Cluster>,
    gate: Arc<Gate>,
    connector: Connector,
    metrics: UpstreamMetrics,
    /// The time of one attempt until its response.
    silence: Duration,
    /// Whether a request may be sent again after a server has seen it.
    retries_late: bool,
    lookup: Lookup,
    /// Of each entry of the manifest. Who holds it is the one who makes a new cluster.
    addresses: Mutex<Vec<Vec<SocketAddr>>>,
    /// Held while a server is left out, so that there are never too many.
    ejecting: Mutex<()>,
    epoch: Instant,
}

impl Upstream {
    /// Makes an upstream of an app. What it does beside requests runs on `runtime`; the future may be awaited
    /// anywhere on it.
    pub async fn start(
        app: &str,
        spec: &sampan_app::Upstream,
        runtime: &Handle,
    ) -> Result<Upstream, UpstreamError> {
        Upstream::start_with(app, spec, runtime, system_lookup()).await
    }

    /// The same with another way to look names up.
    pub async fn start_with(
        app: &str,
        spec: &sampan_app::Upstream,
        runtime: &Handle,
        lookup: Lookup,
    ) -> Result<Upstream, UpstreamError> {
        let inner = Arc::new(Inner::new(app, spec, lookup)?);
        inner.resolved(std::iter::empty());
        let mut tasks = Vec::new();
        let mut run = |task: tokio::task::JoinHandle<()>| tasks.push(task.abort_handle());
        if spec.servers.iter().any(|server| server.host.parse::<IpAddr>().is_err()) {
            let first = inner.clone();
            let first = runtime.spawn(async move { tend::look_up(&first).await });
            // One that takes longer goes on by itself.
            let _ = timeout(FIRST_LOOKUP, first).await;
            run(runtime.spawn(tend::look_up_again(Arc::downgrade(&inner), spec.dns)));
        }
        if let Some(health) = &spec.health {
            run(runtime.spawn(tend::check_again(Arc::downgrade(&inner), health.clone())));
        }
        run(runtime.spawn(tend::sweep_again(Arc::downgrade(&inner), spec.keep_alive.idle)));
        Ok(Upstream { inner, tasks })
    }

    /// The servers that may get requests now.
    pub fn available(&self) -> Vec<SocketAddr> {
        let now_ms = || self.inner.now_ms();
        let cluster = self.inner.cluster.load();
        let well = cluster.servers.iter().filter(|server| server.available(now_ms));
        well.map(|server| server.address).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Handler for Upstream {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let metrics = &self.inner.metrics;
            let mut watch = Watch::new(&self.inner, &request);
            let answered = exchange::run(&self.inner, request, &mut watch.trace).await;
            let via = watch.ended(answered.as_ref().err());
            let mut response = answered.unwrap_or_else(|failure| {
                metrics.failed(failure.reason());
                failure.respond()
            });
            response.extensions_mut().insert(via);
            metrics.answered(response.status().as_u16());
            response
        })
    }
}

impl Inner {
    fn new(app: &str, spec: &sampan_app::Upstream, lookup: Lookup) -> Result<Inner, UpstreamError> {
        let metrics = metrics().upstream(app, &spec.name);
        let (config, certificate) = tls(spec)?.unzip();
        let certificate = certificate.flatten();
        let connector = Connector {
            protocol: spec.protocol,
            timeout: spec.timeouts.connect,
            keep_alive: spec.keep_alive.clone(),
            tls: config,
            certificate: certificate.map(Arc::new),
            open: Open::new(metrics.connections.clone()),
        };
        let addresses = spec.servers.iter().map(|server| {
            let literal = server.host.parse().ok();
            literal.map(|ip| SocketAddr::new(ip, server.port)).into_iter().collect()
        });
        let late = |on: &RetryOn| *on != RetryOn::Connect;
        Ok(Inner {
            name: spec.name.as_str().into(),
            cluster: ArcSwap::from_pointee(Cluster::new(Vec::new(), &spec.balance)),
            gate: Gate::new(&spec.limits, spec.protocol == UpstreamProtocol::Http1),
            connector,
            metrics,
            silence: spec.retry.timeout.unwrap_or(spec.timeouts.first_byte),
            retries_late: spec.retry.attempts > 1 && spec.retry.on.iter().any(late),
            lookup,
            addresses: Mutex::new(addresses.collect()),
            ejecting: Mutex::new(()),
            epoch: Instant::now(),
            spec: spec.clone(),
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A server for a request; `avoid` has just failed.
    fn pick(&self, key: Option<u64>, avoid: Option<&Server>) -> Result<Arc<Server>, Failure> {
        let cluster = self.cluster.load();
        let picked = cluster.pick(&self.spec.balance, key, avoid, || self.now_ms());
        picked.cloned().ok_or(Failure::NoServer)
    }

    /// What a ring goes by.
    fn key(&self, request: &Request<Body>) -> Option<u64> {
        let Balance::RingHash(key) = &self.spec.balance else { return None };
        match key {
            HashKey::Path => Some(hash(request.uri().path().as_bytes())),
            HashKey::SourceIp => request.extensions().get::<Peer>().map(|peer| ip_key(peer.address.ip())),
            HashKey::Header(name) => request.headers().get(name).map(|value| hash(value.as_bytes())),
            HashKey::Cookie(name) => {
                let lines = request.headers().get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
                let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|one| one.split_once('='));
                let found = pairs.find(|(key, _)| key.trim() == name);
                found.map(|(_, value)| hash(value.trim().as_bytes()))
            }
        }
    }

    /// A request has shown something of a server; one that fails too often is left out, but not too many of them.
    fn saw(&self, server: &Arc<Server>, shown: Shown) {
        let Some(outlier) = &self.spec.outlier else { return };
        if !server.shows(shown, outlier) {
            return;
        }
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.now_ms();
        let cluster = self.cluster.load();
        let all = cluster.servers.len();
        let out = cluster.servers.iter().filter(|one| one.ejected(|| now_ms)).count();
        let room = (out + 1) * 100 <= all * outlier.most_percent as usize || (out == 0 && all > 1);
        if !server.ejected(|| now_ms) && room {
            server.eject(outlier, now_ms);
        }
    }

    /// Takes in the addresses of some entries. Servers that stay keep what is known of them.
    fn resolved(&self, found: impl Iterator<Item = (usize, Vec<SocketAddr>)>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for (entry, found) in found {
            addresses[entry] = found;
        }
        let before = self.cluster.load();
        let all =
            addresses.iter().enumerate().flat_map(|(entry, all)| all.iter().map(move |one| (entry, *one)));
        let all: Vec<(usize, SocketAddr)> = all.collect();
        if all.iter().copied().eq(before.servers.iter().map(|server| (server.entry, server.address))) {
            return;
        }
        let servers = all.into_iter().map(|(entry, address)| {
            let same = before.servers.iter().find(|one| one.entry == entry && one.address == address);
            same.cloned().unwrap_or_else(|| Arc::new(self.server(entry, address)))
        });
        self.cluster.store(Arc::new(Cluster::new(servers.collect(), &self.spec.balance)));
    }

    fn server(&self, entry: usize, address: SocketAddr) -> Server {
        let spec = &self.spec.servers[entry];
        let default_port = if spec.tls { 443 } else { 80 };
        let name = if spec.host.contains(':') { format!("[{}]", spec.host) } else { spec.host.clone() };
        let host = if spec.port == default_port { name } else { format!("{name}:{}", spec.port) };
        // The manifest's reader let only names and addresses through.
        let host = HeaderValue::from_str(&host).unwrap_or(HeaderValue::from_static("localhost"));
        let tls = if spec.tls { server_name(&self.spec, &spec.host).ok() } else { None };
        let metrics = self.metrics.server(&address.to_string());
        Server::new(address, entry, spec.weight, tls, host, metrics)
    }
}

/// Of IPv6 the network: a client of a /64 has all its addresses.
fn ip_key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash(&ip.octets()),
        IpAddr::V6(ip) => hash(&ip.octets()[..8]),
    }
}

fn server_name(spec: &sampan_app::Upstream, host: &str) -> Result<ServerName<'static>, UpstreamError> {
    let name = spec.tls.server_name.as_deref().unwrap_or(host);
    let plain = name.strip_suffix('.').unwrap_or(name).to_owned();
    ServerName::try_from(plain).map_err(|_| UpstreamError::ServerName(name.to_owned()))
}

/// What we show to servers.
type Certificate = Option<CertificateDer<'static>>;

/// `None` where no server speaks TLS.
fn tls(spec: &sampan_app::Upstream) -> Result<Option<(Arc<ClientConfig>, Certificate)>, UpstreamError> {
    let mut secure = spec.servers.iter().filter(|server| server.tls).peekable();
    if secure.peek().is_none() {
        return Ok(None);
    }
    for server in secure {
        server_name(spec, &server.host)?;
    }
    let alpn: &[&[u8]] = match spec.protocol {
        UpstreamProtocol::Http1 => &[b"http/1.1"],
        UpstreamProtocol::H2 => &[b"h2"],
        UpstreamProtocol::Auto => &[b"h2", b"http/1.1"],
    };
    let client = spec.tls.client.as_ref();
    let config = ClientTls {
        ca: spec.tls.ca.clone(),
        client: client.map(|files| TlsFiles { cert: files.cert.clone(), key: files.key.clone() }),
        insecure: spec.tls.insecure,
        alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(),
    };
    Ok(Some((Arc::new(config.config()?), config.certificate()?)))
}
