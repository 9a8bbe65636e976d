//! What is measured of TCP routes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    app: String,
    listen: String,
    to: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct End {
    app: String,
    listen: String,
    to: String,
    end: &'static str,
}

/// The metrics of all TCP routes.
#[derive(Default)]
pub(crate) struct Tcp {
    open: Family<Route, Gauge>,
    ended: Family<End, Counter>,
    received: Family<Route, Counter>,
    sent: Family<Route, Counter>,
}

impl Tcp {
    pub fn register(&self, r: &mut Registry) {
        r.register("tcp_connections", "Connections of a TCP route that are open", self.open.clone());
        r.register("tcp_connections_ended", "Connections of a TCP route, by their end", self.ended.clone());
        r.register("tcp_received_bytes", "Bytes from clients of a TCP route", self.received.clone());
        r.register("tcp_sent_bytes", "Bytes to clients of a TCP route", self.sent.clone());
    }

    pub fn of(&'static self, app: &str, listen: &str, to: &str) -> TcpMetrics {
        let labels = Route { app: app.to_owned(), listen: listen.to_owned(), to: to.to_owned() };
        TcpMetrics {
            open: self.open.get_or_create_owned(&labels),
            received: self.received.get_or_create_owned(&labels),
            sent: self.sent.get_or_create_owned(&labels),
            all: self,
            labels,
        }
    }
}

/// The counters of one TCP route.
pub struct TcpMetrics {
    open: Gauge,
    received: Counter,
    sent: Counter,
    all: &'static Tcp,
    labels: Route,
}

impl TcpMetrics {
    pub fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.inc_by(bytes as u64);
    }

    /// A connection begins.
    pub fn begin(&self) -> OpenConnection<'_> {
        self.open.inc();
        OpenConnection { metrics: self, end: "cut" }
    }
}

/// A connection that is open until this is dropped; if nothing is said before, it was cut.
pub struct OpenConnection<'a> {
    metrics: &'a TcpMetrics,
    end: &'static str,
}

impl OpenConnection<'_> {
    pub fn end(mut self, end: &'static str) {
        self.end = end;
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.metrics.open.dec();
        let Route { app, listen, to } = self.metrics.labels.clone();
        self.metrics.all.ended.get_or_create(&End { app, listen, to, end: self.end }).inc();
    }
}
