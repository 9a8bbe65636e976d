//! What is measured of upstreams.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Upstream {
    app: String,
    upstream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    app: String,
    upstream: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    app: String,
    upstream: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Server {
    app: String,
    upstream: String,
    server: String,
}

/// The metrics of all upstreams.
#[derive(Default)]
pub(crate) struct Upstreams {
    requests: Family<Status, Counter>,
    connections: Family<Upstream, Gauge>,
    retries: Family<Upstream, Counter>,
    ejections: Family<Server, Counter>,
    failures: Family<Reason, Counter>,
    healthy: Family<Server, Gauge>,
    /// How many hold the handles of a server: two, while one version of an app takes over from another.
    holders: Mutex<HashMap<Server, usize>>,
}

impl Upstreams {
    pub fn register(&self, r: &mut Registry) {
        let requests = self.requests.clone();
        r.register("upstream_requests", "Requests by upstream and class of the answer's status", requests);
        let connections = self.connections.clone();
        r.register("upstream_connections", "Connections to servers that are open", connections);
        r.register("upstream_retries", "Requests that were sent once more", self.retries.clone());
        let ejections = self.ejections.clone();
        r.register("upstream_ejections", "Times that a server was left out because it failed", ejections);
        let failures = self.failures.clone();
        r.register("upstream_failures", "Requests without a whole answer of a server, by reason", failures);
        let healthy = self.healthy.clone();
        r.register("upstream_server_healthy", "1 while a server may get requests", healthy);
    }

    pub fn of(&'static self, app: &str, upstream: &str) -> UpstreamMetrics {
        let labels = Upstream { app: app.to_owned(), upstream: upstream.to_owned() };
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|status| {
            let Upstream { app, upstream } = labels.clone();
            self.requests.get_or_create_owned(&Status { app, upstream, status })
        });
        UpstreamMetrics {
            classes,
            connections: self.connections.get_or_create_owned(&labels),
            retries: self.retries.get_or_create_owned(&labels),
            all: self,
            labels,
        }
    }
}

/// The counters of one upstream.
pub struct UpstreamMetrics {
    classes: [Counter; 5],
    pub connections: Gauge,
    pub retries: Counter,
    all: &'static Upstreams,
    labels: Upstream,
}

impl UpstreamMetrics {
    /// A request was answered, by a server or for it.
    pub fn answered(&self, status: u16) {
        self.classes[usize::from(status / 100).clamp(1, 5) - 1].inc();
    }

    /// A server gave no whole answer, or none was asked: `connect`, `reset`, `no_server`, `queue_full`, …
    pub fn failed(&self, reason: &'static str) {
        let Upstream { app, upstream } = self.labels.clone();
        self.all.failures.get_or_create(&Reason { app, upstream, reason }).inc();
    }

    /// The handles of one server.
    pub fn server(&self, server: &str) -> ServerMetrics {
        let Upstream { app, upstream } = self.labels.clone();
        let labels = Server { app, upstream, server: server.to_owned() };
        *self
            .all
            .holders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(labels.clone())
            .or_default() += 1;
        ServerMetrics {
            healthy: self.all.healthy.get_or_create_owned(&labels),
            ejections: self.all.ejections.get_or_create_owned(&labels),
            all: self.all,
            labels,
        }
    }
}

/// The counters of one server. They are shown for as long as somebody has them.
pub struct ServerMetrics {
    pub healthy: Gauge,
    pub ejections: Counter,
    all: &'static Upstreams,
    labels: Server,
}

impl Drop for ServerMetrics {
    fn drop(&mut self) {
        let mut holders = self.all.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = holders.get_mut(&self.labels) else { return };
        *count -= 1;
        if *count == 0 {
            holders.remove(&self.labels);
            self.all.healthy.remove(&self.labels);
            self.all.ejections.remove(&self.labels);
        }
    }
}
