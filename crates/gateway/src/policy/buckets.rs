//! Token buckets of this process. A bucket is one number: when it will be full again (the generic cell rate
//! algorithm, ITU-T I.371), so that nothing has to refill it.

use super::slots::{Kept, Slots};
use sampan_app::{RateKey, RateLimit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Clients of one route that are told apart. Beyond that, those that asked least are forgotten first.
pub const KEYS_MAX: usize = 65_536;

/// What a limit says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Requests that may still come at once.
    pub remaining: u32,
    /// Until all may come at once again.
    pub reset: Duration,
    /// Until the next may come; 0 where this one was allowed.
    pub retry: Duration,
}

/// How fast buckets fill, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// For one request.
    each: u64,
    /// From empty to full.
    whole: u64,
}

impl Rate {
    /// Takes one request from a bucket that is full again at `full`; returns when it is then.
    fn take(self, full: u64, now: u64) -> (u64, Verdict) {
        let after = full.max(now).saturating_add(self.each);
        let lacking = after - now;
        let (full, lacking, retry) = match lacking.checked_sub(self.whole) {
            None | Some(0) => (after, lacking, 0),
            Some(over) => (full, full.max(now) - now, over),
        };
        let remaining = (self.whole - lacking.min(self.whole)) / self.each;
        let verdict = Verdict {
            allowed: retry == 0,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(lacking),
            retry: Duration::from_nanos(retry),
        };
        (full, verdict)
    }
}

/// The buckets of one limit.
pub struct Local {
    rate: Rate,
    began: Instant,
    buckets: Places,
}

enum Places {
    One(AtomicU64),
    Many(Slots<Bucket>),
}

/// When it is full again, in nanoseconds since the limit began.
#[derive(Clone, Copy, Default)]
struct Bucket(u64);

impl Kept for Bucket {
    fn worth(&self) -> u64 {
        self.0
    }
}

impl Local {
    pub fn new(limit: &RateLimit) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let each = (nanos(limit.per) / u64::from(limit.requests)).max(1);
        let buckets = match limit.key {
            RateKey::Route => Places::One(AtomicU64::new(0)),
            _ => Places::Many(Slots::new(KEYS_MAX)),
        };
        let whole = each.saturating_mul(limit.burst.into());
        Local { rate: Rate { each, whole }, began: Instant::now(), buckets }
    }

    /// Counts a request of the client with this key.
    pub fn take(&self, key: u64) -> Verdict {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match &self.buckets {
            Places::Many(slots) => slots.with(key, |bucket| {
                let (full, verdict) = self.rate.take(bucket.0, now);
                bucket.0 = full;
                verdict
            }),
            Places::One(bucket) => {
                let mut seen = bucket.load(Relaxed);
                loop {
                    let (full, verdict) = self.rate.take(seen, now);
                    match bucket.compare_exchange_weak(seen, full, Relaxed, Relaxed) {
                        Ok(_) => return verdict,
                        Err(other) => seen = other,
                    }
                }
            }
        }
    }
}

/// The buckets of an app's routes, kept over its versions: a reload does not give everybody a new start.
#[derive(Default)]
pub struct Buckets(Mutex<HashMap<String, Weak<Local>>>);

impl Buckets {
    /// Those of the limit of a route. They go with the last version that has the same limit.
    pub fn of(&self, route: &str, limit: &RateLimit) -> Arc<Local> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, local| local.strong_count() > 0);
        let kept = all.entry(format!("{route} {limit:?}")).or_default();
        kept.upgrade().unwrap_or_else(|| {
            let local = Arc::new(Local::new(limit));
            *kept = Arc::downgrade(&local);
            local
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_empties_and_fills() {
        // 2 a second, 3 at once.
        let rate = Rate { each: SECOND / 2, whole: SECOND * 3 / 2 };
        // When, and: allowed, remaining, reset and retry in milliseconds.
        let table = [
            (0, (true, 2, 500, 0)),
            (0, (true, 1, 1000, 0)),
            (0, (true, 0, 1500, 0)),
            (0, (false, 0, 1500, 500)),
            (SECOND / 4, (false, 0, 1250, 250)),
            (SECOND / 2, (true, 0, 1500, 0)),
            (SECOND / 2, (false, 0, 1500, 500)),
            (SECOND * 10, (true, 2, 500, 0)),
        ];
        let mut bucket = 0;
        for (row, (now, expected)) in table.into_iter().enumerate() {
            let (full, verdict) = rate.take(bucket, now);
            bucket = full;
            let Verdict { allowed, remaining, reset, retry } = verdict;
            assert_eq!((allowed, remaining, reset.as_millis(), retry.as_millis()), expected, "row {row}");
        }
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        for key in [RateKey::Route, RateKey::SourceIp] {
            let limit = RateLimit {
                requests: 100,
                per: Duration::from_secs(100_000),
                burst: 100,
                key,
                store: None,
                on_failure: sampan_app::OnFailure::Open,
            };
            let local = Local::new(&limit);
            let allowed = std::thread::scope(|scope| {
                let worker = || (0..100).filter(|_| local.take(7).allowed).count();
                let threads = [0; 4].map(|_| scope.spawn(worker));
                threads.map(|thread| thread.join().unwrap()).iter().sum::<usize>()
            });
            assert_eq!(allowed, 100);
        }
    }

    #[test]
    fn a_new_version_goes_on_with_the_buckets_of_the_same_limit() {
        let limit = |requests| RateLimit {
            requests,
            per: Duration::from_secs(1000),
            burst: 1,
            key: RateKey::Route,
            store: None,
            on_failure: sampan_app::OnFailure::Open,
        };
        let buckets = Buckets::default();
        let first = buckets.of("/a", &limit(1));
        assert!(first.take(0).allowed);
        assert!(!buckets.of("/a", &limit(1)).take(0).allowed);
        assert!(buckets.of("/a", &limit(2)).take(0).allowed);
        assert!(buckets.of("/b", &limit(1)).take(0).allowed);
        drop(first);
        assert!(buckets.of("/a", &limit(1)).take(0).allowed);
    }
}
