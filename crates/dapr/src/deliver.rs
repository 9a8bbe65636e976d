//! Deliveries: from a broker's message to the app, and from the app's reply to what becomes of the message.

use crate::app::CallError;
use crate::grpc;
use crate::ids;
use crate::runtime::{Dapr, Note};
use crate::subscriptions::{Destination, Subscription};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sampan_capabilities::messaging::envelope::{self, Event, Incoming};
use sampan_capabilities::messaging::{
    Backoff, CONTENT_TYPE_KEY, Consume, Delivery, Outcome, Received, Retry, Slot, Subscribe, consume,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two tries of the client of a broker that cannot be opened yet.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Runs one subscription until it is stopped. It does not keep an old version of the app alive.
pub async fn run(
    dapr: Weak<Dapr>,
    subscription: Arc<Subscription>,
    stopped: impl Future<Output = ()> + Send,
) {
    let mut stopped = std::pin::pin!(stopped);
    let parts = dapr.upgrade().and_then(|dapr| parts(&dapr, &subscription));
    let Some(Parts { slot, options, subscribe, note }) = parts else { return };
    let said = |why: &str| {
        let Subscription { pubsub, topic, .. } = &*subscription;
        note(&format!("subscription to {pubsub}/{topic}: {why}"));
    };
    let client = loop {
        match slot.client().await {
            Ok(client) => break client,
            Err(error) => said(&error.to_string()),
        }
        tokio::select! {
            () = tokio::time::sleep(OPEN_AGAIN) => {}
            () = &mut stopped => return,
        }
    };
    // A broker that keeps nothing for later knows the group from now on; what is published after the subscription is
    // seen comes.
    if !client.features().durable
        && let Err(error) = client.subscribe(subscribe.clone()).await
    {
        return said(&error.to_string());
    }
    subscription.begin();
    let handler = |batch: Vec<Arc<Delivery>>| -> BoxFuture<'static, Vec<Outcome>> {
        let (dapr, subscription) = (dapr.clone(), Arc::clone(&subscription));
        Box::pin(async move {
            match dapr.upgrade() {
                Some(dapr) => handle(&dapr, &subscription, &batch).await,
                // The next version of the app gets them.
                None => vec![Outcome::Retry; batch.len()],
            }
        })
    };
    let consumed = consume(&client, subscribe, options, handler, stopped).await;
    if let Err(error) = consumed {
        said(&error.to_string());
    }
}

/// What a subscription runs with.
struct Parts {
    slot: Arc<Slot>,
    options: Consume,
    subscribe: Subscribe,
    note: Note,
}

fn parts(dapr: &Dapr, subscription: &Subscription) -> Option<Parts> {
    let pubsub = dapr.components.pubsub.get(&subscription.pubsub)?;
    let options = Consume {
        concurrency: pubsub.consumption.concurrency,
        retry: dapr.policies.inbound_retry(&subscription.pubsub).unwrap_or(Retry {
            // Three more tries: what Dapr does without a policy is up to each broker.
            retries_max: Some(subscription.retries_max.unwrap_or(3)),
            backoff: Backoff::Exponential {
                initial: Duration::from_millis(200),
                max: Duration::from_secs(10),
            },
        }),
        dead_letter: subscription.dead_letter_topic.clone(),
        bulk: subscription.bulk,
    };
    let (slot, note) = (Arc::clone(&pubsub.slot), Arc::clone(&dapr.note));
    Some(Parts { slot, options, subscribe: subscription.subscribe(&pubsub.consumption), note })
}

/// What becomes of each delivery.
async fn handle(dapr: &Dapr, subscription: &Subscription, batch: &[Arc<Delivery>]) -> Vec<Outcome> {
    let outcomes = match subscription.bulk {
        Some(_) => bulk(dapr, subscription, batch).await,
        None => each(dapr, subscription, batch).await,
    };
    dapr.policies.count(&subscription.pubsub, &outcomes);
    outcomes
}

async fn each(dapr: &Dapr, subscription: &Subscription, batch: &[Arc<Delivery>]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for delivery in batch {
        outcomes.push(one(dapr, subscription, delivery).await);
    }
    outcomes
}

/// A delivery that is to go to the app.
pub struct Ready {
    /// A CloudEvent, as JSON.
    pub event: Bytes,
    pub path: String,
}

