//! Whether a filter is worth asking: a breaker that opens where instances fail one after the other.

use sampan_telemetry::FilterMetrics;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many failures without a success between them are a crash loop.
const FAILURES: u32 = 5;
/// For so long nobody is sent to a filter that crashes in a loop: the first time, and at most. It doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An exchange cannot go on because its filter failed. What then becomes of it is said by `on_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Counts failures of one version of a filter.
pub struct Health {
    began: Instant,
    /// Since the last success.
    failures: AtomicU32,
    /// Milliseconds since `began`; 0 while the breaker is closed.
    open_until_ms: AtomicU64,
    /// All that began, and all that failed.
    exchanges: AtomicU64,
    failed: AtomicU64,
    metrics: FilterMetrics,
}

impl Health {
    pub fn new(metrics: FilterMetrics) -> Self {
        Health {
            began: Instant::now(),
            failures: AtomicU32::new(0),
            open_until_ms: AtomicU64::new(0),
            exchanges: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            metrics,
        }
    }

    /// Exchanges that began, and those that failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.exchanges.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Whether an exchange, which counts as begun, may ask the filter. After a pause, one at a time tries.
    pub fn admits(&self) -> bool {
        self.exchanges.fetch_add(1, Relaxed);
        let until = self.open_until_ms.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.now_ms();
        if now < until {
            return false;
        }
        // Whoever wins tries; until it is known how it went, the others wait for another pause.
        let next = now + self.pause().as_millis() as u64;
        self.open_until_ms.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// An exchange passed the filter.
    pub fn succeeded(&self) {
        // Usually only reads: the counter is shared by all workers.
        if self.failures.load(Relaxed) == 0 {
            return;
        }
        self.failures.store(0, Relaxed);
        if self.open_until_ms.swap(0, Relaxed) != 0 {
            self.metrics.breaker_open.set(0);
        }
    }

    /// An instance trapped, took too long, or could not be made.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures >= FAILURES {
            self.open_until_ms.store((self.now_ms() + self.pause().as_millis() as u64).max(1), Relaxed);
            self.metrics.breaker_open.set(1);
        }
    }

    fn pause(&self) -> Duration {
        let beyond = self.failures.load(Relaxed).saturating_sub(FAILURES).min(10);
        (PAUSE_FIRST * 2_u32.pow(beyond)).min(PAUSE_MAX)
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_opens_the_breaker_and_a_success_closes_it() {
        let health = Health::new(sampan_telemetry::metrics().filter("app", "crashes"));
        for _ in 1..FAILURES {
            health.failed();
            assert!(health.admits());
        }
        health.succeeded();
        for _ in 0..FAILURES {
            assert!(health.admits());
            health.failed();
        }
        assert!(!health.admits());
        while !health.admits() {
            std::thread::yield_now();
        }
        // One tries, the others wait.
        assert!(!health.admits());
        health.succeeded();
        assert!(health.admits());
        assert!(health.admits());
    }
}
