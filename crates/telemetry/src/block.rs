//! What is measured of Dapr's building blocks: calls to components and apps, and events that came from brokers and
//! bindings.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Seconds. Memory answers within microseconds, a database within milliseconds.
const BUCKETS: [f64; 12] =
    [0.00001, 0.000025, 0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Component {
    app: String,
    block: &'static str,
    component: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    app: String,
    block: &'static str,
    component: String,
    outcome: &'static str,
}

/// The metrics of all building blocks.
pub(crate) struct Blocks {
    calls: Family<Outcome, Counter>,
    durations: Family<Component, Histogram, fn() -> Histogram>,
    events: Family<Outcome, Counter>,
}

impl Default for Blocks {
    fn default() -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        Blocks { calls: Family::default(), durations, events: Family::default() }
    }
}

impl Blocks {
    pub fn register(&self, r: &mut Registry) {
        let calls = self.calls.clone();
        r.register("dapr_calls", "Calls to components and apps, retries not counted, by outcome", calls);
        let durations = self.durations.clone();
        r.register_with_unit(
            "dapr_call_duration",
            "Of such a call, retries included",
            Unit::Seconds,
            durations,
        );
        let events = self.events.clone();
        r.register("dapr_events", "Deliveries of brokers and bindings, by outcome", events);
    }

    pub fn of(&self, app: &str, block: &'static str, component: &str) -> BlockMetrics {
        let labels = Component { app: app.to_owned(), block, component: component.to_owned() };
        let counter = |family: &Family<Outcome, Counter>, outcome| {
            let Component { app, block, component } = labels.clone();
            family.get_or_create_owned(&Outcome { app, block, component, outcome })
        };
        BlockMetrics {
            ok: counter(&self.calls, "ok"),
            refused: counter(&self.calls, "refused"),
            failed: counter(&self.calls, "failed"),
            durations: self.durations.get_or_create_owned(&labels),
            events_ok: counter(&self.events, "ok"),
            events_retry: counter(&self.events, "retry"),
            events_dropped: counter(&self.events, "dropped"),
        }
    }
}

/// The counters of one component, or of one app that is invoked.
#[derive(Clone, Debug)]
pub struct BlockMetrics {
    ok: Counter,
    refused: Counter,
    failed: Counter,
    durations: Histogram,
    /// Deliveries that the app took.
    pub events_ok: Counter,
    /// Deliveries that are to come again.
    pub events_retry: Counter,
    /// Deliveries that were given up.
    pub events_dropped: Counter,
}

impl BlockMetrics {
    /// A call ended; `error` has the status of HTTP that it was answered with instead of a result.
    pub fn called(&self, error: Option<u16>, duration: Duration) {
        let counter = match error {
            None => &self.ok,
            Some(400..500) => &self.refused,
            Some(_) => &self.failed,
        };
        counter.inc();
        self.durations.observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn a_refused_call_is_no_failed_one() {
        let store = metrics().block("blocks-test", "state", "statestore");
        store.called(None, Duration::from_micros(20));
        store.called(Some(409), Duration::from_micros(20));
        store.called(Some(500), Duration::from_secs(1));
        store.called(Some(500), Duration::from_secs(1));
        store.events_dropped.inc();
        let text = metrics().render();
        let labels = r#"{app="blocks-test",block="state",component="statestore""#;
        for (name, outcome, count) in [
            ("calls", "ok", 1),
            ("calls", "refused", 1),
            ("calls", "failed", 2),
            ("events", "ok", 0),
            ("events", "dropped", 1),
        ] {
            let line = format!("sampan_dapr_{name}_total{labels},outcome=\"{outcome}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains(&format!("sampan_dapr_call_duration_seconds_count{labels}}} 4\n")), "{text}");
    }
}
