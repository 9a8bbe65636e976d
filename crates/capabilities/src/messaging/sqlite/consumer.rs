//! A consumer of the embedded broker: a task that fetches ahead, renews the leases of what is held, and hands it
//! back at the end.

use super::rows::{self, Fetch};
use super::{BrokerError, Shared};
use crate::messaging::pipe::{Pipe, READY_BYTES_MAX, Room};
use crate::messaging::{Answer, Delivery, Mark, Subscribe, Subscription, Token, not_ours};
use ring::rand::{SecureRandom, SystemRandom};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How often a consumer looks for what other processes have published, and for leases that have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Messages in one transaction.
const FETCH_MAX: usize = 256;

pub struct Consumer {
    shared: Arc<Shared>,
    topic: String,
    group: i64,
    pipe: Arc<Pipe>,
}

/// What the task needs.
struct Task {
    shared: Arc<Shared>,
    topic: String,
    published: Arc<Notify>,
    group: i64,
    /// Tells this consumer's leases from those of others.
    owner: i64,
    lease: Duration,
    pipe: Arc<Pipe>,
}

impl Consumer {
    pub fn start(
        shared: &Arc<Shared>,
        subscribe: Subscribe,
        group: i64,
        lease: Duration,
        runtime: &Handle,
    ) -> Consumer {
        let mut owner = [0; 8];
        // Without randomness the number is 0, which is as good for one consumer in the file.
        let _ = SystemRandom::new().fill(&mut owner);
        let topic = subscribe.topic;
        let published = Arc::clone(shared.topics().entry(topic.clone()).or_default());
        let pipe = Arc::new(Pipe::new(subscribe.in_flight_max));
        let task = Task {
            shared: Arc::clone(shared),
            topic: topic.clone(),
            published,
            group,
            owner: i64::from_le_bytes(owner),
            lease,
            pipe: Arc::clone(&pipe),
        };
        runtime.spawn(task.run());
        Consumer { shared: Arc::clone(shared), topic, group, pipe }
    }
}

impl Task {
    async fn run(self) {
        let error = self.serve().await.err();
        let (group, owner) = (self.group, self.owner);
        if let Some(error) = error {
            self.pipe.fail(error);
            // What is in hand stays leased until it is settled or the lease ends.
        } else {
            // Where this fails, the leases end by themselves.
            let _ = self.shared.writer.run(0, move |db| rows::abandon(db, group, owner)).await;
        }
        let mut topics = self.shared.topics();
        // The map's and this task's own: nobody else waits.
        if topics.get(&self.topic).is_some_and(|topic| Arc::strong_count(topic) <= 2) {
            topics.remove(&self.topic);
        }
        drop(topics);
        self.shared.wake(&self.topic);
    }

    /// Fetches until the subscription is dropped.
    async fn serve(&self) -> Result<(), BrokerError> {
        let mut renew_at = Instant::now() + self.lease / 3;
        loop {
            // Before the look, so that what is published meanwhile is not missed.
            let mut published = pin!(self.published.notified());
            published.as_mut().enable();
            let room = match self.pipe.look() {
                Room::Closed => return Ok(()),
                Room::Messages(count) => count.min(FETCH_MAX),
            };
            if Instant::now() >= renew_at {
                let (group, owner, lease) = (self.group, self.owner, self.lease);
                self.shared.writer.run(0, move |db| rows::renew(db, group, owner, lease)).await?;
                renew_at = Instant::now() + self.lease / 3;
            }
            if room > 0 && self.fetch(room).await? {
                continue;
            }
            let changed = pin!(self.pipe.changed());
            let looked = pin!(tokio::time::sleep(LOOK_INTERVAL.min(self.lease / 3)));
            if room > 0 {
                let either = futures::future::select(published, changed);
                futures::future::select(either, looked).await;
            } else {
                futures::future::select(changed, looked).await;
            }
        }
    }

    /// Whether there may be more.
    async fn fetch(&self, count: usize) -> Result<bool, BrokerError> {
        let fetch = Fetch {
            group: self.group,
            owner: self.owner,
            lease: self.lease,
            messages_max: count,
            bytes_max: READY_BYTES_MAX,
        };
        let fetched = self.shared.writer.run(0, move |db| rows::fetch(db, fetch)).await?;
        let more = !fetched.is_empty();
        for (id, attempt, message) in fetched {
            let token = Token(Mark::Number { id, lease: attempt });
            self.pipe.push(Delivery { topic: self.topic.clone(), message, attempt, token });
        }
        Ok(more)
    }
}

impl Subscription for Consumer {
    fn next(&self) -> Answer<'_, Delivery> {
        self.pipe.next()
    }

    fn ack(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Number { id, .. } = token.0 else { return Err(not_ours()) };
            let group = self.group;
            self.shared.writer.run(0, move |db| rows::ack(db, group, id)).await?;
            self.pipe.settled(&token);
            Ok(())
        })
    }

    fn release(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Number { id, lease } = token.0 else { return Err(not_ours()) };
            let group = self.group;
            self.shared.writer.run(0, move |db| rows::release(db, group, id, lease)).await?;
            self.pipe.settled(&token);
            self.shared.wake(&self.topic);
            Ok(())
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
