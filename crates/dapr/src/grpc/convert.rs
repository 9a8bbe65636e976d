//! Between the messages of the gRPC API and what the building blocks know.

use crate::proto::common::v1 as common;
use crate::proto::runtime::v1::topic_event_bulk_request_entry::Event as BulkEvent;
use crate::proto::runtime::v1::topic_event_response::TopicEventResponseStatus;
use crate::proto::runtime::v1::{
    TopicEventBulkRequest, TopicEventBulkRequestEntry, TopicEventCeRequest, TopicEventRequest,
};
use crate::pubsub::Trace;
use crate::state::{Concurrency, Item};
use crate::subscriptions::Subscription;
use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProstValue};
use sampan_capabilities::messaging::Outcome;
use sampan_capabilities::messaging::envelope::Event;
use serde_json::Value;
use std::collections::BTreeMap;
use tonic::metadata::MetadataMap;

pub type Metadata = BTreeMap<String, String>;

pub fn item(one: common::StateItem) -> Item {
    let common::StateItem { key, value, etag, metadata, options } = one;
    Item {
        key,
        value: Some(value),
        etag: etag.map(|etag| etag.value),
        concurrency: concurrency(options),
        metadata,
    }
}

/// A value that goes away.
pub fn deletion(
    key: String,
    etag: Option<common::Etag>,
    options: Option<common::StateOptions>,
    metadata: Metadata,
) -> Item {
    let etag = etag.map(|etag| etag.value);
    Item { key, value: None, etag, concurrency: concurrency(options), metadata }
}

fn concurrency(options: Option<common::StateOptions>) -> Concurrency {
    use common::state_options::StateConcurrency as Wire;
    match options.map(|options| options.concurrency()) {
        Some(Wire::ConcurrencyFirstWrite) => Concurrency::FirstWrite,
        Some(Wire::ConcurrencyLastWrite) => Concurrency::LastWrite,
        Some(Wire::ConcurrencyUnspecified) | None => Concurrency::Unsaid,
    }
}

/// What is said of the trace: in gRPC's own binary form nobody sends it any more, so as text.
pub fn trace(metadata: &MetadataMap) -> Trace {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Trace { parent: text("traceparent"), state: text("tracestate") }
}

/// The fields of an event that have places of their own in the message. `topic` and `pubsubname` are not among
/// them: they say where an event was published, which is another topic than that of the message for one that
/// comes by a dead-letter topic. The list is that of dapr/dapr `pkg/runtime/pubsub/cloudevents.go`.
const PLACED: [&str; 7] = ["id", "source", "type", "specversion", "datacontenttype", "data", "data_base64"];

pub fn topic_event(event: &Event<'_>, subscription: &Subscription, path: &str) -> TopicEventRequest {
    let text = |name| event.text(name).unwrap_or_default();
    TopicEventRequest {
        id: text("id"),
        source: text("source"),
        r#type: text("type"),
        spec_version: text("specversion"),
        data_content_type: text("datacontenttype"),
        data: event.data().into(),
        topic: subscription.topic.clone(),
        pubsub_name: subscription.pubsub.clone(),
        path: path.to_owned(),
        extensions: Some(extensions(event)),
    }
}

pub fn bulk_event(
    subscription: &Subscription,
    path: &str,
    ids: &[String],
    events: &[(usize, Bytes)],
) -> TopicEventBulkRequest {
    let entry = |(id, (_, bytes)): (&String, &(usize, Bytes))| {
        let event = Event::parse(bytes).ok()?;
        let text = |name| event.text(name).unwrap_or_default();
        let cloud_event = TopicEventCeRequest {
            id: text("id"),
            source: text("source"),
            r#type: text("type"),
            spec_version: text("specversion"),
            data_content_type: text("datacontenttype"),
            data: event.data().into(),
            extensions: Some(extensions(&event)),
        };
        Some(TopicEventBulkRequestEntry {
            entry_id: id.clone(),
            content_type: "application/cloudevents+json".to_owned(),
            metadata: BTreeMap::new(),
            event: Some(BulkEvent::CloudEvent(cloud_event)),
        })
    };
    TopicEventBulkRequest {
        id: crate::ids::uuid(),
        entries: ids.iter().zip(events).filter_map(entry).collect(),
        metadata: BTreeMap::new(),
        topic: subscription.topic.clone(),
        pubsub_name: subscription.pubsub.clone(),
        r#type: "com.dapr.event.sent.bulk".to_owned(),
        path: path.to_owned(),
    }
}

pub fn outcome(status: TopicEventResponseStatus) -> Outcome {
    match status {
        TopicEventResponseStatus::Success => Outcome::Ack,
        TopicEventResponseStatus::Retry => Outcome::Retry,
        TopicEventResponseStatus::Drop => Outcome::Drop,
    }
}

fn extensions(event: &Event<'_>) -> Struct {
    let others = event.fields.iter().filter(|(name, _)| !PLACED.contains(&name.as_ref()));
    let fields = others.filter_map(|(name, value)| {
        let value: Value = serde_json::from_str(value.get()).ok()?;
        Some((name.to_string(), prost_value(value)))
    });
    Struct { fields: fields.collect() }
}

/// The depth is that of serde_json, which is bounded.
fn prost_value(value: Value) -> ProstValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(prost_value).collect() })
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, prost_value(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    ProstValue { kind: Some(kind) }
}
