//! A message on its way to a component that takes messages as they are, and the seam to such components.

use super::envelope::{self, Event};
use super::{Message, Outcome};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metadata in which a message's content type travels.
pub const CONTENT_TYPE_KEY: &str = "content-type";

/// A message as its component sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub content_type: Option<String>,
    pub data: Bytes,
    pub metadata: BTreeMap<String, String>,
}

impl Received {
    /// What was published by Dapr's API is taken out of its envelope: the attributes become metadata, under the
    /// names by which publishers set them (`cloudevent.id`). Everything else is as the broker has it.
    pub fn of(topic: &str, message: &Message) -> Self {
        let mut metadata = message.metadata.clone();
        let content_type = metadata.remove(CONTENT_TYPE_KEY);
        let mut received = Received { topic: topic.to_owned(), content_type, data: Bytes::new(), metadata };
        let Some(event) = envelope::of_dapr(&message.data) else {
            received.data = message.data.clone();
            return received;
        };
        received.data = event.data().into();
        received.content_type = event.text("datacontenttype");
        received.metadata.extend(attributes(&event));
        received
    }
}

/// What an event says of itself, but what has a place of its own.
fn attributes(event: &Event<'_>) -> impl Iterator<Item = (String, String)> {
    let elsewhere = ["data", "data_base64", "datacontenttype", "pubsubname", "topic"];
    let names = event.fields.keys().filter(move |name| !elsewhere.contains(&name.as_ref()));
    names.filter_map(|name| Some((format!("{}{name}", envelope::OVERRIDE), event.text(name)?)))
}

/// A component that may take messages.
pub trait Receiver: Send + Sync {
    /// Handles one message; `None` where the component has no handler of messages. What went wrong is in the
    /// component's log already.
    fn receive(&self, message: Arc<Received>) -> BoxFuture<'_, Option<Outcome>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::envelope::{Incoming, wrap};

    fn pairs(metadata: &[(&str, &str)]) -> BTreeMap<String, String> {
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_dapr_published_comes_without_its_envelope() {
        let metadata = pairs(&[("cloudevent.id", "7"), ("cloudevent.time", "2026-01-01T00:00:00Z")]);
        let incoming = Incoming {
            data: br#"{"order": 1.50}"#,
            content_type: Some("application/json"),
            topic: "orders",
            pubsub: "events",
            source: "shop",
            trace_parent: None,
            trace_state: None,
            ttl: None,
            metadata: &metadata,
        };
        let message =
            Message { data: wrap(incoming).expect("an event").into(), metadata: pairs(&[("a", "b")]) };
        let expected = Received {
            topic: "orders".to_owned(),
            content_type: Some("application/json".to_owned()),
            data: Bytes::from_static(br#"{"order": 1.50}"#),
            metadata: pairs(&[
                ("a", "b"),
                ("cloudevent.id", "7"),
                ("cloudevent.source", "shop"),
                ("cloudevent.specversion", "1.0"),
                ("cloudevent.time", "2026-01-01T00:00:00Z"),
                ("cloudevent.type", "com.dapr.event.sent"),
            ]),
        };
        assert_eq!(Received::of("orders", &message), expected);
    }

    #[test]
    fn everything_else_comes_as_it_is() {
        let texts = [
            "",
            "plain",
            "{",
            "{}",
            "[1]",
            r#"{"specversion":"1.0","data":1}"#,
            r#"{"pubsubname":"events"}"#,
        ];
        for text in texts {
            let metadata = pairs(&[(CONTENT_TYPE_KEY, "text/x"), ("k", "v")]);
            let received = Received::of("t", &Message { data: text.into(), metadata });
            assert_eq!(received.data, text.as_bytes());
            assert_eq!(received.content_type.as_deref(), Some("text/x"));
            assert_eq!(received.metadata, pairs(&[("k", "v")]), "{text}");
        }
    }
}
