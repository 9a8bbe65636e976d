//! NATS JetStream: a topic is a subject, and a group a durable pull consumer.
//!
//! Dapr's pubsub.jetstream uses push consumers (dapr/components-contrib, pubsub/jetstream/jetstream.go); messages are
//! the same. A pull consumer never gets more than it asked for, and its group goes on where it was. Streams that are
//! missing are made. A message that is an event is known to the server by the event's id, so that publishing it
//! twice within the stream's window stores it once.

mod consumer;
mod names;

use super::{Answer, Broker, BrokerError, Features, Message, Subscribe, Subscription};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, ContextBuilder, PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream;
use async_nats::{ConnectOptions, HeaderMap, ServerAddr};
use consumer::Consumer;
use sampan_app::NatsStart;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

/// Name look-up, connection, TLS and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that takes longer is down, as far as a request is concerned.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait between tries to connect again.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// Our metadata, as JSON: headers of NATS take less than any text.
const METADATA: &str = "Sampan-Metadata";
/// Topics of which we know that a stream has them; then the list begins anew.
const KNOWN_MAX: usize = 10_000;
/// How often a stream is made, while other processes change it.
const MAKE_TRIES: usize = 5;

#[derive(Clone, Debug)]
pub struct Settings {
    pub token: Option<String>,
    pub stream: Option<String>,
    pub durable: Option<String>,
    pub ack_wait: Duration,
    pub deliveries_max: Option<u32>,
    pub back_off: Vec<Duration>,
    pub start: NatsStart,
    pub domain: Option<String>,
}

pub struct Nats {
    addresses: Vec<ServerAddr>,
    settings: Settings,
    runtime: Handle,
    context: OnceCell<Context>,
    /// Topics that a stream has.
    known: Mutex<HashSet<String>>,
    /// Held by who makes or changes a stream.
    making: tokio::sync::Mutex<()>,
}

/// The addresses of `nats://HOST:PORT,…`; `None` if one of them is none.
pub fn parse(url: &str) -> Option<Vec<ServerAddr>> {
    let addresses: Option<Vec<ServerAddr>> =
        url.split(',').map(|one| one.trim().parse().ok().filter(|_| !one.trim().is_empty())).collect();
    addresses.filter(|addresses| !addresses.is_empty())
}

impl Nats {
    /// Connects at the first use.
    pub fn new(addresses: Vec<ServerAddr>, settings: Settings, runtime: Handle) -> Self {
        let (known, making) = Default::default();
        Nats { addresses, settings, runtime, context: OnceCell::new(), known, making }
    }

    /// Whether the server answers, lets us in, and has JetStream.
    pub async fn check(&self) -> Result<(), BrokerError> {
        let context = self.context().await?;
        // The crate's own type for the answer wants fields that older servers do not send.
        let account = context.request::<_, _, serde_json::Value>("INFO", &()).await;
        let account = account.map_err(|error| unavailable("JetStream is not there", &error))?;
        match account.pointer("/error/description") {
            Some(error) => Err(unavailable("JetStream is not there", error)),
            None => Ok(()),
        }
    }

    /// The client, which connects again by itself once it was connected.
    async fn context(&self) -> Result<&Context, BrokerError> {
        let connect = || async {
            let mut options = ConnectOptions::new()
                .name("sampan")
                .connection_timeout(CONNECT_TIMEOUT)
                .request_timeout(Some(RESPONSE_TIMEOUT))
                .reconnect_delay_callback(|attempts| {
                    Duration::from_millis(50 * attempts as u64).min(RECONNECT_WAIT_MAX)
                });
            if let Some(token) = &self.settings.token {
                options = options.token(token.clone());
            }
            let addresses = self.addresses.clone();
            let domain = self.settings.domain.clone();
            // All of it belongs to that runtime: socket, timer and driver.
            let connecting = self.runtime.spawn(async move { options.connect(addresses).await });
            let client = connecting.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
            let client = client.map_err(|error| BrokerError::Unavailable(self.unreachable(&error)))?;
            let builder = ContextBuilder::new().timeout(RESPONSE_TIMEOUT).ack_timeout(RESPONSE_TIMEOUT);
            Ok(match domain {
                Some(domain) => builder.domain(domain).build(client),
                None => builder.build(client),
            })
        };
        self.context.get_or_try_init(connect).await
    }

