//! A broker in memory: bounded for each group, and gone with the process.
//!
//! A message goes to the groups that are there when it is published. A group without a consumer is kept for a
//! while, so that one that comes back misses nothing; where a group is full, publishers wait.

use super::{Answer, Broker, BrokerError, Delivery, Features, Mark, Message, Subscribe, Subscription, Token};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a group holds at most, waiting and in the hands of consumers.
const GROUP_MESSAGES_MAX: usize = 10_000;
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Groups of all topics together.
const GROUPS_MAX: usize = 10_000;
/// How long a publisher waits for room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a group lives without a consumer.
const GRACE: Duration = Duration::from_secs(60);

pub struct Memory {
    state: Arc<Mutex<State>>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    messages_max: usize,
    bytes_max: usize,
    room_timeout: Duration,
    grace: Duration,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, Topic>,
    /// For messages and for consumers.
    numbers: i64,
}

#[derive(Default)]
struct Topic {
    groups: HashMap<String, Group>,
    /// Something was acknowledged.
    room: Arc<Notify>,
}

#[derive(Default)]
struct Group {
    /// In the order in which they were published.
    ready: BTreeMap<i64, Held>,
    taken: HashMap<i64, (Owner, Held)>,
    bytes: usize,
    /// How much each consumer holds.
    consumers: HashMap<Owner, usize>,
    /// When the last consumer went.
    left_at: Option<Instant>,
    /// There is something to take, or a consumer may take more.
    changed: Arc<Notify>,
}

type Owner = i64;

struct Held {
    message: Message,
    deliveries: u32,
}

impl Default for Memory {
    fn default() -> Self {
        let limits = Limits {
            messages_max: GROUP_MESSAGES_MAX,
            bytes_max: GROUP_BYTES_MAX,
            room_timeout: ROOM_TIMEOUT,
            grace: GRACE,
        };
        Memory { state: Arc::default(), limits }
    }
}

impl Memory {
    /// One that is full soon.
    #[cfg(test)]
    pub fn small(messages_max: usize, room_timeout: Duration, grace: Duration) -> Self {
        let limits = Limits { messages_max, bytes_max: GROUP_BYTES_MAX, room_timeout, grace };
        Memory { state: Arc::default(), limits }
    }

    /// Hands the message to every group, or says where to wait for room.
    fn offer(&self, topic: &str, message: &Message) -> Result<(), Arc<Notify>> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let Some(found) = state.topics.get_mut(topic) else { return Ok(()) };
        found.forget_left(self.limits.grace);
        if found.groups.is_empty() {
            state.topics.remove(topic);
            return Ok(());
        }
        // All or none: a publisher that tries again must not give a group the same message twice.
        if !found.groups.values().all(|group| group.has_room(message.bytes(), &self.limits)) {
            return Err(Arc::clone(&found.room));
        }
        state.numbers += 1;
        for group in found.groups.values_mut() {
            group.bytes += message.bytes();
            group.ready.insert(state.numbers, Held { message: message.clone(), deliveries: 0 });
            group.changed.notify_waiters();
        }
        Ok(())
    }

    async fn publish_one(&self, topic: &str, message: &Message) -> Result<(), BrokerError> {
        let waiting = async {
            loop {
                let Err(room) = self.offer(topic, message) else { return };
                let made = room.notified();
                tokio::pin!(made);
                made.as_mut().enable();
                // Room may have been made between the look and the wait.
                if self.offer(topic, message).is_ok() {
                    return;
                }
                made.await;
            }
        };
        tokio::time::timeout(self.limits.room_timeout, waiting)
            .await
            .map_err(|_| BrokerError::Full("its consumers are behind, or have gone".to_owned()))
    }
}

impl Broker for Memory {
    fn publish(&self, topic: String, messages: Vec<Message>) -> Answer<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(messages.len());
            let mut full = None;
            for message in &messages {
                // The others of the call do not wait once more, and keep their order.
                let outcome = match &full {
                    Some(error) => Err(BrokerError::clone(error)),
                    None => self.publish_one(&topic, message).await,
                };
                full = outcome.as_ref().err().cloned();
                outcomes.push(outcome);
            }
            Ok(outcomes)
        })
    }

    fn subscribe(&self, subscribe: Subscribe) -> Answer<'_, Box<dyn Subscription>> {
        Box::pin(async move {
            let mut state = lock(&self.state);
            let known = state.topics.get(&subscribe.topic);
            let known = known.is_some_and(|topic| topic.groups.contains_key(&subscribe.group));
            if !known && state.groups() >= GROUPS_MAX {
                state.forget_left(self.limits.grace);
            }
            if !known && state.groups() >= GROUPS_MAX {
                return Err(BrokerError::Full(format!("the broker has {GROUPS_MAX} groups")));
            }
            state.numbers += 1;
            let owner = state.numbers;
            let topic = state.topics.entry(subscribe.topic.clone()).or_default();
            let room = Arc::clone(&topic.room);
            let group = topic.groups.entry(subscribe.group.clone()).or_default();
            group.consumers.insert(owner, 0);
            group.left_at = None;
            let changed = Arc::clone(&group.changed);
            let state = Arc::clone(&self.state);
            let consumer: Box<dyn Subscription> =
                Box::new(Consumer { state, subscribe, owner, changed, room });
            Ok(consumer)
        })
    }

    fn features(&self) -> Features {
        Features { ttl: false, durable: false }
    }
}

