//! How many requests an upstream has at once. Whoever is let in at once touches one counter and no lock.

use super::failure::Failure;
use sampan_app::UpstreamLimits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

pub struct Gate {
    max: u32,
    queue: u32,
    queue_time: Duration,
    inside: AtomicU32,
    waiting: AtomicU32,
    /// How many of those inside are there once more.
    retrying: AtomicU32,
    left: Notify,
}

/// A request's place inside.
pub struct Permit(Arc<Gate>);

/// A retry's place within the budget.
pub struct RetryPermit(Arc<Gate>);

/// So many retries at once are allowed however few requests there are.
const RETRIES_FREE: u32 = 3;

impl Gate {
    /// With HTTP/1.1 a request has a connection for itself.
    pub fn new(limits: &UpstreamLimits, request_takes_connection: bool) -> Arc<Gate> {
        let max =
            if request_takes_connection { limits.requests.min(limits.connections) } else { limits.requests };
        Arc::new(Gate {
            max,
            queue: limits.queue,
            queue_time: limits.queue_time,
            inside: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            retrying: AtomicU32::new(0),
            left: Notify::new(),
        })
    }

    /// Nobody overtakes those who wait.
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        if self.waiting.load(SeqCst) > 0 {
            return None;
        }
        self.take()
    }

    fn take(self: &Arc<Self>) -> Option<Permit> {
        // Not counted up and down again: whoever saw that in between would wait for a place that is free.
        let more = |inside| (inside < self.max).then_some(inside + 1);
        self.inside.fetch_update(SeqCst, SeqCst, more).ok().map(|_| Permit(self.clone()))
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, SeqCst);
        // Whoever begins to wait counts first and then looks; we leave first and then look.
        if self.waiting.load(SeqCst) > 0 {
            self.left.notify_one();
        }
    }

    pub async fn enter(self: &Arc<Self>) -> Result<Permit, Failure> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let place = Waiting::new(self).ok_or(Failure::QueueFull)?;
        let entered = timeout(self.queue_time, async {
            loop {
                // Registered before the look, so that no leaving is missed.
                let mut left = std::pin::pin!(self.left.notified());
                left.as_mut().enable();
                if let Some(permit) = self.take() {
                    return permit;
                }
                left.await;
            }
        });
        let entered = entered.await.map_err(|_| Failure::QueueTime);
        drop(place);
        entered
    }

    /// A retry, if no more than this share of the requests are retries already.
    pub fn retry(self: &Arc<Self>, budget_percent: u32) -> Option<RetryPermit> {
        let inside = u64::from(self.inside.load(SeqCst));
        let allowed = (inside * u64::from(budget_percent) / 100).max(RETRIES_FREE.into());
        let allowed = if budget_percent == 0 { 0 } else { allowed };
        if u64::from(self.retrying.fetch_add(1, SeqCst)) < allowed {
            return Some(RetryPermit(self.clone()));
        }
        self.retrying.fetch_sub(1, SeqCst);
        None
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Option<Self> {
        let place = Waiting(gate);
        (gate.waiting.fetch_add(1, SeqCst) < gate.queue).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
        // A call that was meant for this one is for the next.
        if self.0.waiting.load(SeqCst) > 0 {
            self.0.left.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.retrying.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn gate(requests: u32, queue: u32) -> Arc<Gate> {
        let limits = UpstreamLimits { requests, queue, ..UpstreamLimits::default() };
        Gate::new(&limits, true)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn those_who_wait_come_in_when_others_leave_and_are_not_overtaken() {
        run(overtaking());
    }

    async fn overtaking() {
        let gate = gate(1, 1);
        let first = gate.enter().await.unwrap();
        let mut second = Box::pin(gate.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(matches!(gate.enter().await, Err(Failure::QueueFull)));
        drop(first);
        assert!(gate.try_enter().is_none(), "somebody waits");
        let second = second.await.unwrap();
        assert!(gate.try_enter().is_none(), "it is full");
        drop(second);
        assert!(gate.try_enter().is_some());
    }

    #[test]
    fn whoever_gives_up_waiting_leaves_no_trace() {
        run(giving_up());
    }

    async fn giving_up() {
        let gate = gate(1, 2);
        let first = gate.enter().await.unwrap();
        let mut gone = Box::pin(gate.enter());
        let mut stays = Box::pin(gate.enter());
        assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
        drop(first);
        // The call went to the one that is gone now.
        drop(gone);
        drop(stays.await.unwrap());
        assert_eq!((gate.inside.load(SeqCst), gate.waiting.load(SeqCst)), (0, 0));
    }

    #[test]
    fn retries_have_a_budget() {
        let gate = gate(1000, 0);
        let permits: Vec<_> = (0..3).map(|_| gate.retry(20)).collect();
        assert!(permits.iter().all(Option::is_some) && gate.retry(20).is_none());
        assert!(gate.retry(0).is_none());
        let inside: Vec<_> = (0..50).map(|_| gate.try_enter()).collect();
        let more: Vec<_> = (0..7).map(|_| gate.retry(20)).collect();
        assert!(inside.len() == 50 && more.iter().all(Option::is_some) && gate.retry(20).is_none());
        drop(more);
        assert!(gate.retry(20).is_some());
    }
}
