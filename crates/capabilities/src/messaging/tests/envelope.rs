//! The envelope: what is kept, what is added, and what Dapr would have rounded.

use crate::messaging::envelope::{self, EnvelopeError, Event, Incoming};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

fn incoming<'a>(
    data: &'a [u8],
    content_type: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
) -> Incoming<'a> {
    let (topic, pubsub, source) = ("orders", "pubsub", "shop");
    Incoming {
        data,
        content_type,
        topic,
        pubsub,
        source,
        trace_parent: None,
        trace_state: None,
        ttl: None,
        metadata,
    }
}

fn wrapped(data: &[u8], content_type: Option<&str>) -> Vec<u8> {
    envelope::wrap(incoming(data, content_type, &BTreeMap::new())).expect("an envelope")
}

#[test]
fn an_envelope_has_daprs_attributes() {
    let bytes = wrapped(br#"{"a":1}"#, Some("application/json"));
    let mut event: Value = serde_json::from_slice(&bytes).expect("JSON");
    let id = event["id"].take();
    assert_eq!(id.as_str().map(str::len), Some(36), "{id}");
    assert_ne!(Event::parse(&wrapped(b"", None)).expect("JSON").text("id"), id.as_str().map(str::to_owned));
    let time = event["time"].take();
    assert!(chrono::DateTime::parse_from_rfc3339(time.as_str().expect("a time")).is_ok(), "{time}");
    let expected = json!({
        "data": {"a": 1}, "datacontenttype": "application/json", "id": null, "pubsubname": "pubsub",
        "source": "shop", "specversion": "1.0", "time": null, "topic": "orders", "type": "com.dapr.event.sent",
    });
    assert_eq!(event, expected);
}

#[test]
fn data_is_kept_exactly_in_the_form_that_fits_it() {
    let exact = r#"{"b": 0.1234567890123456789, "a":[1e400, 123456789012345678901234567890],  "b":"\u00fc"}"#;
    let table: [(&[u8], Option<&str>, &str, &str); 11] = [
        (exact.as_bytes(), Some("application/json"), "data", exact),
        (b" 3.10 ", Some("Application/JSON; charset=utf-8"), "data", "3.10"),
        (b"null", Some("application/json"), "data", "null"),
        // What says it is JSON and is not is text.
        (b"{oops", Some("application/json"), "data", "\"{oops\""),
        (b"", Some("application/json"), "data", "\"\""),
        (b"{\"a\":1}", None, "data", "\"{\\\"a\\\":1}\""),
        ("ü\n".as_bytes(), Some("text/plain"), "data", "\"ü\\n\""),
        (b"", Some(""), "data", "\"\""),
        (b"\x00\xff", Some("application/octet-stream"), "data_base64", "\"AP8=\""),
        (b"text", Some("application/octet-stream"), "data_base64", "\"dGV4dA==\""),
        // Dapr would replace these bytes.
        (b"\xff", Some("text/plain"), "data_base64", "\"/w==\""),
    ];
    for (data, content_type, name, expected) in table {
        let bytes = wrapped(data, content_type);
        let event = Event::parse(&bytes).expect("JSON");
        assert_eq!(event.raw(name), Some(expected), "{content_type:?}");
        let other = if name == "data" { "data_base64" } else { "data" };
        assert_eq!(event.raw(other), None, "{content_type:?}");
        if content_type != Some("Application/JSON; charset=utf-8") {
            let unquoted = if expected == "\"{oops\""
                || expected == "\"\"" && content_type == Some("application/json")
            {
                expected.as_bytes()
            } else {
                data
            };
            assert_eq!(event.data(), unquoted, "{content_type:?}");
        }
    }
}

#[test]
fn deep_json_is_no_danger() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let bytes = wrapped(deep.as_bytes(), Some("application/json"));
    assert_eq!(Event::parse(&bytes).expect("JSON").raw("data"), Some(deep.as_str()));
}