impl State {
    fn groups(&self) -> usize {
        self.topics.values().map(|topic| topic.groups.len()).sum()
    }

    fn forget_left(&mut self, grace: Duration) {
        self.topics.retain(|_, topic| {
            topic.forget_left(grace);
            !topic.groups.is_empty()
        });
    }
}

impl Topic {
    /// Forgets the groups that have had no consumer for too long.
    fn forget_left(&mut self, grace: Duration) {
        self.groups.retain(|_, group| group.left_at.is_none_or(|left_at| left_at.elapsed() < grace));
    }
}

impl Group {
    fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        let messages = self.ready.len() + self.taken.len();
        // An empty group takes any message that is allowed at all.
        messages == 0 || (messages < limits.messages_max && self.bytes + bytes <= limits.bytes_max)
    }

    fn take(&mut self, owner: Owner, in_flight_max: usize, topic: &str) -> Option<Delivery> {
        let holds = self.consumers.get_mut(&owner)?;
        if *holds >= in_flight_max {
            return None;
        }
        let (id, mut held) = self.ready.pop_first()?;
        *holds += 1;
        held.deliveries = held.deliveries.saturating_add(1);
        let (message, attempt) = (held.message.clone(), held.deliveries);
        self.taken.insert(id, (owner, held));
        let token = Token(Mark::Number { id, lease: attempt });
        Some(Delivery { topic: topic.to_owned(), message, attempt, token })
    }

    /// What was taken is nobody's any more.
    fn untake(&mut self, id: i64) -> Option<Held> {
        let (owner, held) = self.taken.remove(&id)?;
        if let Some(holds) = self.consumers.get_mut(&owner) {
            *holds = holds.saturating_sub(1);
        }
        Some(held)
    }
}

struct Consumer {
    state: Arc<Mutex<State>>,
    subscribe: Subscribe,
    owner: Owner,
    changed: Arc<Notify>,
    room: Arc<Notify>,
}

impl Consumer {
    /// Does something with the group; a group that has consumers is never removed.
    fn with<T>(&self, work: impl FnOnce(&mut Group) -> Option<T>) -> Option<T> {
        let mut state = lock(&self.state);
        work(state.topics.get_mut(&self.subscribe.topic)?.groups.get_mut(&self.subscribe.group)?)
    }

    fn take(&self) -> Option<Delivery> {
        let Subscribe { topic, in_flight_max, .. } = &self.subscribe;
        self.with(|group| group.take(self.owner, *in_flight_max, topic))
    }
}

impl Subscription for Consumer {
    fn next(&self) -> Answer<'_, Delivery> {
        Box::pin(async move {
            loop {
                if let Some(delivery) = self.take() {
                    return Ok(delivery);
                }
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                // It may have changed between the look and the wait.
                if let Some(delivery) = self.take() {
                    return Ok(delivery);
                }
                changed.await;
            }
        })
    }

    fn ack(&self, token: Token) -> Answer<'_, ()> {
        let Mark::Number { id, .. } = token.0 else { return Box::pin(async { Err(super::not_ours()) }) };
        self.with(|group| {
            // What was delivered again meanwhile is done as well.
            let held = group.untake(id).or_else(|| group.ready.remove(&id))?;
            group.bytes -= held.message.bytes();
            Some(())
        });
        self.changed.notify_waiters();
        self.room.notify_waiters();
        Box::pin(async { Ok(()) })
    }

    fn release(&self, token: Token) -> Answer<'_, ()> {
        let Mark::Number { id, lease } = token.0 else { return Box::pin(async { Err(super::not_ours()) }) };
        self.with(|group| {
            // Another consumer may have it by now.
            let current = group.taken.get(&id).is_some_and(|(_, held)| held.deliveries == lease);
            let held = if current { group.untake(id) } else { None };
            held.and_then(|held| group.ready.insert(id, held))
        });
        self.changed.notify_waiters();
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.with(|group| {
            let ours = group.taken.iter().filter(|(_, (owner, _))| *owner == self.owner);
            let ours: Vec<i64> = ours.map(|(id, _)| *id).collect();
            for id in ours {
                if let Some(held) = group.untake(id) {
                    group.ready.insert(id, held);
                }
            }
            group.consumers.remove(&self.owner);
            group.left_at = group.consumers.is_empty().then(Instant::now);
            Some(())
        });
        self.changed.notify_waiters();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
