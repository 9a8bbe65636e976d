//! Instances of a plug-in: one exchange has one alone, so many are in use at once, and the rest of the exchanges
//! waits for a while.

use crate::code::Code;
use sampan_telemetry::Gauge;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many exchanges may wait for an instance; more are refused at once.
const WAITING_MAX: u32 = 10_000;
/// An instance that nobody used for this long gives its memory back.
const IDLE_MAX: Duration = Duration::from_secs(60);

pub struct Pool<I> {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    patience: Duration,
    /// Those that wait for an exchange, the one that was used last on top: its memory is the warmest.
    idle: Mutex<Vec<(Instant, I)>>,
}

impl<I> Pool<I> {
    pub fn new(code: &Code) -> Self {
        Pool {
            places: Arc::new(Semaphore::new(code.spec.instances as usize)),
            waiting: AtomicU32::new(0),
            patience: code.spec.pause,
            idle: Mutex::default(),
        }
    }

    /// The right to have one instance; `None` where there was none in time.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        let permit = tokio::time::timeout(self.patience, Arc::clone(&self.places).acquire_owned());
        // The semaphore is never closed.
        permit.await.ok()?.ok()
    }

    pub fn take(&self) -> Option<I> {
        self.list().pop().map(|(_, instance)| instance)
    }

    pub fn put(&self, instance: I) {
        let now = Instant::now();
        let mut list = self.list();
        list.push((now, instance));
        // The oldest lies at the bottom. One at a time is enough: there is at most one for each that is put.
        let old = list.first().is_some_and(|(since, _)| now.duration_since(*since) > IDLE_MAX);
        let old = old.then(|| list.remove(0));
        drop(list);
        // Freeing memory takes time, in which others may want the list.
        drop(old);
    }

    fn list(&self) -> MutexGuard<'_, Vec<(Instant, I)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts an exchange that waits, also when it is dropped because its client went away.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32) -> Option<Self> {
        let count = Waiting(waiting);
        (waiting.fetch_add(1, Relaxed) < WAITING_MAX).then_some(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts an instance as living.
pub struct Live(Gauge);

impl Live {
    pub fn new(code: &Code) -> Self {
        code.metrics.live.inc();
        Live(code.metrics.live.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.dec();
    }
}