    fn unreachable(&self, error: &async_nats::ConnectError) -> String {
        let hosts: Vec<_> =
            self.addresses.iter().map(|one| format!("{}:{}", one.host(), one.port())).collect();
        format!("cannot reach NATS at {}: {error}", hosts.join(", "))
    }

    /// The stream that has the topic, which is made where there is none.
    async fn stream(&self, topic: &str) -> Result<String, BrokerError> {
        let context = self.context().await?;
        if let Ok(name) = context.stream_by_subject(topic).await {
            return Ok(name);
        }
        // One at a time: of two changes of a stream at once, the server keeps one.
        let _turn = self.making.lock().await;
        let mut made = Ok(());
        for _ in 0..MAKE_TRIES {
            // Another process may have made it, or taken our topic from it.
            if let Ok(name) = context.stream_by_subject(topic).await {
                return Ok(name);
            }
            made = self.make(context, topic).await;
        }
        made?;
        context.stream_by_subject(topic).await.map_err(|error| unavailable("no stream has the topic", &error))
    }

    async fn make(&self, context: &Context, topic: &str) -> Result<(), BrokerError> {
        let root = topic.split('.').next().unwrap_or(topic);
        let name = self.settings.stream.clone().unwrap_or_else(|| names::escaped(root));
        // All topics with the same first word come into one stream.
        let subjects = match root {
            "*" | ">" => return Err(BrokerError::InvalidName("no stream has such topics yet".to_owned())),
            root => vec![root.to_owned(), format!("{root}.>")],
        };
        match context.get_stream(&name).await {
            Ok(found) => {
                let mut config = found.cached_info().config.clone();
                config.subjects.extend(subjects);
                let updated = context.update_stream(config).await;
                updated.map(drop).map_err(|error| unavailable("the stream does not take the topic", &error))
            }
            Err(_) => {
                let config = stream::Config { name, subjects, ..stream::Config::default() };
                let made = context.create_stream(config).await;
                made.map(drop).map_err(|error| unavailable("the stream cannot be made", &error))
            }
        }
    }

