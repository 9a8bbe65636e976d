//! Servers that requests are handed on to, and how.

use ipnet::IpNet;
use std::path::PathBuf;
use std::time::Duration;

/// One `[upstream.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub name: String,
    pub servers: Vec<UpstreamServer>,
    pub balance: Balance,
    pub protocol: UpstreamProtocol,
    pub tls: UpstreamTls,
    /// Asked on its own; `None`: servers are taken to be well until requests fail.
    pub health: Option<HealthCheck>,
    pub outlier: Option<Outlier>,
    pub retry: Retry,
    pub timeouts: UpstreamTimeouts,
    pub limits: UpstreamLimits,
    pub keep_alive: KeepAlive,
    /// Names are looked up again after this time.
    pub dns: Duration,
    pub host: HostHeader,
    /// Clients of these networks are proxies whose word about their clients is believed.
    pub trust_forwarded: Vec<IpNet>,
    pub forwarded: Forwarded,
    /// Whether messages carry the header `Via`.
    pub via: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub weight: u32,
}

/// Which server gets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, as often as their weights say.
    #[default]
    RoundRobin,
    /// The one with fewer requests of two that are drawn.
    LeastRequest,
    /// The same one for the same key, as long as it is there.
    RingHash(HashKey),
}

/// What a ring's key is. A request without it goes to servers in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// Lower case.
    Header(String),
    Cookie(String),
    SourceIp,
    Path,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    H2,
    /// HTTP/2 where a TLS server chooses it, else HTTP/1.1.
    Auto,
}

/// How servers prove themselves, and we to them. Files are in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may have signed the servers' certificates, in place of the machine's own.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub client: Option<crate::Tls>,
    /// The name that certificates must have; `None`: the server's own.
    pub server_name: Option<String>,
    /// Any certificate will do.
    pub insecure: bool,
}

/// A request that asks a server whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// With the query.
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// So many good answers in a row bring a server back.
    pub healthy: u32,
    /// So many bad ones take it away.
    pub unhealthy: u32,
    /// First and last of each range of good statuses.
    pub status: Vec<(u16, u16)>,
    /// The header `Host`; `None`: the server's own.
    pub host: Option<String>,
}

/// When requests themselves show that a server is ill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// So many times in a row without an answer, or with 502, 503 or 504. `None`: this does not count.
    pub failures: Option<u32>,
    /// So many times in a row without an answer, or with any 5xx.
    pub errors: Option<u32>,
    /// So many times in a row without an answer, which then counts for neither of the above.
    pub unreachable: Option<u32>,
    /// It gets no requests for so long; twice, three times … as long when that happens again at once.
    pub eject: Duration,
    /// But no longer than this.
    pub eject_max: Duration,
    /// Of 100 servers, no more are left out at once; of several, one always may be.
    pub most_percent: u32,
}

/// What is asked again. Nothing is that could happen twice by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first one included.
    pub attempts: u32,
    pub on: Vec<RetryOn>,
    /// Of 100 requests in flight, so many may be retries; a few always may.
    pub budget_percent: u32,
    /// The time of one attempt until its response's head; `None`: `timeouts.first_byte`.
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// The server could not be reached.
    Connect,
    /// The connection ended before the response.
    Reset,
    /// No response in time.
    Timeout,
    /// A response with this status.
    Status(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the response.
    pub first_byte: Duration,
    /// Between two pieces of a response's body.
    pub idle: Duration,
    /// From the request's beginning to the response's end.
    pub total: Option<Duration>,
    /// A connection that was upgraded may be silent for so long.
    pub tunnel: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Open connections to all servers together.
    pub connections: u32,
    /// Requests in flight.
    pub requests: u32,
    /// Requests that may wait for one of these.
    pub queue: u32,
    pub queue_time: Duration,
}

/// What becomes of connections after a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How many unused ones each worker keeps for each server; 0: none.
    pub connections: u32,
    /// An unused one is closed after this time.
    pub idle: Duration,
    /// It is closed after so many requests; `None`: never.
    pub requests: Option<u32>,
}

/// The header `Host` that servers see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    #[default]
    Client,
    /// The server's name and port.
    Server,
    Fixed(String),
}

/// How servers are told who asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    #[default]
    X,
    /// `Forwarded` (RFC 7239).
    Standard,
    Both,
    Off,
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            name: String::new(),
            servers: Vec::new(),
            balance: Balance::default(),
            protocol: UpstreamProtocol::default(),
            tls: UpstreamTls::default(),
            health: None,
            outlier: Some(Outlier::default()),
            retry: Retry::default(),
            timeouts: UpstreamTimeouts::default(),
            limits: UpstreamLimits::default(),
            keep_alive: KeepAlive::default(),
            dns: Duration::from_secs(30),
            host: HostHeader::default(),
            trust_forwarded: Vec::new(),
            forwarded: Forwarded::default(),
            via: false,
        }
    }
}

impl HealthCheck {
    /// With defaults for everything else.
    pub fn new(path: impl Into<String>) -> Self {
        HealthCheck {
            path: path.into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy: 2,
            unhealthy: 3,
            status: vec![(200, 399)],
            host: None,
        }
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Outlier {
            failures: Some(5),
            errors: None,
            unreachable: None,
            eject: Duration::from_secs(30),
            eject_max: Duration::from_secs(300),
            most_percent: 50,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 2, on: vec![RetryOn::Connect, RetryOn::Reset], budget_percent: 20, timeout: None }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        UpstreamTimeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: None,
            tunnel: Duration::from_secs(3600),
        }
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        UpstreamLimits { connections: 1024, requests: 1024, queue: 1024, queue_time: Duration::from_secs(5) }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive { connections: 64, idle: Duration::from_secs(60), requests: None }
    }
}
