//! The metrics of this process, as Prometheus reads them (text format of OpenMetrics 1.0).

use crate::block::{BlockMetrics, Blocks};
use crate::tcp::{Tcp, TcpMetrics};
use crate::upstream::{UpstreamMetrics, Upstreams};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};
use std::sync::LazyLock;
use std::time::Duration;

/// Seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Component {
    app: String,
    component: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    app: String,
    component: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    app: String,
    route: String,
    to: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    app: String,
    route: String,
    to: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Filter {
    app: String,
    filter: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FilterReason {
    app: String,
    filter: String,
    reason: &'static str,
}

/// Everything that is measured.
pub struct Metrics {
    registry: Registry,
    /// Connections that are open now.
    pub connections: Gauge,
    /// Connections that were closed at once because there were too many.
    pub connections_refused: Counter,
    /// Lines of the access log that were not written: its thread or the disk could not take them.
    pub log_lines_dropped: Counter,
    /// Requests that a rate limit could not count because its store was down.
    pub requests_uncounted: Counter,
    requests: Family<Status, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    created: Family<Component, Counter>,
    reused: Family<Component, Counter>,
    live: Family<Component, Gauge>,
    waiting: Family<Component, Gauge>,
    traps: Family<Reason, Counter>,
    refusals: Family<Reason, Counter>,
    filter_exchanges: Family<Filter, Counter>,
    filter_instances: Family<Filter, Gauge>,
    filter_failures: Family<FilterReason, Counter>,
    filter_breakers: Family<Filter, Gauge>,
    upstreams: Upstreams,
    tcp: Tcp,
    blocks: Blocks,
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let mut all = Metrics {
            registry: Registry::with_prefix("sampan"),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            log_lines_dropped: Counter::default(),
            requests_uncounted: Counter::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            created: Family::default(),
            reused: Family::default(),
            live: Family::default(),
            waiting: Family::default(),
            traps: Family::default(),
            refusals: Family::default(),
            filter_exchanges: Family::default(),
            filter_instances: Family::default(),
            filter_failures: Family::default(),
            filter_breakers: Family::default(),
            upstreams: Upstreams::default(),
            tcp: Tcp::default(),
            blocks: Blocks::default(),
        };
        let r = &mut all.registry;
        r.register("connections", "Connections that are open", all.connections.clone());
        let refused = all.connections_refused.clone();
        r.register("connections_refused", "Connections closed because there were too many", refused);
        let dropped = all.log_lines_dropped.clone();
        r.register("log_lines_dropped", "Lines of the access log that could not be written", dropped);
        let uncounted = all.requests_uncounted.clone();
        r.register("requests_uncounted", "Requests that no rate limit could count", uncounted);
        r.register("requests", "Requests by route and class of status", all.requests.clone());
        let durations = all.durations.clone();
        r.register_with_unit("request_duration", "Until the response's headers", Unit::Seconds, durations);
        r.register("instances_created", "Guest instances that were created", all.created.clone());
        r.register(
            "instances_reused",
            "Requests served by an instance that had served another",
            all.reused.clone(),
        );
        r.register("instances_live", "Guest instances that exist", all.live.clone());
        r.register("requests_waiting", "Requests that wait for an instance", all.waiting.clone());
        r.register("guest_failures", "Guests that were ended, by reason", all.traps.clone());
        r.register("refusals", "Requests that were refused before a guest saw them", all.refusals.clone());
        r.register("filter_exchanges", "Exchanges that a filter saw", all.filter_exchanges.clone());
        r.register("filter_instances_live", "Instances of a filter that exist", all.filter_instances.clone());
        let failures = all.filter_failures.clone();
        r.register("filter_failures", "Instances of a filter that were ended, by reason", failures);
        let breakers = all.filter_breakers.clone();
        r.register("filter_breaker_open", "1 while a filter that crashes in a loop is not asked", breakers);
        all.upstreams.register(r);
        all.tcp.register(r);
        all.blocks.register(r);
        all
    }

    /// The handles of one filter.
    pub fn filter(&self, app: &str, filter: &str) -> FilterMetrics {
        let labels = Filter { app: app.to_owned(), filter: filter.to_owned() };
        FilterMetrics {
            exchanges: self.filter_exchanges.get_or_create_owned(&labels),
            live: self.filter_instances.get_or_create_owned(&labels),
            breaker_open: self.filter_breakers.get_or_create_owned(&labels),
            labels,
        }
    }

    /// The handles of one upstream.
    pub fn upstream(&'static self, app: &str, upstream: &str) -> UpstreamMetrics {
        self.upstreams.of(app, upstream)
    }

    /// The handles of one TCP route, by its address and upstream.
    pub fn tcp(&'static self, app: &str, listen: &str, to: &str) -> TcpMetrics {
        self.tcp.of(app, listen, to)
    }

    /// The handles of one component of Dapr's; `block` is its building block: `state`, `pubsub`, …
    pub fn block(&self, app: &str, block: &'static str, component: &str) -> BlockMetrics {
        self.blocks.of(app, block, component)
    }

    /// The handles of one component.
    pub fn component(&self, app: &str, component: &str) -> ComponentMetrics {
        let labels = Component { app: app.to_owned(), component: component.to_owned() };
        ComponentMetrics {
            created: self.created.get_or_create_owned(&labels),
            reused: self.reused.get_or_create_owned(&labels),
            live: self.live.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            labels,
        }
    }

    /// The handles of one route; `to` is the name of what answers.
    pub fn route(&self, app: &str, route: &str, to: &str) -> RouteMetrics {
        let labels = Route { app: app.to_owned(), route: route.to_owned(), to: to.to_owned() };
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|status| {
            let Route { app, route, to } = labels.clone();
            self.requests.get_or_create_owned(&Status { app, route, to, status })
        });
        RouteMetrics { classes, durations: self.durations.get_or_create_owned(&labels) }
    }

    /// The text that a scrape gets; its media type is `application/openmetrics-text; version=1.0.0`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails never.
        let _ = encode(&mut text, &self.registry);
        const END: &str = "# EOF\n";
        let end = text.ends_with(END);
        text.truncate(text.len() - if end { END.len() } else { 0 });
        crate::own::render(&mut text);
        text.push_str(END);
        text
    }
}

