//! What a handler's verdict means for a message: acknowledged, tried again, or handed to the dead-letter topic.

use super::{Backoff, Client, Consume, Delivery, Outcome, Subscribe, Subscription};
use futures::future::{Either, join_all, select};
use ring::rand::{SecureRandom, SystemRandom};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Tries to acknowledge while the broker is away; after them it delivers the message again.
const ACK_TRIES_MAX: u32 = 20;
/// Lines of one subscription in the log: the first ones, then one of a hundred.
const LINES_MAX: u64 = 10;

/// What all calls of one subscription's handler share.
pub(super) struct Worker<'a, H> {
    client: &'a Client,
    subscribe: &'a Subscribe,
    options: &'a Consume,
    handler: &'a H,
    lines: AtomicU64,
}

impl<'a, H, F> Worker<'a, H>
where
    H: Fn(Vec<Arc<Delivery>>) -> F + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    pub fn new(client: &'a Client, subscribe: &'a Subscribe, options: &'a Consume, handler: &'a H) -> Self {
        Worker { client, subscribe, options, handler, lines: AtomicU64::new(0) }
    }

    /// Handles a batch to its end.
    pub async fn run(
        &self,
        subscription: Arc<dyn Subscription>,
        mut batch: Vec<Arc<Delivery>>,
        stop: impl Future<Output = ()> + Clone,
    ) {
        let subscription = subscription.as_ref();
        let mut waits = Waits::new(self.options.retry.backoff);
        let mut retries = 0;
        loop {
            let outcomes = (self.handler)(batch.clone()).await;
            let outcomes = outcomes.into_iter().chain(std::iter::repeat(Outcome::Retry));
            let (mut again, mut settling) = (Vec::new(), Vec::new());
            for (delivery, outcome) in batch.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Retry if self.options.retry.retries_max.is_none_or(|max| retries < max) => {
                        again.push(delivery);
                    }
                    outcome => settling.push(self.settle(subscription, delivery, outcome, stop.clone())),
                }
            }
            join_all(settling).await;
            if again.is_empty() {
                return;
            }
            retries = retries.saturating_add(1);
            batch = again;
            if stopped(stop.clone(), waits.next_wait()).await {
                let released = batch.iter().map(|delivery| subscription.release(delivery.token.clone()));
                // Where this fails, the broker's timeout does the same.
                join_all(released).await;
                return;
            }
        }
    }

    /// Ends a delivery; where that is impossible, the broker keeps the message.
    async fn settle(
        &self,
        subscription: &dyn Subscription,
        delivery: Arc<Delivery>,
        outcome: Outcome,
        stop: impl Future<Output = ()> + Clone,
    ) {
        match (outcome, &self.options.dead_letter) {
            (Outcome::Ack, _) | (Outcome::Drop, None) => {}
            (Outcome::Retry, None) => self.say("gave up a message, whose handler failed every time"),
            (Outcome::Retry | Outcome::Drop, Some(topic)) => {
                if !self.bury(topic, &delivery, stop.clone()).await {
                    let _ = subscription.release(delivery.token.clone()).await;
                    return;
                }
            }
        }
        let mut waits = Waits::reconnecting();
        for _ in 0..ACK_TRIES_MAX {
            match subscription.ack(delivery.token.clone()).await {
                Err(error) if error.is_temporary() => {
                    if stopped(stop.clone(), waits.next_wait()).await {
                        return;
                    }
                }
                Err(error) => return self.say(&format!("cannot acknowledge a message: {error}")),
                Ok(()) => return,
            }
        }
        self.say("could not acknowledge a message, which will be delivered again");
    }

    /// Puts the original bytes into the dead-letter topic, however long that takes; `false`: it is time to stop.
    async fn bury(&self, topic: &str, delivery: &Delivery, stop: impl Future<Output = ()> + Clone) -> bool {
        let mut waits = Waits::reconnecting();
        loop {
            let published = self.client.publish_one(topic.to_owned(), delivery.message.clone()).await;
            let Err(error) = published else { return true };
            self.say(&format!("cannot reach its dead-letter topic `{topic}`, and tries again: {error}"));
            if stopped(stop.clone(), waits.next_wait()).await {
                return false;
            }
        }
    }

    /// A line in the log, unless there were many.
    pub fn say(&self, what: &str) {
        let before = self.lines.fetch_add(1, Ordering::Relaxed);
        if before < LINES_MAX || before.is_multiple_of(100) {
            let Subscribe { topic, group, .. } = self.subscribe;
            eprintln!("sampan: topic {topic:?}: the group {group:?} {what}");
        }
    }
}

/// Waits; `true`: it is time to stop.
async fn stopped(stop: impl Future<Output = ()>, wait: Duration) -> bool {
    matches!(select(pin!(stop), pin!(sleep(wait))).await, Either::Left(_))
}

/// How long to wait between tries.
pub(super) struct Waits {
    backoff: Backoff,
    current: Duration,
}

impl Waits {
    pub fn new(backoff: Backoff) -> Self {
        let current = match backoff {
            Backoff::Constant(wait) => wait,
            Backoff::Exponential { initial, max } => initial.min(max),
        };
        Waits { backoff, current }
    }

    pub fn reconnecting() -> Self {
        Waits::new(Backoff::Exponential { initial: RECONNECT_WAIT_MIN, max: RECONNECT_WAIT_MAX })
    }

    pub fn next_wait(&mut self) -> Duration {
        let Backoff::Exponential { max, .. } = self.backoff else { return self.current };
        let mut random = [0; 1];
        // Without randomness many consumers only come back together.
        let _ = SystemRandom::new().fill(&mut random);
        let wait = self.current.mul_f64(0.5 + f64::from(random[0]) / 255.0);
        self.current = self.current.mul_f64(1.5).min(max);
        wait.min(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_half_up_to_their_limit() {
        let (initial, max) = (Duration::from_secs(2), Duration::from_secs(4));
        let mut waits = Waits::new(Backoff::Exponential { initial, max });
        for base in [2.0, 3.0, 4.0, 4.0] {
            let wait = waits.next_wait().as_secs_f64();
            assert!(
                wait >= base / 2.0 - 0.001 && wait <= (base * 1.5_f64).min(4.0) + 0.001,
                "{base}: {wait}"
            );
        }
        let mut constant = Waits::new(Backoff::Constant(initial));
        assert_eq!([constant.next_wait(), constant.next_wait()], [initial, initial]);
    }
}
