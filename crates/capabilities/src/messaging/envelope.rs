//! The envelope of events: CloudEvents 1.0 in JSON with Dapr's own attributes, so that either side reads what the
//! other has published (dapr/components-contrib, pubsub/envelope.go; dapr/dapr, pkg/runtime/pubsub/cloudevents.go).
//!
//! The text of JSON data stays as it was written: numbers are not rounded, members not sorted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub const CONTENT_TYPE: &str = "application/cloudevents+json";
const TYPE: &str = "com.dapr.event.sent";
const SPEC_VERSION: &str = "1.0";
/// What Dapr calls the source of an event that names none.
const SOURCE: &str = "Dapr";
const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";
/// Metadata with this prefix names attributes that the publisher sets.
pub const OVERRIDE: &str = "cloudevent.";

/// What somebody wants to publish.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub data: &'a [u8],
    pub content_type: Option<&'a str>,
    pub topic: &'a str,
    /// The component's name.
    pub pubsub: &'a str,
    /// The publisher's app id.
    pub source: &'a str,
    pub trace_parent: Option<&'a str>,
    pub trace_state: Option<&'a str>,
    /// For brokers that do not expire messages themselves.
    pub ttl: Option<Duration>,
    /// The request's; `cloudevent.id`, `.source`, `.type`, `.subject`, `.time`, `.traceid`, `.traceparent` and
    /// `.tracestate` set attributes.
    pub metadata: &'a BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the event is no JSON object: {0}")]
    NotAnObject(String),
    #[error("the system gave no random number for the event's id")]
    NoRandomness,
}

/// In the order of their names, as Go writes maps.
#[derive(Default, Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    id: Cow<'a, str>,
    pubsubname: &'a str,
    source: &'a str,
    specversion: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: Cow<'a, str>,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    r#type: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// The bytes to publish: the data in a new envelope, or the event that it already is, completed.
pub fn wrap(event: Incoming<'_>) -> Result<Vec<u8>, EnvelopeError> {
    let content_type = event.content_type.filter(|text| !text.is_empty()).unwrap_or(TEXT);
    if is_type(content_type, CONTENT_TYPE) {
        return complete(&event);
    }
    let set = |name: &str| {
        let named = |key: &str| {
            key.get(..OVERRIDE.len()).is_some_and(|start| {
                start.eq_ignore_ascii_case(OVERRIDE) && key[OVERRIDE.len()..].eq_ignore_ascii_case(name)
            })
        };
        let found = event.metadata.iter().find(|(key, value)| named(key) && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    // The two are one value under two names; the newer name wins.
    let trace_parent = set("traceparent").or(set("traceid")).or(event.trace_parent);
    let mut envelope = Envelope {
        datacontenttype: content_type,
        expiration: event.ttl.and_then(expiration),
        id: set("id").map_or_else(|| new_id().map(Cow::Owned), |id| Ok(Cow::Borrowed(id)))?,
        pubsubname: event.pubsub,
        source: set("source").unwrap_or(if event.source.is_empty() { SOURCE } else { event.source }),
        specversion: SPEC_VERSION,
        subject: set("subject"),
        time: set("time").map_or_else(|| Cow::Owned(now()), Cow::Borrowed),
        topic: event.topic,
        traceid: trace_parent,
        traceparent: trace_parent,
        tracestate: set("tracestate").or(event.trace_state),
        r#type: set("type").unwrap_or(TYPE),
        ..Envelope::default()
    };
    let json = is_type(content_type, "application/json");
    let json = if json { serde_json::from_slice::<&RawValue>(event.data).ok() } else { None };
    let text = || std::str::from_utf8(event.data).ok().filter(|_| !is_type(content_type, BINARY));
    match json.map(Data::Json).or_else(|| text().map(Data::Text)) {
        Some(data) => envelope.data = Some(data),
        // Also what says it is text and is none: Dapr would replace the bytes.
        None => envelope.data_base64 = Some(BASE64.encode(event.data)),
    }
    encode(&envelope)
}

/// An event of the publisher's own making: what it lacks is added, and what Dapr decides is set.
fn complete(event: &Incoming<'_>) -> Result<Vec<u8>, EnvelopeError> {
    let mut fields = Event::parse(event.data)?.fields;
    let mut set = |name: &'static str, text: &str, only_missing: bool| {
        let missing = fields.get(name).is_none_or(|value| value.get() == "null");
        if missing || !only_missing {
            fields.insert(Cow::Borrowed(name), Cow::Owned(quoted(text)));
        }
    };
    set("topic", event.topic, false);
    set("pubsubname", event.pubsub, false);
    set("id", &new_id()?, true);
    set("source", SOURCE, true);
    set("type", TYPE, true);
    set("specversion", SPEC_VERSION, true);
    set("time", &now(), true);
    if let Some(trace_parent) = event.trace_parent {
        set("traceid", trace_parent, false);
        set("traceparent", trace_parent, false);
    }
    if let Some(trace_state) = event.trace_state {
        set("tracestate", trace_state, false);
    }
    if let Some(expiration) = event.ttl.and_then(expiration) {
        set("expiration", &expiration, false);
    }
    encode(&fields)
}

/// The event that a subscriber gets for bytes that were published without an envelope.
pub fn from_raw(data: &[u8], topic: &str, pubsub: &str) -> Result<Vec<u8>, EnvelopeError> {
    encode(&Envelope {
        data_base64: Some(BASE64.encode(data)),
        datacontenttype: BINARY,
        id: Cow::Owned(new_id()?),
        pubsubname: pubsub,
        source: SOURCE,
        specversion: SPEC_VERSION,
        time: Cow::Owned(now()),
        topic,
        r#type: TYPE,
        ..Envelope::default()
    })
}

/// An event's members, each as its text.
#[derive(Debug)]
pub struct Event<'a> {
    pub fields: BTreeMap<Cow<'a, str>, Cow<'a, RawValue>>,
}