/// The counters of one component.
#[derive(Clone, Debug)]
pub struct ComponentMetrics {
    pub created: Counter,
    pub reused: Counter,
    pub live: Gauge,
    pub waiting: Gauge,
    labels: Component,
}

impl ComponentMetrics {
    /// A guest was ended: `trap`, `timeout`, `cpu`, `memory`, `exit`, …
    pub fn failed(&self, reason: &'static str) {
        metrics().traps.get_or_create(&self.reason(reason)).inc();
    }

    /// A request was refused: `queue_full`, `queue_timeout`, `body_too_large`, …
    pub fn refused(&self, reason: &'static str) {
        metrics().refusals.get_or_create(&self.reason(reason)).inc();
    }

    fn reason(&self, reason: &'static str) -> Reason {
        let Component { app, component } = self.labels.clone();
        Reason { app, component, reason }
    }
}

/// The counters of one filter.
#[derive(Clone, Debug)]
pub struct FilterMetrics {
    pub exchanges: Counter,
    pub live: Gauge,
    pub breaker_open: Gauge,
    labels: Filter,
}

impl FilterMetrics {
    /// An instance was ended: `trap`, `timeout`, `cpu`, `memory`, …
    pub fn failed(&self, reason: &'static str) {
        let Filter { app, filter } = self.labels.clone();
        metrics().filter_failures.get_or_create(&FilterReason { app, filter, reason }).inc();
    }
}

/// The counters of one route.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    classes: [Counter; 5],
    durations: Histogram,
}

impl RouteMetrics {
    pub fn observe(&self, status: u16, duration: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.classes[class].inc();
        self.durations.observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_what_was_counted() {
        let component = metrics().component("shop", "api");
        component.created.inc();
        component.failed("trap");
        metrics().route("shop", "/a/...", "api").observe(204, Duration::from_millis(3));
        let text = metrics().render();
        assert!(text.contains(r#"sampan_instances_created_total{app="shop",component="api"} 1"#), "{text}");
        assert!(text.contains(r#"sampan_guest_failures_total{app="shop",component="api",reason="trap"} 1"#));
        assert!(text.contains(r#"sampan_requests_total{app="shop",route="/a/...",to="api",status="2xx"} 1"#));
        assert!(text.contains("sampan_request_duration_seconds_count"));
    }
}
