//! What is special about each broker.

use super::*;
use crate::messaging::{Memory, Sqlite};
use futures::future::Either;
use sampan_testing::{servers, temp_dir};
use std::collections::BTreeMap;
use tokio::runtime::Handle;

#[test]
fn memory_makes_publishers_wait_and_then_refuses() {
    run(async {
        let client = Client::new(Memory::small(3, Duration::from_millis(50), Duration::from_secs(60)));
        publish(&client, "nobody", (0..10).map(|number| number.to_string())).await;
        let subscription = client.subscribe(subscribe("t", "g", 10)).await.expect("a consumer");
        let sent: Vec<Message> = (0..5).map(|number| message(number.to_string())).collect();
        let outcomes = soon(client.publish("t".to_owned(), sent)).await.expect("an answer");
        let full = |outcome: &Result<(), _>| matches!(outcome, Err(BrokerError::Full(_)));
        assert!(outcomes[..3].iter().all(Result::is_ok) && outcomes[3..].iter().all(full), "{outcomes:?}");
        assert!(outcomes[3].as_ref().is_err_and(BrokerError::is_temporary));
        // Whoever waits goes on when there is room.
        let patient = Client::new(Memory::small(3, Duration::from_secs(60), Duration::from_secs(60)));
        let held = patient.subscribe(subscribe("t", "g", 10)).await.expect("a consumer");
        publish(&patient, "t", (0..3).map(|number| number.to_string())).await;
        let more = publish(&patient, "t", ["3".to_owned()]);
        let taken = futures::future::join(more, take(&*held, 4)).await.1;
        assert_eq!(taken, ["0", "1", "2", "3"]);
        assert_eq!(take(&*subscription, 3).await, ["0", "1", "2"]);
    });
}

#[test]
fn memory_forgets_groups_that_do_not_come_back() {
    run(async {
        let client = Client::new(Memory::small(1, Duration::from_secs(60), Duration::ZERO));
        drop(client.subscribe(subscribe("t", "gone", 10)).await.expect("a consumer"));
        let here = client.subscribe(subscribe("t", "here", 10)).await.expect("a consumer");
        for number in 0..3 {
            publish(&client, "t", [number.to_string()]).await;
            assert_eq!(take(&*here, 1).await, [number.to_string()]);
        }
    });
}

#[test]
fn sqlite_delivers_again_what_a_crash_has_left() {
    let folder = temp_dir();
    let path = folder.path().join("messages.db");
    let lease = Duration::from_millis(300);
    // The runtime's end stops everything where it is, as a crash does.
    let crashing = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let crashing = crashing.expect("a runtime");
    let broker = Sqlite::open_short(&path, 1000, lease, crashing.handle().clone());
    let client = Client::new(broker);
    let subscription = crashing.block_on(async {
        let subscription = client.subscribe(subscribe("t", "g", 2)).await.expect("a consumer");
        publish(&client, "t", ["done", "held", "fetched", "waiting"].map(str::to_owned)).await;
        assert_eq!(take(&*subscription, 1).await, ["done"]);
        let held = soon(subscription.next()).await.expect("a delivery");
        assert_eq!(text(&held), "held");
        subscription
    });
    crashing.shutdown_timeout(PATIENCE);
    drop((subscription, client));
    run(async {
        let client = Client::new(Sqlite::open_short(&path, 1000, lease, Handle::current()));
        let subscription = client.subscribe(subscribe("t", "g", 10)).await.expect("a consumer");
        let mut attempts = BTreeMap::new();
        for _ in 0..3 {
            let delivery = soon(subscription.next()).await.expect("a delivery");
            attempts.insert(text(&delivery), delivery.attempt);
            subscription.ack(delivery.token).await.expect("an acknowledgement");
        }
        assert_eq!(attempts.keys().collect::<Vec<_>>(), ["fetched", "held", "waiting"]);
        assert_eq!((attempts["held"], attempts["waiting"]), (2, 1));
    });
}

#[test]
fn sqlite_renews_what_is_in_work() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("messages.db");
        let lease = Duration::from_millis(200);
        let client = Client::new(Sqlite::open_short(&path, 1000, lease, Handle::current()));
        let slow = client.subscribe(subscribe("t", "g", 1)).await.expect("a consumer");
        publish(&client, "t", ["slow".to_owned()]).await;
        let held = soon(slow.next()).await.expect("a delivery");
        let other = client.subscribe(subscribe("t", "g", 1)).await.expect("a consumer");
        // Several leases long, in which the other finds nothing.
        let waited = tokio::time::timeout(lease * 3, other.next()).await;
        assert!(waited.is_err(), "it was delivered twice: {waited:?}");
        slow.ack(held.token).await.expect("an acknowledgement");
    });
}