    /// Makes sure that some stream has the topic.
    async fn know(&self, topic: &str) -> Result<(), BrokerError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(topic) {
            return Ok(());
        }
        self.stream(topic).await?;
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(topic.to_owned());
        Ok(())
    }

    async fn send(
        &self,
        topic: &str,
        message: &Message,
        id: Option<&str>,
    ) -> Result<PublishAckFuture, BrokerError> {
        let context = self.context().await?;
        let mut publish = PublishMessage::build().payload(message.data.clone());
        if !message.metadata.is_empty() {
            let mut headers = HeaderMap::new();
            headers.insert(METADATA, serde_json::to_string(&message.metadata).expect("text is JSON"));
            publish = publish.headers(headers);
        }
        if let Some(id) = id {
            publish = publish.message_id(id);
        }
        context
            .send_publish(topic.to_owned(), publish)
            .await
            .map_err(|error| self.failed(topic, message, &error))
    }

    /// Waits until the stream has the message.
    async fn stored(
        &self,
        topic: &str,
        message: &Message,
        sent: Result<PublishAckFuture, BrokerError>,
    ) -> Result<(), BrokerError> {
        let ack = sent?.await.map_err(|error| self.failed(topic, message, &error))?;
        if !ack.duplicate || self.same_topic(topic, &ack).await? {
            return Ok(());
        }
        // The stream knows the event from another topic, as of one that goes to its dead letters. Here it is new.
        let id = event_id(&message.data).map(|id| format!("{id} {topic}"));
        let sent = self.send(topic, message, id.as_deref()).await?;
        sent.await.map(drop).map_err(|error| self.failed(topic, message, &error))
    }

    /// Whether what the server takes for the same message is of this topic.
    async fn same_topic(&self, topic: &str, ack: &PublishAck) -> Result<bool, BrokerError> {
        let stream = self.context().await?.get_stream_no_info(&ack.stream).await;
        let stream = stream.map_err(|error| unavailable("the stream cannot be asked", &error))?;
        let first = stream.get_raw_message(ack.sequence).await;
        // One that has been removed meanwhile is as good as none.
        Ok(first.is_ok_and(|first| first.subject.as_str() == topic))
    }

    fn failed(
        &self,
        topic: &str,
        message: &Message,
        error: &async_nats::jetstream::context::PublishError,
    ) -> BrokerError {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                let max = self.context.get().map_or(0, |context| context.client().max_payload());
                BrokerError::TooLarge { what: "a message for this NATS server", bytes: message.bytes(), max }
            }
            kind => {
                if kind == PublishErrorKind::StreamNotFound {
                    // Somebody has deleted it: the next message makes it again.
                    self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
                }
                unavailable("the message is not stored", error)
            }
        }
    }

    fn consumer_config(&self, subscribe: &Subscribe) -> Result<pull::Config, BrokerError> {
        let Settings { durable, ack_wait, deliveries_max, back_off, start, .. } = &self.settings;
        let name = match durable {
            Some(name) => name.clone(),
            None => names::consumer(&subscribe.group, &subscribe.topic)?,
        };
        Ok(pull::Config {
            durable_name: Some(name),
            filter_subject: subscribe.topic.clone(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: *ack_wait,
            max_deliver: deliveries_max.map_or(-1, i64::from),
            backoff: back_off.clone(),
            deliver_policy: match start {
                NatsStart::All => DeliverPolicy::All,
                NatsStart::Last => DeliverPolicy::Last,
                NatsStart::New => DeliverPolicy::New,
                NatsStart::Sequence(start_sequence) => {
                    DeliverPolicy::ByStartSequence { start_sequence: *start_sequence }
                }
            },
            ..pull::Config::default()
        })
    }
}

impl Broker for Nats {
    fn publish(&self, topic: String, messages: Vec<Message>) -> Answer<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            names::check_publish(&topic)?;
            self.know(&topic).await?;
            // Sent in their order, and waited for together.
            let mut sent = Vec::with_capacity(messages.len());
            for message in &messages {
                let id = event_id(&message.data);
                sent.push(self.send(&topic, message, id.as_deref()).await);
            }
            let stored = messages.iter().zip(sent);
            let stored = stored.map(|(message, sent)| self.stored(&topic, message, sent));
            Ok(futures::future::join_all(stored).await)
        })
    }

    fn subscribe(&self, subscribe: Subscribe) -> Answer<'_, Box<dyn Subscription>> {
        Box::pin(async move {
            names::check_subscribe(&subscribe.topic)?;
            let stream = self.stream(&subscribe.topic).await?;
            let config = self.consumer_config(&subscribe)?;
            let context = self.context().await?;
            let made = context.create_consumer_on_stream(config, stream).await;
            let made = made.map_err(|error| unavailable("the consumer cannot be made", &error))?;
            let client = context.client();
            let ack_wait = self.settings.ack_wait;
            let consumer = Consumer::start(client, made, subscribe, ack_wait, &self.runtime);
            let consumer: Box<dyn Subscription> = Box::new(consumer);
            Ok(consumer)
        })
    }

    fn features(&self) -> Features {
        Features { ttl: false, durable: true }
    }
}

/// The id of an event, by which Dapr too tells the server what is the same (`Nats-Msg-Id`).
fn event_id(data: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(rename = "specversion")]
        _spec_version: serde::de::IgnoredAny,
    }
    let id = serde_json::from_slice::<Event<'_>>(data).ok()?.id;
    // What no header can hold names nothing.
    (!id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control)).then_some(id)
}

fn unavailable(what: &str, error: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::Unavailable(format!("{what}: {error}"))
}
