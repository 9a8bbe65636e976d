//! Limits that processes share: requests are counted in a key-value store, window by window. Of the window
//! before counts the share that the last `per` still covers ("sliding window counter").
//!
//! A request that is let in costs one operation of the store. The first of a client in a window costs two more;
//! one that is refused makes this process refuse the client's next ones by itself until there is room again.

use super::buckets::{KEYS_MAX, Verdict};
use super::slots::{Kept, Slots};
use futures::future::BoxFuture;
use sampan_app::RateLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A store that does not answer in time is down.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// A store that was down is not asked again for so long, so that not every request waits for it.
const PAUSE: Duration = Duration::from_secs(1);
/// What the clocks of processes may differ.
const SKEW: Duration = Duration::from_secs(60);

/// Numbers that processes share, which the composition root makes of a key-value store. Errors are for a person.
pub trait Counters: Send + Sync {
    /// Puts 0 where nothing is, for so long.
    fn begin(&self, key: String, ttl: Duration) -> BoxFuture<'_, Result<(), String>>;
    /// Adds, in one step, and returns the sum.
    fn add(&self, key: String, delta: i64) -> BoxFuture<'_, Result<i64, String>>;
    /// 0 where nothing is.
    fn get(&self, key: String) -> BoxFuture<'_, Result<i64, String>>;
}

pub struct Shared {
    counters: Arc<dyn Counters>,
    window: Window,
    seen: Slots<Seen>,
    began: Instant,
    /// In milliseconds since the beginning.
    down_until: AtomicU64,
}

#[derive(Clone, Copy)]
struct Window {
    /// In milliseconds, as all times here.
    per: u64,
    requests: u64,
}

/// What this process knows of a client.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The window in which its count was begun here.
    window: u64,
    /// Its requests in the window before.
    before: u64,
    /// There is no room until then.
    refused_until: u64,
}

impl Kept for Seen {
    fn worth(&self) -> u64 {
        self.window
    }
}

/// The store is down.
pub struct Down;

impl Shared {
    pub fn new(counters: Arc<dyn Counters>, limit: &RateLimit) -> Self {
        let per = u64::try_from(limit.per.as_millis()).unwrap_or(u64::MAX).max(1);
        Shared {
            counters,
            window: Window { per, requests: limit.requests.into() },
            seen: Slots::new(KEYS_MAX),
            began: Instant::now(),
            down_until: AtomicU64::new(0),
        }
    }

    /// Counts a request of a client: `key` is for the store, `hash` for the memory.
    pub async fn take(&self, key: &str, hash: u64) -> Result<Verdict, Down> {
        let elapsed = || u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if elapsed() < self.down_until.load(Relaxed) {
            return Err(Down);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let taken = tokio::time::timeout(STORE_TIMEOUT, self.take_at(key, hash, now)).await;
        taken.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(|_| {
            self.down_until.store(elapsed() + PAUSE.as_millis() as u64, Relaxed);
            Down
        })
    }

    async fn take_at(&self, key: &str, hash: u64, now: u64) -> Result<Verdict, String> {
        let window = now / self.window.per;
        let in_window = |window| format!("{key}:{window}");
        let seen = self.seen.with(hash, |seen| *seen);
        if seen.window == window && now < seen.refused_until {
            return Ok(self.window.refused(now, seen.refused_until));
        }
        let mut before = seen.before;
        if seen.window != window {
            let ttl = Duration::from_millis(self.window.per).saturating_mul(2).saturating_add(SKEW);
            // The count expires because it is begun with a time; adding keeps that.
            self.counters.begin(in_window(window), ttl).await?;
            let count = self.counters.get(in_window(window.saturating_sub(1))).await?;
            before = u64::try_from(count).unwrap_or(0).min(self.window.requests);
            self.seen.with(hash, |seen| *seen = Seen { window, before, refused_until: 0 });
        }
        let count = self.counters.add(in_window(window), 1).await?;
        let count = u64::try_from(count).unwrap_or(0);
        if let Some(left) = self.window.left(before, count, now) {
            return Ok(self.window.allowed(now, left));
        }
        // What is refused does not count, or a client that goes on trying would never get in again.
        self.counters.add(in_window(window), -1).await?;
        let until = self.window.room_at(before, count.saturating_sub(1), now);
        self.seen.with(hash, |seen| {
            if seen.window == window {
                seen.refused_until = until;
            }
        });
        Ok(self.window.refused(now, until))
    }
}

impl Window {
    /// Requests that may still come, if so many of this window and those before are not too many already.
    fn left(self, before: u64, count: u64, now: u64) -> Option<u64> {
        let share = self.per - now % self.per;
        // Rounded up: no more than the limit, ever.
        let weighted = (u128::from(before) * u128::from(share)).div_ceil(self.per.into()) as u64;
        self.requests.checked_sub(weighted.saturating_add(count))
    }

    /// When one more than `count` requests fit, given those of the window before.
    fn room_at(self, before: u64, count: u64, now: u64) -> u64 {
        let begin = now - now % self.per;
        // The largest share of `before` that leaves room for one.
        let until = |begin: u64, before: u64, room: u64| {
            let share = self.per.saturating_mul(room).checked_div(before);
            let share = share.map_or(self.per, |share| share.min(self.per));
            begin + (self.per - share)
        };
        let at = match self.requests.checked_sub(count + 1) {
            Some(room) => until(begin, before, room),
            None => until(begin + self.per, count.min(self.requests), self.requests - 1),
        };
        at.max(now + 1)
    }

    fn allowed(self, now: u64, left: u64) -> Verdict {
        Verdict {
            allowed: true,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            reset: Duration::from_millis(self.per - now % self.per),
            retry: Duration::ZERO,
        }
    }

    fn refused(self, now: u64, until: u64) -> Verdict {
        Verdict {
            allowed: false,
            remaining: 0,
            reset: Duration::from_millis(self.per - now % self.per),
            retry: Duration::from_millis(until.saturating_sub(now)),
        }
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
