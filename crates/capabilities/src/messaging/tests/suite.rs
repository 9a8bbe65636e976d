//! What every backend must do.

use super::*;
use sampan_testing::{servers, temp_dir};
use std::collections::BTreeSet;

/// Runs one test on every backend, each new and empty.
async fn on_each(test: impl AsyncFn(&str, Client)) {
    let folder = temp_dir();
    test("memory", opened(MessagingBackend::Memory).await).await;
    test("sqlite", opened(sqlite_backend(&folder.path().join("messages.db"))).await).await;
    if let Some(redis) = servers::Redis::start() {
        test("redis", opened(redis_backend(&redis.url(), Duration::from_secs(60))).await).await;
    }
    if let Some(nats) = servers::Nats::start() {
        test("nats", opened(nats_backend(&nats.url(), Duration::from_secs(30))).await).await;
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

#[test]
fn messages_come_as_they_were_in_their_order() {
    run(async {
        on_each(async |name, client| {
            let subscription = soon(client.subscribe(subscribe("orders", "shop", 10))).await.expect(name);
            let all_bytes: Vec<u8> = (0..=255).collect();
            let datas: [&[u8]; 5] = [b"", b"text", "ü€😀".as_bytes(), &all_bytes, &[7; 300_000]];
            let metadata = [("key", "value"), ("ü", "line\nbreak"), ("", "")];
            let metadata: std::collections::BTreeMap<_, _> =
                metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            for data in datas {
                for metadata in [std::collections::BTreeMap::new(), metadata.clone()] {
                    let sent = Message { data: data.to_vec().into(), metadata };
                    soon(client.publish_one("orders".to_owned(), sent.clone())).await.expect(name);
                    let delivery = soon(subscription.next()).await.expect(name);
                    assert_eq!((&delivery.message, delivery.attempt), (&sent, 1), "{name}");
                    assert_eq!(delivery.topic, "orders", "{name}");
                    soon(subscription.ack(delivery.token)).await.expect(name);
                }
            }
            publish(&client, "orders", numbers(100)).await;
            assert_eq!(take(&*subscription, 100).await, numbers(100), "{name}");
        })
        .await;
    });
}

#[test]
fn what_is_too_large_or_has_no_name_is_refused() {
    run(async {
        on_each(async |name, client| {
            let subscription = soon(client.subscribe(subscribe("large", "g", 10))).await.expect(name);
            let large = Message::new(vec![1; MESSAGE_BYTES_MAX + 1]);
            let batch = vec![message("before"), large, message("after")];
            let outcomes = soon(client.publish("large".to_owned(), batch)).await.expect(name);
            let bytes = MESSAGE_BYTES_MAX + 1;
            let error = BrokerError::TooLarge { what: "a message", bytes, max: MESSAGE_BYTES_MAX };
            assert_eq!(outcomes, [Ok(()), Err(error), Ok(())], "{name}");
            assert_eq!(take(&*subscription, 2).await, ["before", "after"], "{name}");
            let largest = Message::new(vec![1; MESSAGE_BYTES_MAX]);
            let outcome = soon(client.publish_one("large".to_owned(), largest.clone())).await;
            if name == "nats" {
                // The server's own limit is lower, and is said.
                let what = "a message for this NATS server";
                assert!(matches!(outcome, Err(BrokerError::TooLarge { what: said, max: 1_048_576, .. }) if said == what));
            } else {
                assert_eq!(outcome, Ok(()), "{name}");
                assert_eq!(soon(subscription.next()).await.expect(name).message, largest, "{name}");
            }
            let mut heavy = message("heavy");
            heavy.metadata.insert("name".to_owned(), "x".repeat(METADATA_BYTES_MAX));
            let outcome = client.publish_one("large".to_owned(), heavy).await;
            assert!(matches!(outcome, Err(BrokerError::TooLarge { .. })), "{name}: {outcome:?}");
            let many = vec![Message::default(); BATCH_MESSAGES_MAX + 1];
            let error = client.publish("large".to_owned(), many).await.unwrap_err();
            assert!(error.to_string().contains("a batch of 1001 messages"), "{name}: {error}");
            assert_eq!(client.publish("large".to_owned(), vec![]).await, Ok(vec![]), "{name}");
            for topic in [String::new(), "a\nb".to_owned(), "t".repeat(NAME_BYTES_MAX + 1)] {
                let error = client.publish_one(topic.clone(), Message::default()).await.unwrap_err();
                assert!(!error.is_temporary(), "{name}: {topic:?}: {error}");
                assert!(client.subscribe(subscribe(&topic, "g", 1)).await.is_err(), "{name}: {topic:?}");
            }
        })
        .await;
    });
}

#[test]
fn every_group_gets_all_and_its_consumers_share() {
    run(async {
        on_each(async |name, client| {
            let shared = || client.subscribe(subscribe("jobs", "workers", 3));
            let [one, two] = [soon(shared()).await.expect(name), soon(shared()).await.expect(name)];
            let alone = soon(client.subscribe(subscribe("jobs", "audit", 100))).await.expect(name);
            let other = soon(client.subscribe(subscribe("others", "workers", 3))).await.expect(name);
            publish(&client, "jobs", numbers(10)).await;
            assert_eq!(take(&*alone, 10).await, numbers(10), "{name}");
            // Each may hold three, and gets no more before it has acknowledged.
            let mut seen = BTreeSet::new();
            let mut held = Vec::new();
            for subscription in [&one, &two] {
                for _ in 0..3 {
                    let delivery = soon(subscription.next()).await.expect(name);
                    assert!(seen.insert(text(&delivery)), "{name}: {delivery:?} came twice");
                    held.push(delivery);
                }
                let more = futures::future::poll_immediate(subscription.next()).await;
                assert!(more.is_none(), "{name}: more than in_flight_max");
            }
            // What the one leaves is the other's, like the rest.
            drop(one);
            let left: Vec<String> = held[..3].iter().map(text).collect();
            for delivery in &held[3..] {
                soon(two.ack(delivery.token.clone())).await.expect(name);
            }
            let rest = take(&*two, 7).await;
            assert!(left.iter().all(|text| rest.contains(text)), "{name}: {left:?} of {rest:?}");
            assert_eq!(seen.into_iter().chain(rest).collect::<BTreeSet<_>>().len(), 10, "{name}");
            nothing_before(&client, "others", &*other).await;
        })
        .await;
    });
}

#[test]
fn what_is_released_or_left_comes_again() {
    run(async {
        on_each(async |name, client| {
            let subscription = soon(client.subscribe(subscribe("t", "g", 1))).await.expect(name);
            publish(&client, "t", numbers(2)).await;
            let first = soon(subscription.next()).await.expect(name);
            soon(subscription.release(first.token)).await.expect(name);
            let mut texts = BTreeSet::new();
            let mut attempts = Vec::new();
            for _ in 0..2 {
                let delivery = soon(subscription.next()).await.expect(name);
                texts.insert(text(&delivery));
                attempts.push(delivery.attempt);
                soon(subscription.ack(delivery.token)).await.expect(name);
            }
            attempts.sort_unstable();
            assert_eq!((texts, attempts), (numbers(2).into_iter().collect(), vec![1, 2]), "{name}");
            // A consumer that goes leaves what it holds to the next one.
            publish(&client, "t", ["left".to_owned()]).await;
            let left = soon(subscription.next()).await.expect(name);
            assert_eq!((text(&left).as_str(), left.attempt), ("left", 1), "{name}");
            drop(subscription);
            let next = soon(client.subscribe(subscribe("t", "g", 5))).await.expect(name);
            let again = soon(next.next()).await.expect(name);
            assert_eq!((text(&again).as_str(), again.attempt), ("left", 2), "{name}");
            // An acknowledgement of the earlier delivery counts as well.
            soon(next.ack(again.token)).await.expect(name);
            nothing_before(&client, "t", &*next).await;
        })
        .await;
    });
}

#[test]
fn a_future_that_is_dropped_loses_nothing() {
    run(async {
        on_each(async |name, client| {
            let subscription = soon(client.subscribe(subscribe("t", "g", 10))).await.expect(name);
            for number in 0..20 {
                let waiting = futures::future::poll_immediate(subscription.next()).await;
                assert!(waiting.is_none(), "{name}");
                publish(&client, "t", [number.to_string()]).await;
                assert_eq!(take(&*subscription, 1).await, [number.to_string()], "{name}");
            }
        })
        .await;
    });
}

#[test]
fn a_group_goes_on_where_it_was() {
    run(async {
        on_each(async |name, client| {
            let subscription = soon(client.subscribe(subscribe("t", "g", 10))).await.expect(name);
            publish(&client, "t", numbers(3)).await;
            assert_eq!(take(&*subscription, 3).await, numbers(3), "{name}");
            drop(subscription);
            publish(&client, "t", ["meanwhile".to_owned()]).await;
            let subscription = soon(client.subscribe(subscribe("t", "g", 10))).await.expect(name);
            assert_eq!(take(&*subscription, 1).await, ["meanwhile"], "{name}");
        })
        .await;
    });
}
