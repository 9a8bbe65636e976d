//! The gate before a component: so many requests run at once, so many may wait, the rest is refused.

use sampan_app::Serving;
use sampan_telemetry::ComponentMetrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    queue: u32,
    queue_timeout: Duration,
}

/// A request that may run. Dropping it lets the next one in.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A request that may not run, with the reason for metrics. The answer is 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl Gate {
    /// `most` is what the pool of instances holds: more permits would be promises that it cannot keep.
    pub fn new(serving: &Serving, most: u32) -> Self {
        Gate {
            places: Arc::new(Semaphore::new(serving.instances.min(most).max(1) as usize)),
            waiting: AtomicU32::new(0),
            queue: serving.queue,
            queue_timeout: serving.queue_timeout,
        }
    }

    pub async fn admit(&self, metrics: &ComponentMetrics) -> Result<Place, Refused> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let Some(_waiting) = Waiting::begin(self, metrics) else {
            return Err(Refused("queue_full"));
        };
        let place = tokio::time::timeout(self.queue_timeout, Arc::clone(&self.places).acquire_owned());
        match place.await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Refused("queue_timeout")),
        }
    }
}

/// Counts a waiting request, also when it is dropped because its client went away.
struct Waiting<'a> {
    gate: &'a Gate,
    metrics: &'a ComponentMetrics,
}

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Gate, metrics: &'a ComponentMetrics) -> Option<Self> {
        if gate.waiting.fetch_add(1, Ordering::Relaxed) >= gate.queue {
            gate.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        metrics.waiting.inc();
        Some(Waiting { gate, metrics })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
        self.metrics.waiting.dec();
    }
}
