//! One server of an upstream: whether it may get requests, how many it has, and its unused connections.

use super::http2::Shared;
use super::link::Link;
use super::shards::Shards;
use http::HeaderValue;
use rustls::pki_types::ServerName;
use sampan_app::{HealthCheck, Outlier};
use sampan_telemetry::ServerMetrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// An ejection grows with each that follows at once, up to so many times.
const EJECTIONS_MAX: u32 = 10;

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
    /// Failures in a row.
    failures: AtomicU32,
    /// 0: it is not left out.
    ejected_until_ms: AtomicU64,
    ejections: AtomicU32,
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
            failures: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
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
        let until = self.ejected_until_ms.load(Relaxed);
        if until == 0 {
            return false;
        }
        if now_ms() < until {
            return true;
        }
        if self.ejected_until_ms.compare_exchange(until, 0, Relaxed, Relaxed).is_ok() {
            self.show();
        }
        false
    }

    fn show(&self) {
        let well = self.healthy() && self.ejected_until_ms.load(Relaxed) == 0;
        self.metrics.healthy.set(well.into());
    }

    pub fn succeeded(&self) {
        // Most of the time there is nothing to write, and reading a line that nobody writes is free.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.ejections.load(Relaxed) != 0 && self.ejected_until_ms.load(Relaxed) == 0 {
            self.ejections.store(0, Relaxed);
        }
    }

    /// Whether these are too many failures in a row.
    pub fn failed(&self, outlier: &Outlier) -> bool {
        self.failures.fetch_add(1, Relaxed) + 1 >= outlier.failures
    }

    pub fn eject(&self, outlier: &Outlier, now_ms: u64) {
        let times = (self.ejections.fetch_add(1, Relaxed) + 1).min(EJECTIONS_MAX);
        let time_ms = u64::try_from(outlier.eject.as_millis()).unwrap_or(u64::MAX / 64);
        let until = now_ms.saturating_add(time_ms.saturating_mul(times.into())).max(1);
        self.failures.store(0, Relaxed);
        self.ejected_until_ms.store(until, Relaxed);
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