impl<'a> Event<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Event<'a>, EnvelopeError> {
        let fields: BTreeMap<Name<'a>, &'a RawValue> =
            serde_json::from_slice(bytes).map_err(|error| EnvelopeError::NotAnObject(error.to_string()))?;
        let fields = fields.into_iter().map(|(name, value)| (name.0, Cow::Borrowed(value))).collect();
        Ok(Event { fields })
    }

    /// The exact text of a member's value.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.get())
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// The published bytes: a JSON text as it was written, a string's content, or what was in base64.
    pub fn data(&self) -> Vec<u8> {
        if let Some(encoded) = self.text("data_base64")
            && let Ok(bytes) = BASE64.decode(encoded)
        {
            return bytes;
        }
        let is_json = self.text("datacontenttype").is_some_and(|kind| is_type(&kind, "application/json"));
        match self.text("data").filter(|_| !is_json) {
            Some(text) => text.into_bytes(),
            None => self.raw("data").unwrap_or_default().as_bytes().to_vec(),
        }
    }

    pub fn expired(&self) -> bool {
        self.text("expiration").is_some_and(|text| has_passed(&text))
    }
}

/// The event that the bytes are, if whoever published them says that they are one.
pub fn event_of(bytes: &[u8]) -> Option<Event<'_>> {
    // Most of what is none is seen at once.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    Event::parse(bytes).ok().filter(|event| event.text("specversion").is_some())
}

/// The same, if it was published by Dapr's API.
pub fn of_dapr(bytes: &[u8]) -> Option<Event<'_>> {
    event_of(bytes).filter(|event| event.text("pubsubname").is_some())
}

/// A member's name, borrowed where it has no escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether the time has come after which nobody wants the event. A time that makes no sense never comes.
pub fn expired(event: &Value) -> bool {
    event.get("expiration").and_then(Value::as_str).is_some_and(has_passed)
}

/// How long a message lives, by a request's metadata; what makes no sense counts as for ever, as Dapr has it.
pub fn ttl(metadata: &BTreeMap<String, String>) -> Option<Duration> {
    let (_, value) = metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case("ttlInSeconds"))?;
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

fn has_passed(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|time| time < DateTime::<Utc>::from(SystemTime::now()))
}

fn expiration(ttl: Duration) -> Option<String> {
    // What is beyond the calendar never comes.
    let ttl = chrono::TimeDelta::from_std(ttl).ok()?;
    let time = DateTime::<Utc>::from(SystemTime::now()).checked_add_signed(ttl)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn new_id() -> Result<String, EnvelopeError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| EnvelopeError::NoRandomness)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Whether a media type is this one, whatever its case and parameters.
fn is_type(content_type: &str, expected: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

fn quoted(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string is JSON")
}

fn encode(event: &impl Serialize) -> Result<Vec<u8>, EnvelopeError> {
    serde_json::to_vec(event).map_err(|error| EnvelopeError::NotAnObject(error.to_string()))
}
