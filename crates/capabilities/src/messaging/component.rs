//! Dapr's `pubsub.*` components: from their metadata to a broker's description, and how it is consumed
//! (dapr/components-contrib, pubsub/redis/metadata.go and pubsub/jetstream/metadata.go).

use crate::redis::metadata;
use crate::{Properties, PropertyError};
use sampan_app::{MessagingBackend, NatsStart, Secret};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const NANOSECOND: Duration = Duration::from_nanos(1);
/// JetStream's own default.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How an app consumes from a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumption {
    /// `consumerID`, else the app's id.
    pub group: String,
    /// Deliveries that are handled at once.
    pub concurrency: usize,
    /// Deliveries that are fetched ahead of that, and being handled.
    pub in_flight_max: usize,
}

/// The broker that the metadata describes; `None`: the type is none of ours.
pub fn describe(kind: &str, properties: &Properties) -> Result<Option<MessagingBackend>, PropertyError> {
    match kind {
        "pubsub.in-memory" => Ok(Some(MessagingBackend::Memory)),
        "pubsub.redis" => redis(properties).map(Some),
        "pubsub.jetstream" => jetstream(properties).map(Some),
        _ => Ok(None),
    }
}

/// As many at once as the component's authors chose: 10 of Redis, 1 of JetStream unless `concurrency` is
/// `parallel`.
pub fn consumption(kind: &str, properties: &Properties) -> Result<Consumption, PropertyError> {
    let group = properties.text("consumerID").unwrap_or(&properties.app_id).to_owned();
    let concurrency = match properties.text("concurrency") {
        Some("single") => 1,
        Some("parallel") => 10,
        _ => count(properties, "concurrency")?.unwrap_or(if kind == "pubsub.jetstream" { 1 } else { 10 }),
    };
    let ahead = if kind == "pubsub.jetstream" { "maxAckPending" } else { "queueDepth" };
    let in_flight_max = count(properties, ahead)?.unwrap_or(100).max(concurrency);
    Ok(Consumption {
        group,
        concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
        in_flight_max: usize::try_from(in_flight_max).unwrap_or(usize::MAX),
    })
}

/// A number from 1 on.
fn count(properties: &Properties, name: &str) -> Result<Option<u64>, PropertyError> {
    match properties.number(name)? {
        None => Ok(None),
        Some(number) => match u64::try_from(number) {
            Ok(number @ 1..) => Ok(Some(number)),
            _ => Err(properties.wrong(name, "less than 1", "write a number from 1 on, in quotes")),
        },
    }
}

fn redis(properties: &Properties) -> Result<MessagingBackend, PropertyError> {
    let time = |name: &str, default: u64| {
        let found = properties.duration(name, MILLISECOND)?;
        Ok::<_, PropertyError>(found.unwrap_or(Duration::from_secs(default)))
    };
    Ok(MessagingBackend::Redis {
        url: metadata::url(properties)?,
        processing_timeout: time("processingTimeout", 60)?,
        redeliver_interval: time("redeliverInterval", 15)?,
        // 0 is Dapr's default, and means all.
        messages_max: match properties.number("maxLenApprox")? {
            Some(0) => None,
            _ => count(properties, "maxLenApprox")?,
        },
        retention: properties.duration("streamTTL", NANOSECOND)?.filter(|time| !time.is_zero()),
    })
}

/// What JetStream's component has and we do not, and what to do without it.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("jwt", "use `token`, or a user and a password in natsURL"),
    ("seedKey", "use `token`, or a user and a password in natsURL"),
    ("tls_client_cert", "use `token`, or a user and a password in natsURL"),
    ("tls_client_key", "use `token`, or a user and a password in natsURL"),
    ("apiPrefix", "write `domain` instead"),
    ("startTime", "write `startSequence` with the deliverPolicy `sequence`"),
    ("rateLimit", "limit the subscriber's concurrency"),
];

fn jetstream(properties: &Properties) -> Result<MessagingBackend, PropertyError> {
    for (name, help) in UNSUPPORTED {
        if properties.text(name).is_some() {
            return Err(properties.wrong(name, "not supported", help));
        }
    }
    if properties.text("ackPolicy").is_some_and(|policy| policy != "explicit") {
        let help = "write \"explicit\": a message is done when its handler is";
        return Err(properties.wrong("ackPolicy", "not supported", help));
    }
    let start = match properties.text("deliverPolicy") {
        None | Some("all") => NatsStart::All,
        Some("last") => NatsStart::Last,
        Some("new") => NatsStart::New,
        Some("sequence") => match count(properties, "startSequence")? {
            Some(sequence) => NatsStart::Sequence(sequence),
            None => return Err(properties.required("startSequence").expect_err("it is not there")),
        },
        Some(_) => {
            let help = "write \"all\", \"last\", \"new\" or \"sequence\"";
            return Err(properties.wrong("deliverPolicy", "none that we know", help));
        }
    };
    let deliveries_max = count(properties, "maxDeliver")?.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
    let ack_wait = properties.duration("ackWait", NANOSECOND)?.filter(|wait| !wait.is_zero());
    Ok(MessagingBackend::Nats {
        url: Secret::new(properties.required("natsURL")?),
        token: properties.text("token").map(Secret::new),
        stream: properties.text("streamName").map(str::to_owned),
        durable: properties.text("durableName").map(str::to_owned),
        ack_wait: ack_wait.unwrap_or(ACK_WAIT),
        deliveries_max,
        back_off: back_off(properties)?,
        start,
        domain: properties.text("domain").map(str::to_owned),
    })
}