/// Makes the event of a delivery; an outcome where the app need not see it.
pub fn prepare(dapr: &Dapr, subscription: &Subscription, delivery: &Delivery) -> Result<Ready, Outcome> {
    let Delivery { message, topic, .. } = delivery;
    let event = if subscription.raw_payload {
        let wrapped = envelope::from_raw(&message.data, topic, &subscription.pubsub);
        Bytes::from(wrapped.map_err(|_| Outcome::Drop)?)
    } else if subscription.destination != Destination::App && envelope::event_of(&message.data).is_none() {
        // What others than Dapr have published to a component's topic.
        let wrapped = envelope::wrap(Incoming {
            data: &message.data,
            content_type: message.metadata.get(CONTENT_TYPE_KEY).map(String::as_str),
            topic,
            pubsub: &subscription.pubsub,
            source: "",
            trace_parent: None,
            trace_state: None,
            ttl: None,
            metadata: &BTreeMap::new(),
        });
        Bytes::from(wrapped.map_err(|_| Outcome::Drop)?)
    } else {
        message.data.clone()
    };
    let said = |why: &str| {
        dapr.note(&format!("a message of {}/{topic} was dropped: {why}", subscription.pubsub));
        Outcome::Drop
    };
    let parsed = Event::parse(&event).map_err(|error| said(&error.to_string()))?;
    if parsed.expired() {
        return Err(Outcome::Drop);
    }
    // Rules look at the whole event; without rules nobody does.
    let value = match subscription.rules.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&event).map_err(|error| said(&error.to_string()))?,
    };
    let path = subscription.path(&value).ok_or(Outcome::Drop)?.to_owned();
    Ok(Ready { event, path })
}

async fn one(dapr: &Dapr, subscription: &Subscription, delivery: &Delivery) -> Outcome {
    let ready = match prepare(dapr, subscription, delivery) {
        Ok(ready) => ready,
        Err(outcome) => return outcome,
    };
    let guarded = dapr.policies.inbound(&subscription.pubsub);
    let Destination::Component(name) = &subscription.destination else {
        return guarded.outcome(|| send(dapr, subscription, &ready)).await;
    };
    let message = Arc::new(Received::of(&delivery.topic, &delivery.message));
    let (message, ready) = (&message, &ready);
    // A component that takes messages gets the message, any other the event.
    let hand_over = || async move {
        if let Some(receiver) = dapr.app.receiver(name)
            && let Some(outcome) = receiver.receive(Arc::clone(message)).await
        {
            return outcome;
        }
        send(dapr, subscription, ready).await
    };
    guarded.outcome(hand_over).await
}

async fn send(dapr: &Dapr, subscription: &Subscription, ready: &Ready) -> Outcome {
    if subscription.destination == Destination::App && grpc::speaks_grpc(dapr) {
        return grpc::deliver(dapr, subscription, ready).await;
    }
    let headers = trace_headers(&ready.event);
    let to = subscription.destination.to();
    let content_type = "application/cloudevents+json";
    let sent = dapr.app.post(to, &ready.path, content_type, headers, ready.event.clone()).await;
    match sent {
        Ok(reply) => outcome(reply.status, &reply.body),
        Err(CallError::NoApp | CallError::NoComponent(_) | CallError::Timeout | CallError::Broken(_)) => {
            Outcome::Retry
        }
    }
}

