//! The time, which tests have another of.

use std::time::{Duration, Instant};

pub(super) trait Clock {
    fn now(&self) -> Instant;

    async fn sleep(&self, time: Duration);

    /// `None` where the time is over first.
    async fn timeout<F: Future>(&self, time: Duration, call: F) -> Option<F::Output>;
}

pub(super) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn timeout<F: Future>(&self, time: Duration, call: F) -> Option<F::Output> {
        tokio::time::timeout(time, call).await.ok()
    }
}
