//! One suite, run on every backend, and what is special about each.

mod brokers;
mod consuming;
mod envelope;
mod suite;

use super::*;
use sampan_app::{MessagingBackend, MessagingStore, NatsStart, Secret};
use sampan_testing::PATIENCE;
use std::time::Duration;

/// Runs a test with the tasks it spawns in one thread.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes at last")
}

async fn opened(backend: MessagingBackend) -> Client {
    let slot = Slot::open("test", &MessagingStore { backend, lazy: false }).await.expect("a broker");
    slot.client().await.expect("an open broker")
}

fn redis_backend(url: &str, processing_timeout: Duration) -> MessagingBackend {
    MessagingBackend::Redis {
        url: Secret::new(url),
        processing_timeout,
        redeliver_interval: Duration::from_millis(50),
        messages_max: None,
        retention: None,
    }
}

fn nats_backend(url: &str, ack_wait: Duration) -> MessagingBackend {
    MessagingBackend::Nats {
        url: Secret::new(url),
        token: None,
        stream: None,
        durable: None,
        ack_wait,
        deliveries_max: None,
        back_off: Vec::new(),
        start: NatsStart::All,
        domain: None,
    }
}

fn sqlite_backend(path: &std::path::Path) -> MessagingBackend {
    let path = path.to_owned();
    MessagingBackend::Sqlite { path, retention: Duration::from_secs(3600), messages_max: 100_000 }
}

fn subscribe(topic: &str, group: &str, in_flight_max: usize) -> Subscribe {
    Subscribe { topic: topic.to_owned(), group: group.to_owned(), in_flight_max }
}

fn message(text: impl Into<String>) -> Message {
    Message::new(text.into())
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.data.to_vec()).expect("a test's text")
}

async fn publish(client: &Client, topic: &str, texts: impl IntoIterator<Item = String>) {
    let messages: Vec<Message> = texts.into_iter().map(message).collect();
    for chunk in messages.chunks(BATCH_MESSAGES_MAX) {
        let outcomes = soon(client.publish(topic.to_owned(), chunk.to_vec())).await.expect("an answer");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
}

/// The next deliveries' texts, each acknowledged.
async fn take(subscription: &dyn Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = soon(subscription.next()).await.expect("a delivery");
        texts.push(text(&delivery));
        soon(subscription.ack(delivery.token)).await.expect("an acknowledgement");
    }
    texts
}

/// Nothing comes, as far as one can tell without waiting for long: a message that is published afterwards is next.
async fn nothing_before(client: &Client, topic: &str, subscription: &dyn Subscription) {
    publish(client, topic, ["marker".to_owned()]).await;
    assert_eq!(take(subscription, 1).await, ["marker"]);
}