#[test]
fn sqlite_is_shared_by_processes() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("messages.db");
        let [one, two] = [opened(sqlite_backend(&path)).await, opened(sqlite_backend(&path)).await];
        let consumers = [
            one.subscribe(subscribe("t", "g", 50)).await.expect("a consumer"),
            two.subscribe(subscribe("t", "g", 50)).await.expect("a consumer"),
        ];
        let texts = |name: &str| (0..50).map(move |number| format!("{name} {number}")).collect::<Vec<_>>();
        futures::future::join(publish(&one, "t", texts("one")), publish(&two, "t", texts("two"))).await;
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let [first, second] = consumers.each_ref().map(|consumer| consumer.next());
            let (delivery, holder) = match soon(futures::future::select(first, second)).await {
                Either::Left((delivery, _)) => (delivery, &consumers[0]),
                Either::Right((delivery, _)) => (delivery, &consumers[1]),
            };
            let delivery = delivery.expect("a delivery");
            seen.push(text(&delivery));
            holder.ack(delivery.token).await.expect("an acknowledgement");
        }
        seen.sort();
        let mut expected = [texts("one"), texts("two")].concat();
        expected.sort();
        assert_eq!(seen, expected);
    });
}

#[test]
fn sqlite_keeps_what_is_needed_and_removes_what_is_not() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("messages.db");
        let broker = Sqlite::open_short(&path, 3, Duration::from_secs(30), Handle::current());
        let client = Client::new(broker);
        // Nobody reads these: the newest ones stay.
        publish(&client, "t", (0..10).map(|number| number.to_string())).await;
        let subscription = client.subscribe(subscribe("t", "g", 2)).await.expect("a consumer");
        let kept = soon(subscription.next()).await.expect("a delivery");
        assert_eq!(text(&kept), "9");
        publish(&client, "t", ["10".to_owned(), "11".to_owned()]).await;
        let error = client.publish_one("t".to_owned(), message("12")).await.unwrap_err();
        assert!(matches!(&error, BrokerError::Full(_)), "{error:?}");
        subscription.ack(kept.token).await.expect("an acknowledgement");
        publish(&client, "t", ["12".to_owned()]).await;
        assert_eq!(take(&*subscription, 3).await, ["10", "11", "12"]);
    });
}

async fn ask<T: ::redis::FromRedisValue>(server: &servers::Redis, words: &[&str]) -> T {
    let client = ::redis::Client::open(server.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.expect("an answer")
}

#[test]
fn redis_has_daprs_layout() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let client = opened(redis_backend(&server.url(), Duration::from_millis(100))).await;
        let mut sent = message("{\"id\":1}");
        client.publish_one("orders".to_owned(), sent.clone()).await.expect("a message");
        sent.metadata.insert("a".to_owned(), "b".to_owned());
        client.publish_one("orders".to_owned(), sent).await.expect("a message");
        let entries: Vec<(String, Vec<String>)> = ask(&server, &["XRANGE", "orders", "-", "+"]).await;
        let fields: Vec<_> = entries.into_iter().map(|(_, fields)| fields).collect();
        assert_eq!(
            fields,
            [vec!["data", "{\"id\":1}"], vec!["data", "{\"id\":1}", "metadata", "{\"a\":\"b\"}"]]
        );
        // A group begins with the first entry, and its consumer has its name.
        let subscription = client.subscribe(subscribe("orders", "shop", 10)).await.expect("a consumer");
        let first = soon(subscription.next()).await.expect("a delivery");
        let pending: Vec<Vec<String>> = ask(&server, &["XPENDING", "orders", "shop", "-", "+", "1"]).await;
        assert_eq!(pending[0][1], "shop");
        subscription.ack(first.token).await.expect("an acknowledgement");
        assert_eq!(take(&*subscription, 1).await, ["{\"id\":1}"]);
        // What Dapr has written.
        let _: String = ask(&server, &["XADD", "orders", "*", "data", "from Dapr"]).await;
        assert_eq!(take(&*subscription, 1).await, ["from Dapr"]);
        let left: Vec<Vec<String>> = ask(&server, &["XPENDING", "orders", "shop", "-", "+", "9"]).await;
        assert_eq!(left, Vec::<Vec<String>>::new());
    });
}

