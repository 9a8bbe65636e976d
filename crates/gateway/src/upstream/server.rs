//! One server of an upstream: whether it may get requests, how many it has, and its unused connections.

use super::http2::Shared;
use super::link::Link;
use super::outlier::{Ejected, Shown, Streaks};
use super::shards::Shards;
use http::HeaderValue;
use rustls::pki_types::ServerName;
use sampan_app::{HealthCheck, Outlier};
use sampan_telemetry::ServerMetrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering::Relaxed};
use tokio::sync::Semaphore;

pub struct Server {
    pub address: SocketAddr,
    /// `Some` where it speaks TLS: the name that its certificate must have.
    pub tls: Option<ServerName<'static>>,
    /// Its own name and port.
    pub host: HeaderValue,
    /// As in the manifest: which entry this address came from.
    pub entry: usize,
    pub weight: u32,
    pub idle: Shards<Box<Link>>,
    pub shared: Shards<Shared>,
    /// What it spoke last, where it may choose.
    pub speaks: AtomicU8,
    /// Who makes the first connection to a server that may speak HTTP/2; the others wait to share it.
    pub first: Semaphore,
    in_flight: AtomicU32,
    healthy: AtomicBool,
    /// Checks in a row that went well, or badly if it is negative.
    checks: AtomicI32,
    streaks: Streaks,
    metrics: ServerMetrics,
}

/// Values of [`Server::speaks`].
pub mod speaks {
    pub const UNKNOWN: u8 = 0;
    pub const HTTP1: u8 = 1;
    pub const HTTP2: u8 = 2;
}

/// A request that a server has.
pub struct InFlight(pub Arc<Server>);

impl Server {
    pub fn new(
        address: SocketAddr,
        entry: usize,
        weight: u32,
        tls: Option<ServerName<'static>>,
        host: HeaderValue,
        metrics: ServerMetrics,
    ) -> Server {
        metrics.healthy.set(1);
        Server {
            address,
            tls,
            host,
            entry,
            weight,
            idle: Shards::default(),
            shared: Shards::default(),
            speaks: AtomicU8::new(speaks::UNKNOWN),
            first: Semaphore::new(1),
            in_flight: AtomicU32::new(0),
            healthy: AtomicBool::new(true),
            checks: AtomicI32::new(0),
            streaks: Streaks::default(),
            metrics,
        }
    }

    #[cfg(test)]
    pub fn for_test(address: SocketAddr, weight: u32) -> Server {
        let metrics = sampan_telemetry::metrics().upstream("test", "test").server(&address.to_string());
        Server::new(address, 0, weight, None, HeaderValue::from_static("test"), metrics)
    }

    /// Whether checks found it well.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    pub fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Relaxed);
        self.show();
    }

    /// Takes in what a check found. They come one after the other.
    pub fn checked(&self, well: bool, health: &HealthCheck) {
        let before = self.checks.load(Relaxed);
        let streak = if well { before.max(0).saturating_add(1) } else { before.min(0).saturating_sub(1) };
        self.checks.store(streak, Relaxed);
        let enough = if well { health.healthy } else { health.unhealthy };
        if streak.unsigned_abs() >= enough && self.healthy() != well {
            self.set_healthy(well);
        }
    }

    /// Whether it may get requests.
    pub fn available(&self, now_ms: impl Fn() -> u64) -> bool {
        self.healthy() && !self.ejected(now_ms)
    }

    /// The clock is looked at only for those that were left out.
    pub fn ejected(&self, now_ms: impl Fn() -> u64) -> bool {
        let ejected = self.streaks.ejected(now_ms);
        if ejected == Ejected::JustOver {
            self.show();
        }
        ejected == Ejected::Yes
    }

    fn show(&self) {
        let well = self.healthy() && !self.streaks.is_ejected();
        self.metrics.healthy.set(well.into());
    }

    /// Whether requests have shown too many failures in a row.
    pub fn shows(&self, shown: Shown, outlier: &Outlier) -> bool {
        self.streaks.take(shown, outlier)
    }

    pub fn eject(&self, outlier: &Outlier, now_ms: u64) {
        self.streaks.eject(outlier, now_ms);
        self.metrics.ejections.inc();
        self.show();
    }

    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// Requests in flight for each unit of weight.
    pub fn load(&self) -> u64 {
        u64::from(self.in_flight.load(Relaxed)) * 1000 / u64::from(self.weight)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
