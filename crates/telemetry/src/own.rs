//! Metrics that guests define themselves: a bounded number, by the app's name and theirs, for the life of the
//! process.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// A guest that puts a client's input into names must not fill the memory, nor whoever scrapes.
const METRICS_MAX: usize = 4096;
const NAME_MAX: usize = 256;

/// Upper bounds of a histogram's buckets; guests observe whole numbers, as a rule milliseconds or bytes.
const BUCKETS: [u64; 16] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000, 600_000, 3_600_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

#[derive(Debug)]
pub struct Metric {
    pub kind: Kind,
    app: String,
    name: String,
    /// The value, or a histogram's sum.
    value: AtomicI64,
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
}

#[derive(Default)]
struct All {
    metrics: Vec<Arc<Metric>>,
    numbers: HashMap<(String, String, Kind), u32>,
}

static ALL: LazyLock<RwLock<All>> = LazyLock::new(RwLock::default);

/// The number of a metric, made where there is none of that name and kind. `None`: there are too many.
pub fn define(app: &str, name: &str, kind: Kind) -> Option<u32> {
    let key = (app.to_owned(), sanitised(name), kind);
    if let Some(number) = ALL.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&key) {
        return Some(*number);
    }
    let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = all.numbers.get(&key) {
        return Some(*number);
    }
    if all.metrics.len() >= METRICS_MAX {
        return None;
    }
    let number = all.metrics.len() as u32;
    all.metrics.push(Arc::new(Metric {
        kind,
        app: key.0.clone(),
        name: key.1.clone(),
        value: AtomicI64::new(0),
        buckets: Default::default(),
        count: AtomicU64::new(0),
    }));
    all.numbers.insert(key, number);
    Some(number)
}

pub fn find(number: u32) -> Option<Arc<Metric>> {
    ALL.read().unwrap_or_else(PoisonError::into_inner).metrics.get(number as usize).cloned()
}

impl Metric {
    pub fn add(&self, by: i64) {
        self.value.fetch_add(by, Relaxed);
    }

    pub fn set(&self, value: i64) {
        self.value.store(value, Relaxed);
    }

    pub fn observe(&self, value: u64) {
        self.value.fetch_add(i64::try_from(value).unwrap_or(i64::MAX), Relaxed);
        self.count.fetch_add(1, Relaxed);
        if let Some(at) = BUCKETS.iter().position(|bound| value <= *bound) {
            self.buckets[at].fetch_add(1, Relaxed);
        }
    }

    pub fn value(&self) -> i64 {
        self.value.load(Relaxed)
    }

    fn render(&self, name: &str, text: &mut String) -> std::fmt::Result {
        let (app, value) = (&self.app, self.value());
        match self.kind {
            Kind::Counter => writeln!(text, "{name}_total{{app=\"{app}\"}} {value}"),
            Kind::Gauge => writeln!(text, "{name}{{app=\"{app}\"}} {value}"),
            Kind::Histogram => {
                let mut below = 0;
                for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
                    below += bucket.load(Relaxed);
                    writeln!(text, "{name}_bucket{{app=\"{app}\",le=\"{bound}\"}} {below}")?;
                }
                let count = self.count.load(Relaxed);
                writeln!(text, "{name}_bucket{{app=\"{app}\",le=\"+Inf\"}} {count}")?;
                writeln!(text, "{name}_sum{{app=\"{app}\"}} {value}\n{name}_count{{app=\"{app}\"}} {count}")
            }
        }
    }
}

/// Adds them to a text of OpenMetrics. Names begin with `wasmcustom`, as in Envoy.
pub(crate) fn render(text: &mut String) {
    let mut metrics = ALL.read().unwrap_or_else(PoisonError::into_inner).metrics.clone();
    // A name's samples must follow each other.
    metrics.sort_by(|a, b| (&a.name, a.kind as u8, &a.app).cmp(&(&b.name, b.kind as u8, &b.app)));
    let mut last: Option<(&str, Kind)> = None;
    for metric in &metrics {
        // One name of two kinds would be no valid text: the kind tells them apart.
        let twice = metrics.iter().any(|other| other.name == metric.name && other.kind != metric.kind);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let suffix = if twice { format!("_{kind}") } else { String::new() };
        let name = format!("sampan_wasmcustom_{}{suffix}", metric.name);
        // Writing to a string fails never.
        if last != Some((&metric.name, metric.kind)) {
            let _ = writeln!(text, "# TYPE {name} {kind}");
        }
        let _ = metric.render(&name, text);
        last = Some((&metric.name, metric.kind));
    }
}

/// What Prometheus allows.
fn sanitised(name: &str) -> String {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().take(NAME_MAX).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_metrics_are_in_the_text_once_each() {
        let counter = define("own", "my.requests-total", Kind::Counter).unwrap();
        assert_eq!(define("own", "my.requests-total", Kind::Counter), Some(counter));
        find(counter).unwrap().add(3);
        find(define("own", "level", Kind::Gauge).unwrap()).unwrap().set(-4);
        let sizes = find(define("own", "sizes", Kind::Histogram).unwrap()).unwrap();
        [1, 7, u64::MAX].into_iter().for_each(|value| sizes.observe(value));
        let text = crate::metrics().render();
        for line in [
            "# TYPE sampan_wasmcustom_my_requests_total counter",
            r#"sampan_wasmcustom_my_requests_total_total{app="own"} 3"#,
            r#"sampan_wasmcustom_level{app="own"} -4"#,
            r#"sampan_wasmcustom_sizes_bucket{app="own",le="10"} 2"#,
            r#"sampan_wasmcustom_sizes_bucket{app="own",le="+Inf"} 3"#,
            r#"sampan_wasmcustom_sizes_count{app="own"} 3"#,
        ] {
            assert_eq!(text.lines().filter(|one| *one == line).count(), 1, "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
