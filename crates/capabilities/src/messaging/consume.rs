//! The loop of a consumer: deliveries to a handler, its verdicts back to the broker, and what happens to a
//! message that nobody can handle.
//!
//! A message is acknowledged only when it is done: handled, dropped, or safely in the dead-letter topic. Whatever
//! fails on the way leaves it with the broker, which delivers it again.

use super::settle::{Waits, Worker};
use super::{BrokerError, Client, Delivery, Subscribe, Subscription};
use futures::future::{FutureExt, Shared};
use futures::stream::{FuturesUnordered, StreamExt};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A handler's verdict on one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ack,
    /// Call the handler again, as the policy says.
    Retry,
    /// Never again: to the dead-letter topic if there is one.
    Drop,
}

/// How a subscription is consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consume {
    /// Calls of the handler at once. With 1 the topic's order is kept.
    pub concurrency: usize,
    pub retry: Retry,
    /// Gets the original bytes of what was dropped or given up.
    pub dead_letter: Option<String>,
    /// Several deliveries in one call of the handler.
    pub bulk: Option<Bulk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Calls after the first one; `None`: without end.
    pub retries_max: Option<u32>,
    pub backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    Constant(Duration),
    /// Each wait is half as long again as the one before, and up to a half shorter or longer by chance.
    Exponential {
        initial: Duration,
        max: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Deliveries in one call.
    pub messages_max: usize,
    /// How long the first of them waits for more.
    pub wait_max: Duration,
}

/// Runs a subscription until `stop` is ready or the future is dropped. The handler gets one delivery, or several
/// where `bulk` says so, and returns a verdict for each in their order; one that is missing is `Retry`.
///
/// A broker that goes away is subscribed to again, with back-off. After `stop` nothing new is begun; handlers that
/// run finish, and what waits for another try goes back to the broker. An error means that there was never a
/// subscription, and that trying again would not help.
pub async fn consume<H, F>(
    client: &Client,
    subscribe: Subscribe,
    options: Consume,
    handler: H,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), BrokerError>
where
    H: Fn(Vec<Arc<Delivery>>) -> F + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    consume_and_tell(client, subscribe, options, handler, stop, || {}).await
}

/// The same; tells when it has subscribed for the first time: what is published from then on is delivered.
///
/// # Errors
/// As [`consume`].
pub async fn consume_and_tell<H, F>(
    client: &Client,
    subscribe: Subscribe,
    options: Consume,
    handler: H,
    stop: impl Future<Output = ()> + Send,
    subscribed_first: impl FnOnce() + Send,
) -> Result<(), BrokerError>
where
    H: Fn(Vec<Arc<Delivery>>) -> F + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    let mut subscribed_first = Some(subscribed_first);
    let stop = stop.shared();
    let worker = Worker::new(client, &subscribe, &options, &handler);
    let mut running = FuturesUnordered::new();
    let mut waits = Waits::reconnecting();
    let mut subscribed = false;
    loop {
        let subscribing = client.subscribe(subscribe.clone());
        let subscription: Arc<dyn Subscription> = match until(&stop, &mut running, subscribing).await {
            None => break,
            Some(Ok(subscription)) => Arc::from(subscription),
            Some(Err(error)) if !subscribed && !error.is_temporary() => return Err(error),
            Some(Err(error)) => {
                worker.say(&format!("cannot subscribe, and tries again: {error}"));
                if until(&stop, &mut running, sleep(waits.next_wait())).await.is_none() {
                    break;
                }
                continue;
            }
        };
        subscribed = true;
        if let Some(tell) = subscribed_first.take() {
            tell();
        }
        let mut collected = Collected::default();
        // Hands a batch to a handler of its own.
        let begin = |batch: Vec<Arc<Delivery>>| worker.run(Arc::clone(&subscription), batch, stop.clone());
        let error = loop {
            match collected.next_event(&subscription, &options, &stop, &mut running).await {
                Event::Delivered(delivery) => {
                    waits = Waits::reconnecting();
                    if let Some(batch) = collected.add(delivery, &options) {
                        running.push(begin(batch));
                    }
                }
                Event::Due => running.push(begin(collected.take())),
                Event::Room => {}
                Event::Failed(error) => break Some(error),
                Event::Stopped => break None,
            }
        };
        // What no handler has seen goes back.
        for delivery in collected.take() {
            let _ = subscription.release(delivery.token.clone()).await;
        }
        let Some(error) = error else { break };
        worker.say(&format!("lost its broker, and subscribes again: {error}"));
        if until(&stop, &mut running, sleep(waits.next_wait())).await.is_none() {
            break;
        }
    }
    while running.next().await.is_some() {}
    Ok(())
}

/// Waits for something while the handlers go on; `None`: it is time to stop.
pub(super) async fn until<T>(
    stop: &Shared<impl Future<Output = ()>>,
    running: &mut FuturesUnordered<impl Future<Output = ()>>,
    wanted: impl Future<Output = T>,
) -> Option<T> {
    let mut wanted = pin!(wanted);
    let mut stop = pin!(stop.clone());
    std::future::poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(value) = wanted.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
        Poll::Pending
    })
    .await
}

enum Event {
    Delivered(Delivery),
    /// What was collected has waited long enough.
    Due,
    /// A handler has finished.
    Room,
    Failed(BrokerError),
    Stopped,
}

/// What waits to be handed over together. Without bulk, nothing waits.
#[derive(Default)]
struct Collected {
    batch: Vec<Arc<Delivery>>,
    due: Option<Pin<Box<Sleep>>>,
}

impl Collected {
    /// Takes one more; returns what is complete.
    fn add(&mut self, delivery: Delivery, options: &Consume) -> Option<Vec<Arc<Delivery>>> {
        let delivery = Arc::new(delivery);
        let Some(bulk) = options.bulk else { return Some(vec![delivery]) };
        if self.batch.is_empty() {
            self.due = Some(Box::pin(sleep(bulk.wait_max)));
        }
        self.batch.push(delivery);
        (self.batch.len() >= bulk.messages_max).then(|| self.take())
    }

    fn take(&mut self) -> Vec<Arc<Delivery>> {
        self.due = None;
        std::mem::take(&mut self.batch)
    }

    async fn next_event(
        &mut self,
        subscription: &Arc<dyn Subscription>,
        options: &Consume,
        stop: &Shared<impl Future<Output = ()>>,
        running: &mut FuturesUnordered<impl Future<Output = ()>>,
    ) -> Event {
        let concurrency = options.concurrency.max(1);
        let mut stop = pin!(stop.clone());
        let mut next = subscription.next();
        std::future::poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stopped);
            }
            let before = running.len();
            while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
            if running.len() < concurrency {
                let due = self.due.as_mut().is_some_and(|due| due.as_mut().poll(context).is_ready());
                if due {
                    return Poll::Ready(Event::Due);
                }
                if let Poll::Ready(next) = next.as_mut().poll(context) {
                    return Poll::Ready(next.map_or_else(Event::Failed, Event::Delivered));
                }
            }
            if running.len() < before { Poll::Ready(Event::Room) } else { Poll::Pending }
        })
        .await
    }
}
