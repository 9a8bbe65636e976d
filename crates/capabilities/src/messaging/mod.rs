//! Messages: brokers with topics and consumer groups, the envelope of events, and the loop that consumes.
//!
//! Whoever publishes gets an answer when the broker has the message for good. Each group of a topic gets every
//! message at least once, and each message goes to one consumer of the group at a time. What may be published
//! is bounded here, for every interface and every backend.

pub mod channel;
pub mod component;
mod consume;
pub mod envelope;
pub mod host;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod open;
mod pipe;
mod receive;
mod redis;
mod settle;
mod sqlite;
#[cfg(test)]
mod tests;

pub use consume::{Backoff, Bulk, Consume, Outcome, Retry, consume, consume_and_tell};
pub use memory::Memory;
#[cfg(feature = "nats")]
pub use nats::Nats;
pub use open::Slot;
pub use receive::{CONTENT_TYPE_KEY, Received, Receiver};
pub use redis::Redis;
pub use sqlite::Sqlite;

use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest message. A body of 4 MiB, the largest that Dapr takes, fits with its envelope, in base64 too.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// All names and values of one message's metadata.
pub const METADATA_BYTES_MAX: usize = 64 << 10;
/// The longest name of a topic or a group.
pub const NAME_BYTES_MAX: usize = 512;
/// Messages in one call.
pub const BATCH_MESSAGES_MAX: usize = 1000;
/// The bytes of all messages of one call.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Deliveries that one consumer may hold.
pub const IN_FLIGHT_MAX: usize = 1000;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("there is no such broker")]
    NoSuchBroker,
    #[error("the broker is not granted")]
    AccessDenied,
    #[error("{what} of {bytes} bytes is larger than {max} bytes")]
    TooLarge {
        /// "a message", "a batch"…
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    /// A topic or group that no broker, or not this one, can have.
    #[error("{0}")]
    InvalidName(String),
    /// Consumers are behind: it may be better later.
    #[error("the topic is full: {0}")]
    Full(String),
    /// It may be better later: the broker is down, or behind.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

impl BrokerError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, BrokerError::Full(_) | BrokerError::Unavailable(_))
    }
}

/// What an operation comes to.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, BrokerError>>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub data: Bytes,
    /// What a broker can carry beside the bytes.
    pub metadata: BTreeMap<String, String>,
}

impl Message {
    pub fn new(data: impl Into<Bytes>) -> Self {
        Message { data: data.into(), metadata: BTreeMap::new() }
    }

    fn metadata_bytes(&self) -> usize {
        self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.data.len() + self.metadata_bytes()
    }
}

/// A message that was handed to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub topic: String,
    pub message: Message,
    /// 1 for the first, as far as the broker knows.
    pub attempt: u32,
    pub token: Token,
}

/// What names a delivery to its broker. It stays valid for every subscription of the same group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Mark);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Mark {
    /// A message's number, and which of its deliveries this is.
    Number { id: i64, lease: u32 },
    /// A broker's own text.
    Text(Box<str>),
}

/// Whose messages to consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub topic: String,
    pub group: String,
    /// Deliveries that are neither acknowledged nor released.
    pub in_flight_max: usize,
}

/// What a broker does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// It removes messages whose metadata has a `ttlInSeconds` that has passed.
    pub ttl: bool,
    /// Messages survive the process.
    pub durable: bool,
}

/// What a broker is made of. Limits are checked before it is called: go through [`Client`].
pub trait Broker: Send + Sync {
    /// One outcome for each message, in their order. `Ok`: the broker has it for good, on disk where it has
    /// one. A topic has the messages of a call in their order.
    fn publish(&self, topic: String, messages: Vec<Message>) -> Answer<'_, Vec<Result<(), BrokerError>>>;
    /// A consumer of a group, which is made if there is none.
    fn subscribe(&self, subscribe: Subscribe) -> Answer<'_, Box<dyn Subscription>>;
    fn features(&self) -> Features;
}

/// A consumer. Dropping it hands what it holds to the group's other consumers, at once or after the broker's
/// timeout.
pub trait Subscription: Send + Sync {
    /// Waits for the next delivery. Dropping the future loses none. After an error, subscribe again.
    fn next(&self) -> Answer<'_, Delivery>;
    /// The message is done, and its group does not get it again.
    fn ack(&self, token: Token) -> Answer<'_, ()>;
    /// The message shall be delivered again, to any consumer of the group.
    fn release(&self, token: Token) -> Answer<'_, ()>;
}

/// An open broker.
#[derive(Clone)]
pub struct Client(Arc<dyn Broker>);

impl Client {
    pub fn new(broker: impl Broker + 'static) -> Self {
        Client(Arc::new(broker))
    }

    /// One outcome for each message, in their order.
    pub async fn publish(
        &self,
        topic: String,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
        check_name("a topic", &topic)?;
        if messages.len() > BATCH_MESSAGES_MAX {
            let text = format!(
                "a batch of {} messages is larger than {BATCH_MESSAGES_MAX} messages",
                messages.len()
            );
            return Err(BrokerError::Other(text));
        }
        check("a batch", messages.iter().map(Message::bytes).sum(), BATCH_BYTES_MAX)?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mut outcomes: Vec<_> = messages.iter().map(check_message).collect();
        if outcomes.iter().all(Result::is_ok) {
            return self.0.publish(topic, messages).await;
        }
        // One that is too large does not keep the others.
        let fit = messages.into_iter().zip(&outcomes).filter(|(_, checked)| checked.is_ok());
        let fit: Vec<Message> = fit.map(|(message, _)| message).collect();
        if !fit.is_empty() {
            let published = self.0.publish(topic, fit).await?;
            let places = outcomes.iter_mut().filter(|checked| checked.is_ok());
            places.zip(published).for_each(|(place, outcome)| *place = outcome);
        }
        Ok(outcomes)
    }

    pub async fn publish_one(&self, topic: String, message: Message) -> Result<(), BrokerError> {
        let mut outcomes = self.publish(topic, vec![message]).await?;
        outcomes.pop().unwrap_or_else(|| Err(BrokerError::Other("the broker gave no answer".to_owned())))
    }

    pub async fn subscribe(&self, mut subscribe: Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        check_name("a topic", &subscribe.topic)?;
        check_name("a group", &subscribe.group)?;
        subscribe.in_flight_max = subscribe.in_flight_max.clamp(1, IN_FLIGHT_MAX);
        self.0.subscribe(subscribe).await
    }

    pub fn features(&self) -> Features {
        self.0.features()
    }
}

fn check(what: &'static str, bytes: usize, max: usize) -> Result<(), BrokerError> {
    if bytes > max { Err(BrokerError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

fn check_name(what: &'static str, name: &str) -> Result<(), BrokerError> {
    check(what, name.len(), NAME_BYTES_MAX)?;
    if name.is_empty() {
        return Err(BrokerError::InvalidName(format!("{what} has a name, and this one is empty")));
    }
    if name.chars().any(char::is_control) {
        return Err(BrokerError::InvalidName(format!("the name of {what} has no control characters")));
    }
    Ok(())
}

fn check_message(message: &Message) -> Result<(), BrokerError> {
    check("a message", message.data.len(), MESSAGE_BYTES_MAX)?;
    check("a message's metadata", message.metadata_bytes(), METADATA_BYTES_MAX)
}

fn not_ours() -> BrokerError {
    BrokerError::Other("the token is none of this broker's".to_owned())
}
