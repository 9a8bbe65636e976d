//! When a call is tried again.

use sampan_app::dapr::{BackOff, RetryPolicy};
use std::time::Duration;

/// The first interval of exponential back-off, what it grows by, and how far chance moves it to each side:
/// those of Dapr's library, <https://pkg.go.dev/github.com/cenkalti/backoff/v4>.
const INTERVAL_FIRST: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.5;
const CHANCE: f64 = 0.5;
/// Retries for ever without any wait would leave no time for anything else.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Statuses of HTTP begin here; those of gRPC are smaller.
const HTTP_FIRST: u16 = 100;

/// The waits between the attempts of one call.
pub(super) struct Waits<'a> {
    pub policy: &'a RetryPolicy,
    interval: Duration,
    retries: u32,
}

impl<'a> Waits<'a> {
    pub fn new(policy: &'a RetryPolicy) -> Self {
        let interval = match policy.back_off {
            BackOff::Constant(interval) => interval,
            BackOff::Exponential { interval_max } => INTERVAL_FIRST.min(interval_max),
        };
        Waits { policy, interval, retries: 0 }
    }

    /// The next wait; `random` is from 0 to 1. `None` where no further attempt is made.
    pub fn next(&mut self, random: f64) -> Option<Duration> {
        if self.policy.retries_max.is_some_and(|most| self.retries >= most) {
            return None;
        }
        self.retries = self.retries.saturating_add(1);
        let wait = match self.policy.back_off {
            BackOff::Constant(interval) => interval,
            BackOff::Exponential { interval_max } => {
                let wait = self.interval.mul_f64(1.0 - CHANCE + 2.0 * CHANCE * random);
                // Compared before it is multiplied, which could be too much for a duration.
                let grown = self.interval.as_secs_f64() * GROWTH;
                self.interval = match grown >= interval_max.as_secs_f64() {
                    true => interval_max,
                    false => self.interval.mul_f64(GROWTH),
                };
                wait
            }
        };
        Some(wait.max(WAIT_MIN))
    }
}

/// Whether a policy tries again after a status.
pub(super) fn matches(policy: &RetryPolicy, status: u16) -> bool {
    let statuses = if status >= HTTP_FIRST { &policy.http } else { &policy.grpc };
    statuses.as_ref().is_none_or(|statuses| statuses.matches(status))
}