#[test]
fn an_event_is_completed_and_otherwise_kept() {
    let data = br#"{"id":"7","specversion":"1.0","source":"mine","type":"t","x":0.10,"data":{"z":1,"a":2.0},"topic":"no"}"#;
    let metadata = BTreeMap::from([("cloudevent.id".to_owned(), "ignored".to_owned())]);
    let mut event = incoming(data, Some("application/cloudevents+json; charset=utf-8"), &metadata);
    event.trace_parent = Some("00-1-2-01");
    let bytes = envelope::wrap(event).expect("an envelope");
    let event = Event::parse(&bytes).expect("JSON");
    let expected = [
        ("id", "\"7\""),
        ("source", "\"mine\""),
        ("type", "\"t\""),
        ("x", "0.10"),
        ("data", r#"{"z":1,"a":2.0}"#),
        ("topic", "\"orders\""),
        ("pubsubname", "\"pubsub\""),
        ("traceparent", "\"00-1-2-01\""),
        ("traceid", "\"00-1-2-01\""),
    ];
    for (name, value) in expected {
        assert_eq!(event.raw(name), Some(value), "{name}");
    }
    let bytes = wrapped(b"{\"source\":null}", Some(envelope::CONTENT_TYPE));
    let event = Event::parse(&bytes).expect("JSON");
    assert_eq!(event.text("source").as_deref(), Some("Dapr"));
    assert_eq!(event.text("type").as_deref(), Some("com.dapr.event.sent"));
    assert!(
        event.text("id").is_some() && event.text("time").is_some() && event.text("specversion").is_some()
    );
    for data in ["", "null", "[]", "7", "{", "{\"a\":}"] {
        let refused = envelope::wrap(incoming(data.as_bytes(), Some(envelope::CONTENT_TYPE), &metadata));
        assert!(matches!(refused, Err(EnvelopeError::NotAnObject(_))), "{data}: {refused:?}");
    }
}

#[test]
fn metadata_sets_attributes() {
    let names = ["id", "source", "type", "subject", "time", "traceparent", "tracestate"];
    let set = |name: &str| (format!("cloudevent.{name}"), format!("my {name}"));
    let mut metadata: BTreeMap<String, String> = names.iter().map(|name| set(name)).collect();
    metadata.insert("CloudEvent.TraceID".to_owned(), "loses to traceparent".to_owned());
    metadata.insert("cloudevent.topic".to_owned(), "cannot be set".to_owned());
    let bytes = envelope::wrap(incoming(b"x", None, &metadata)).expect("an envelope");
    let event = Event::parse(&bytes).expect("JSON");
    for name in names {
        assert_eq!(event.text(name), Some(format!("my {name}")));
    }
    assert_eq!(event.text("traceid").as_deref(), Some("my traceparent"));
    assert_eq!(event.text("topic").as_deref(), Some("orders"));
}

#[test]
fn events_expire() {
    let metadata = BTreeMap::new();
    let with = |ttl| {
        let event = Incoming { ttl: Some(ttl), ..incoming(b"x", None, &metadata) };
        envelope::wrap(event).expect("an envelope")
    };
    let expired = |bytes: &[u8]| {
        let event = Event::parse(bytes).expect("JSON");
        assert_eq!(envelope::expired(&serde_json::from_slice(bytes).expect("JSON")), event.expired());
        event.expired()
    };
    assert!(!expired(&with(Duration::from_secs(60))));
    assert!(!expired(&with(Duration::MAX)), "beyond the calendar");
    for (time, has) in
        [("2020-01-01T00:00:00Z", true), ("2999-01-01T00:00:00+01:00", false), ("soon", false), ("", false)]
    {
        assert_eq!(expired(format!("{{\"expiration\":\"{time}\"}}").as_bytes()), has, "{time}");
    }
    assert!(!expired(b"{\"expiration\":7}"));
    let ttl = |value: &str| envelope::ttl(&BTreeMap::from([("ttlInSeconds".to_owned(), value.to_owned())]));
    assert_eq!(ttl("5"), Some(Duration::from_secs(5)));
    for nonsense in ["0", "-1", "soon", "", "99999999999999999999"] {
        assert_eq!(ttl(nonsense), None, "{nonsense}");
    }
}

#[test]
fn raw_bytes_come_to_subscribers_in_an_envelope() {
    let bytes = envelope::from_raw(b"\xff\x00", "orders", "pubsub").expect("an envelope");
    let event = Event::parse(&bytes).expect("JSON");
    assert_eq!(event.data(), b"\xff\x00");
    assert_eq!(event.text("datacontenttype").as_deref(), Some("application/octet-stream"));
    assert_eq!(event.text("topic").as_deref(), Some("orders"));
}