/// Durations with commas between them.
fn back_off(properties: &Properties) -> Result<Vec<Duration>, PropertyError> {
    let Some(text) = properties.text("backOff") else { return Ok(Vec::new()) };
    let waits: Option<Vec<_>> =
        text.split(',').map(|one| crate::properties::go_duration(one.trim())).collect();
    waits.ok_or_else(|| {
        properties.wrong("backOff", "no list of durations", "write them with commas: \"50ms, 1s, 10s\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(values: &[(&str, &str)]) -> Properties {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
        Properties::new("shop", values)
    }

    #[test]
    fn metadata_of_redis_is_read_with_daprs_defaults() {
        let plain = describe("pubsub.redis", &properties(&[("redisHost", "h:1")]));
        let expected = MessagingBackend::Redis {
            url: Secret::new("redis://h:1"),
            processing_timeout: Duration::from_secs(60),
            redeliver_interval: Duration::from_secs(15),
            messages_max: None,
            retention: None,
        };
        assert_eq!(plain, Ok(Some(expected)));
        let values = [
            ("redisHost", "h:1"),
            ("processingTimeout", "500"),
            ("redeliverInterval", "2s"),
            ("maxLenApprox", "1000"),
            ("streamTTL", "1h"),
            ("consumerID", "workers"),
            ("concurrency", "3"),
            ("queueDepth", "2"),
        ];
        let read = describe("pubsub.redis", &properties(&values)).expect("it makes sense");
        let expected = MessagingBackend::Redis {
            url: Secret::new("redis://h:1"),
            processing_timeout: Duration::from_millis(500),
            redeliver_interval: Duration::from_secs(2),
            messages_max: Some(1000),
            retention: Some(Duration::from_secs(3600)),
        };
        assert_eq!(read, Some(expected));
        let consumption = consumption("pubsub.redis", &properties(&values)).expect("it makes sense");
        assert_eq!(
            consumption,
            Consumption { group: "workers".to_owned(), concurrency: 3, in_flight_max: 3 }
        );
    }

    #[test]
    fn metadata_of_jetstream_is_read() {
        let values = [
            ("natsURL", "nats://h:4222"),
            ("streamName", "events"),
            ("durableName", "workers"),
            ("ackWait", "5s"),
            ("maxDeliver", "7"),
            ("backOff", "50ms, 1s"),
            ("deliverPolicy", "sequence"),
            ("startSequence", "9"),
        ];
        let read = describe("pubsub.jetstream", &properties(&values)).expect("it makes sense");
        let expected = MessagingBackend::Nats {
            url: Secret::new("nats://h:4222"),
            token: None,
            stream: Some("events".to_owned()),
            durable: Some("workers".to_owned()),
            ack_wait: Duration::from_secs(5),
            deliveries_max: Some(7),
            back_off: vec![Duration::from_millis(50), Duration::from_secs(1)],
            start: NatsStart::Sequence(9),
            domain: None,
        };
        assert_eq!(read, Some(expected));
        let consumption = consumption("pubsub.jetstream", &properties(&values)).expect("it makes sense");
        assert_eq!(consumption, Consumption { group: "shop".to_owned(), concurrency: 1, in_flight_max: 100 });
    }

    #[test]
    fn what_makes_no_sense_names_its_key() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let table: [Case; 9] = [
            ("pubsub.redis", &[], "redisHost"),
            ("pubsub.redis", &[("redisHost", "h:1"), ("processingTimeout", "soon")], "processingTimeout"),
            ("pubsub.redis", &[("redisHost", "h:1"), ("maxLenApprox", "-1")], "maxLenApprox"),
            ("pubsub.jetstream", &[], "natsURL"),
            ("pubsub.jetstream", &[("natsURL", "h"), ("jwt", "hunter2")], "jwt"),
            ("pubsub.jetstream", &[("natsURL", "h"), ("ackPolicy", "none")], "ackPolicy"),
            ("pubsub.jetstream", &[("natsURL", "h"), ("deliverPolicy", "sequence")], "startSequence"),
            ("pubsub.jetstream", &[("natsURL", "h"), ("deliverPolicy", "best")], "deliverPolicy"),
            ("pubsub.jetstream", &[("natsURL", "h"), ("backOff", "soon")], "backOff"),
        ];
        for (kind, values, name) in table {
            let error = describe(kind, &properties(values)).expect_err(name);
            assert_eq!(error.name, name, "{values:?}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(describe("pubsub.kafka", &properties(&[])), Ok(None));
    }
}