#[test]
fn redis_gives_what_a_dead_consumer_has_left_to_the_living() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let client = opened(redis_backend(&server.url(), Duration::from_millis(200))).await;
        let subscription = client.subscribe(subscribe("t", "g", 1)).await.expect("a consumer");
        publish(&client, "t", ["slow".to_owned()]).await;
        let slow = soon(subscription.next()).await.expect("a delivery");
        publish(&client, "t", ["dead".to_owned()]).await;
        let read = ["XREADGROUP", "GROUP", "g", "dead", "STREAMS", "t", ">"];
        let _: ::redis::Value = ask(&server, &read).await;
        let other = client.subscribe(subscribe("t", "g", 2)).await.expect("a consumer");
        let claimed = soon(other.next()).await.expect("a delivery");
        assert_eq!((text(&claimed).as_str(), claimed.attempt), ("dead", 2));
        // The slow one lives, and is not taken for dead.
        let waited = tokio::time::timeout(Duration::from_millis(500), other.next()).await;
        assert!(waited.is_err(), "it was delivered twice: {waited:?}");
        soon(subscription.ack(slow.token)).await.expect("an acknowledgement");
    });
}

#[test]
fn a_broker_that_is_down_is_an_error_at_start_without_the_password() {
    run(async {
        let port = sampan_testing::free_port();
        let nats = nats_backend(&format!("nats://user:hunter2@127.0.0.1:{port}"), Duration::from_secs(30));
        let redis = redis_backend(&format!("redis://:hunter2@127.0.0.1:{port}"), Duration::from_secs(60));
        for backend in [nats, redis] {
            let open = |lazy| {
                let description = MessagingStore { backend: backend.clone(), lazy };
                async move { Slot::open("events", &description).await }
            };
            let error = soon(open(false)).await.err().expect("nobody listens");
            assert!(error.what.starts_with("the broker `events` cannot be opened: "), "{}", error.what);
            assert!(
                error.help.as_ref().is_some_and(|help| help.contains("`lazy = true`")),
                "{:?}",
                error.help
            );
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            let lazy = soon(open(true)).await.expect("lazy ones wait");
            let published = async { lazy.client().await?.publish_one("t".to_owned(), message("x")).await };
            let error = soon(published).await.unwrap_err();
            assert!(matches!(&error, BrokerError::Unavailable(_)), "{error:?}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    });
}

#[test]
fn nats_knows_events_by_their_ids_in_each_topic() {
    run(async {
        let Some(server) = servers::Nats::start() else { return };
        let client = opened(nats_backend(&server.url(), Duration::from_secs(30))).await;
        let event = "{\"specversion\":\"1.0\",\"id\":\"7\"}".to_owned();
        let orders = client.subscribe(subscribe("orders", "g", 10)).await.expect("a consumer");
        let dead = client.subscribe(subscribe("orders.dead", "g", 10)).await.expect("a consumer");
        publish(&client, "orders", [event.clone(), event.clone()]).await;
        // The same stream, and the same id: but another topic.
        publish(&client, "orders.dead", [event.clone(), event.clone()]).await;
        for (subscription, topic) in [(&orders, "orders"), (&dead, "orders.dead")] {
            assert_eq!(take(&**subscription, 1).await, std::slice::from_ref(&event), "{topic}");
            nothing_before(&client, topic, &**subscription).await;
        }
    });
}

#[test]
fn nats_with_a_token_and_a_stream_of_its_own_name() {
    run(async {
        let Some(server) = servers::Nats::start_with(&["--auth", "hunter2"]) else { return };
        let MessagingBackend::Nats { url, ack_wait, back_off, start, .. } =
            nats_backend(&server.url(), Duration::from_secs(30))
        else {
            unreachable!("it is one of NATS");
        };
        let with = |token: Option<&str>| MessagingBackend::Nats {
            url: url.clone(),
            token: token.map(Secret::new),
            stream: Some("everything".to_owned()),
            durable: None,
            ack_wait,
            deliveries_max: Some(5),
            back_off: back_off.clone(),
            start,
            domain: None,
        };
        let client = opened(with(Some("hunter2"))).await;
        for topic in ["orders", "users.new", "orders"] {
            let subscription = client.subscribe(subscribe(topic, "g", 10)).await.expect("a consumer");
            publish(&client, topic, [topic.to_owned()]).await;
            assert_eq!(take(&*subscription, 1).await, [topic]);
        }
        let description = MessagingStore { backend: with(Some("wrong-one")), lazy: false };
        let error = soon(Slot::open("events", &description)).await.err().expect("a refusal");
        assert!(error.what.contains("authorization") && !error.what.contains("wrong-one"), "{}", error.what);
    });
}