fn trace_headers(event: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Ok(event) = Event::parse(event) else { return headers };
    let parent = event.text("traceparent").or_else(|| event.text("traceid"));
    for (name, value) in [("traceparent", parent), ("tracestate", event.text("tracestate"))] {
        let value = value.filter(|value| !value.is_empty());
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
}

/// What a reply says: a body that is none of ours is as good as none.
fn outcome(status: StatusCode, body: &[u8]) -> Outcome {
    if status == StatusCode::NOT_FOUND {
        return Outcome::Drop;
    }
    if !status.is_success() {
        return Outcome::Retry;
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(said) => verdict(&said.status),
        Err(_) => Outcome::Ack,
    }
}

fn verdict(status: &str) -> Outcome {
    match status {
        "" | "SUCCESS" => Outcome::Ack,
        "DROP" => Outcome::Drop,
        _ => Outcome::Retry,
    }
}

async fn bulk(dapr: &Dapr, subscription: &Subscription, batch: &[Arc<Delivery>]) -> Vec<Outcome> {
    // 1. What the app need not see has its outcome; the rest goes to its paths.
    let mut outcomes = vec![Outcome::Retry; batch.len()];
    let mut by_path: BTreeMap<String, Vec<(usize, Bytes)>> = BTreeMap::new();
    for (index, delivery) in batch.iter().enumerate() {
        match prepare(dapr, subscription, delivery) {
            Ok(Ready { event, path }) => by_path.entry(path).or_default().push((index, event)),
            Err(outcome) => outcomes[index] = outcome,
        }
    }
    // 2. One call for each path.
    for (path, events) in by_path {
        let ids: Vec<String> = events.iter().map(|_| ids::uuid()).collect();
        let statuses = if grpc::speaks_grpc(dapr) {
            grpc::deliver_bulk(dapr, subscription, &path, &ids, &events).await
        } else {
            send_bulk(dapr, subscription, &path, &ids, &events).await
        };
        for (id, (index, _)) in ids.iter().zip(&events) {
            // An entry that the reply does not name is to come again.
            outcomes[*index] = match &statuses {
                Replied::All(outcome) => *outcome,
                Replied::Each(each) => each.get(id).copied().unwrap_or(Outcome::Retry),
            };
        }
    }
    outcomes
}

/// A reply to several events.
pub enum Replied {
    All(Outcome),
    /// By the entries' ids.
    Each(BTreeMap<String, Outcome>),
}

#[derive(Deserialize)]
struct Statuses {
    statuses: Option<Vec<EntryStatus>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryStatus {
    #[serde(default)]
    entry_id: String,
    #[serde(default)]
    status: String,
}

async fn send_bulk(
    dapr: &Dapr,
    subscription: &Subscription,
    path: &str,
    ids: &[String],
    events: &[(usize, Bytes)],
) -> Replied {
    let entries = ids.iter().zip(events).filter_map(|(id, (_, event))| {
        let event: Box<RawValue> = serde_json::from_slice(event).ok()?;
        let entry = BulkEntry { entry_id: id, event, content_type: "application/cloudevents+json" };
        Some(entry)
    });
    let body = BulkEvent {
        id: ids::uuid(),
        kind: "com.dapr.event.sent.bulk",
        topic: &subscription.topic,
        pubsubname: &subscription.pubsub,
        entries: entries.collect(),
        metadata: json!({}),
    };
    let Ok(body) = serde_json::to_vec(&body) else { return Replied::All(Outcome::Drop) };
    let to = subscription.destination.to();
    let sent = dapr.app.post(to, path, "application/cloudevents+json", HeaderMap::new(), body.into()).await;
    let Ok(reply) = sent else { return Replied::All(Outcome::Retry) };
    if !reply.status.is_success() {
        return Replied::All(outcome(reply.status, &reply.body));
    }
    match serde_json::from_slice::<Statuses>(&reply.body).ok().and_then(|reply| reply.statuses) {
        Some(statuses) => {
            let each = statuses.into_iter().map(|one| (one.entry_id, verdict(&one.status)));
            Replied::Each(each.collect())
        }
        None if reply.body.trim_ascii().is_empty() => Replied::All(Outcome::Ack),
        None => Replied::All(Outcome::Retry),
    }
}

#[derive(serde::Serialize)]
struct BulkEvent<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    topic: &'a str,
    pubsubname: &'a str,
    entries: Vec<BulkEntry<'a>>,
    metadata: Value,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkEntry<'a> {
    entry_id: &'a str,
    event: Box<RawValue>,
    content_type: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_mean_what_dapr_says() {
        let table = [
            (200, "", Outcome::Ack),
            (204, "", Outcome::Ack),
            (200, "<html>", Outcome::Ack),
            (200, "{}", Outcome::Ack),
            (200, r#"{"status":"SUCCESS"}"#, Outcome::Ack),
            (200, r#"{"status":"RETRY"}"#, Outcome::Retry),
            (200, r#"{"status":"DROP"}"#, Outcome::Drop),
            (200, r#"{"status":"what"}"#, Outcome::Retry),
            (404, "", Outcome::Drop),
            (500, "", Outcome::Retry),
            (302, "", Outcome::Retry),
            (429, r#"{"status":"SUCCESS"}"#, Outcome::Retry),
        ];
        for (status, body, expected) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(outcome(status, body.as_bytes()), expected, "{status} {body}");
        }
    }
}
