//! What starts a component beside a request: an event of a topic, or the time.

use crate::Secret;
use crate::dapr::Rule;

/// Events of a topic go to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTrigger {
    pub broker: Broker,
    pub topic: String,
    pub component: String,
    /// Where events go that no rule matches.
    pub path: String,
    /// The first that matches counts.
    pub rules: Vec<Rule>,
    /// A topic of the same broker, for events that cannot be handled.
    pub dead_letter: Option<String>,
    /// Attempts after the first. `None`: what the broker or a policy says.
    pub retries: Option<u32>,
}

/// Where the events of a topic come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// `[messaging.NAME]`, or a pub/sub component of Dapr.
    Named(String),
    /// A server of Redis, whose plain channel the topic is: what is published while nobody listens is lost.
    RedisChannel { url: Secret },
}

/// The time starts a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleTrigger {
    pub name: String,
    /// Five or six fields of cron, or `@every 15m`, `@daily` and the like.
    pub cron: String,
    pub component: String,
    pub path: String,
}
