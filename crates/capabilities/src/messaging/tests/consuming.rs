//! The loop: retries, dead letters, bulk, stop, and brokers that die.

use super::*;
use sampan_testing::servers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};

fn options(concurrency: usize, retries_max: Option<u32>) -> Consume {
    let backoff = Backoff::Constant(Duration::from_millis(1));
    Consume { concurrency, retry: Retry { retries_max, backoff }, dead_letter: None, bulk: None }
}

/// Consumes with this handler while `test` does something, then stops.
async fn consuming<H, F>(
    client: &Client,
    subscribe: Subscribe,
    options: Consume,
    handler: H,
    test: impl Future<Output = ()>,
) where
    H: Fn(Vec<Arc<Delivery>>) -> F + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let test = async {
        soon(test).await;
        drop(stop);
    };
    let (consumed, ()) =
        futures::future::join(consume(client, subscribe, options, handler, stopped), test).await;
    consumed.expect("a subscription");
}

#[test]
fn what_fails_is_tried_again_until_it_is_handled() {
    run(async {
        let client = Client::new(Memory::default());
        drop(client.subscribe(subscribe("t", "g", 1)).await.expect("a group"));
        let (calls, (done, mut handled)) = (AtomicUsize::new(0), mpsc::unbounded_channel());
        // As Dapr's conformance tests: the first two fail, and every fifth.
        let handler = |batch: Vec<Arc<Delivery>>| {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            if call <= 2 || call % 5 == 0 {
                return std::future::ready(vec![Outcome::Retry]);
            }
            done.send(text(&batch[0])).expect("somebody listens");
            std::future::ready(vec![Outcome::Ack])
        };
        consuming(&client, subscribe("t", "g", 100), options(1, None), handler, async {
            publish(&client, "t", (0..20).map(|number| number.to_string())).await;
            // One at a time: also what is tried again keeps its place.
            for number in 0..20 {
                assert_eq!(handled.recv().await, Some(number.to_string()));
            }
        })
        .await;
        let subscription = client.subscribe(subscribe("t", "g", 1)).await.expect("a consumer");
        nothing_before(&client, "t", &*subscription).await;
    });
}

#[test]
fn what_nobody_can_handle_goes_to_the_dead_letters() {
    run(async {
        let client = Client::new(Memory::default());
        let dead = client.subscribe(subscribe("dead", "g", 10)).await.expect("a group");
        let calls: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let handler = |batch: Vec<Arc<Delivery>>| {
            let text = text(&batch[0]);
            *calls.lock().expect("calls").entry(text.clone()).or_default() += 1;
            let outcome = match text.as_str() {
                "fails" => vec![Outcome::Retry],
                "dropped" => vec![Outcome::Drop],
                // Says nothing, which is as good as a failure.
                "silent" => vec![],
                _ => vec![Outcome::Ack],
            };
            std::future::ready(outcome)
        };
        drop(client.subscribe(subscribe("t", "g", 1)).await.expect("a group"));
        let texts = ["fails", "dropped", "fine", "silent"];
        let to_dead = Consume { dead_letter: Some("dead".to_owned()), ..options(2, Some(2)) };
        let sent =
            Message { metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..message("fails") };
        consuming(&client, subscribe("t", "g", 10), to_dead, handler, async {
            client.publish_one("t".to_owned(), sent.clone()).await.expect("room");
            publish(&client, "t", texts[1..].iter().map(|text| (*text).to_owned())).await;
            let mut found = BTreeSet::new();
            for _ in 0..3 {
                let delivery = dead.next().await.expect("a dead letter");
                found.insert(text(&delivery));
                if text(&delivery) == "fails" {
                    assert_eq!(delivery.message, sent, "with all that came with it");
                }
                dead.ack(delivery.token).await.expect("an acknowledgement");
            }
            assert_eq!(found, BTreeSet::from(["dropped", "fails", "silent"].map(str::to_owned)));
        })
        .await;
        let expected = [("dropped", 1), ("fails", 3), ("fine", 1), ("silent", 3)];
        let expected = expected.map(|(text, count)| (text.to_owned(), count));
        assert_eq!(*calls.lock().expect("calls"), BTreeMap::from(expected));
        // The originals are done; and without a topic for them, so are those that fail.
        let without = async {
            publish(&client, "t", ["fails".to_owned(), "dropped".to_owned(), "last".to_owned()]).await;
            while !calls.lock().expect("calls").contains_key("last") {
                tokio::task::yield_now().await;
            }
        };
        consuming(&client, subscribe("t", "g", 10), options(1, Some(0)), handler, without).await;
        assert_eq!(calls.lock().expect("calls")["fails"], 4);
        let subscription = client.subscribe(subscribe("t", "g", 1)).await.expect("a consumer");
        nothing_before(&client, "t", &*subscription).await;
    });
}

#[test]
fn in_bulk_each_message_has_its_own_verdict() {
    run(async {
        let client = Client::new(Memory::default());
        drop(client.subscribe(subscribe("t", "g", 1)).await.expect("a group"));
        publish(&client, "t", (0..10).map(|number| number.to_string())).await;
        let batches: Mutex<Vec<Vec<String>>> = Mutex::default();
        let full = Notify::new();
        let handler = |batch: Vec<Arc<Delivery>>| {
            let texts: Vec<String> = batch.iter().map(|one| text(one)).collect();
            let mut batches = batches.lock().expect("batches");
            // Odd ones fail the first time; the last one's verdict is missing then.
            let first = !batches.iter().flatten().any(|seen| *seen == texts[0]);
            let verdict = |text: &String| match text.parse::<usize>().expect("a number") % 2 {
                1 if first => Outcome::Retry,
                _ => Outcome::Ack,
            };
            let mut outcomes: Vec<Outcome> = texts.iter().map(verdict).collect();
            if first && outcomes.last() == Some(&Outcome::Retry) {
                outcomes.pop();
            }
            batches.push(texts);
            if batches.iter().flatten().count() == 15 {
                full.notify_one();
            }
            std::future::ready(outcomes)
        };
        let bulk = Bulk { messages_max: 4, wait_max: Duration::from_millis(20) };
        let in_bulk = Consume { bulk: Some(bulk), ..options(1, None) };
        consuming(&client, subscribe("t", "g", 100), in_bulk, handler, full.notified()).await;
        let expected = [
            &["0", "1", "2", "3"][..],
            &["1", "3"],
            &["4", "5", "6", "7"],
            &["5", "7"],
            // Nothing more came in time.
            &["8", "9"],
            &["9"],
        ];
        assert_eq!(*batches.lock().expect("batches"), expected);
    });
}

#[test]
fn at_the_end_handlers_finish_and_the_rest_goes_back() {
    run(async {
        let client = Client::new(Memory::default());
        drop(client.subscribe(subscribe("t", "g", 1)).await.expect("a group"));
        publish(&client, "t", ["slow".to_owned(), "fails".to_owned(), "unseen".to_owned()]).await;
        let (begun, go_on) = (Notify::new(), Notify::new());
        let handler = |batch: Vec<Arc<Delivery>>| {
            let text = text(&batch[0]);
            let (begun, go_on) = (&begun, &go_on);
            async move {
                if text == "fails" {
                    begun.notify_one();
                    return vec![Outcome::Retry];
                }
                go_on.notified().await;
                vec![Outcome::Ack]
            }
        };
        let backoff = Backoff::Constant(Duration::from_secs(3600));
        let patient = Consume { retry: Retry { retries_max: None, backoff }, ..options(2, None) };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let consumed = consume(&client, subscribe("t", "g", 10), patient, handler, stopped);
        let mut consumed = std::pin::pin!(consumed);
        {
            let begun = std::pin::pin!(begun.notified());
            let _ = soon(futures::future::select(begun, consumed.as_mut())).await;
        }
        drop(stop);
        assert!(futures::future::poll_immediate(consumed.as_mut()).await.is_none(), "a handler still runs");
        go_on.notify_one();
        soon(consumed).await.expect("a subscription");
        let subscription = client.subscribe(subscribe("t", "g", 10)).await.expect("a consumer");
        assert_eq!(take(&*subscription, 2).await, ["fails", "unseen"]);
        nothing_before(&client, "t", &*subscription).await;
    });
}

#[test]
fn what_no_broker_can_do_is_an_error_at_once() {
    run(async {
        let client = Client::new(Memory::default());
        let handler = |_| std::future::ready(vec![Outcome::Ack]);
        let never = std::future::pending();
        let ended = soon(consume(&client, subscribe("", "g", 1), options(1, None), handler, never)).await;
        assert!(matches!(ended, Err(BrokerError::InvalidName(_))), "{ended:?}");
    });
}

const MESSAGES: usize = 2000;

/// Publishes in batches of ten, again and again where that fails, while the broker is killed and comes back;
/// everything that was acknowledged must arrive.
async fn survives(
    backend: MessagingBackend,
    kill_and_restart: impl FnOnce() -> Box<dyn Send> + Send + 'static,
) {
    let client = opened(backend).await;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let (counting, counted) = (Arc::clone(&seen), Arc::new(Notify::new()));
    let all = Arc::clone(&counted);
    // In a task of its own, as apps do it.
    let consumer = client.clone();
    let consumer = tokio::spawn(async move {
        let handler = |batch: Vec<Arc<Delivery>>| {
            let mut seen = counting.lock().expect("texts");
            seen.insert(text(&batch[0]));
            if seen.len() >= MESSAGES {
                counted.notify_one();
            }
            std::future::ready(vec![Outcome::Ack])
        };
        let stopped = async { drop(stopped.await) };
        consume(&consumer, subscribe("load", "g", 100), options(10, None), handler, stopped).await
    });
    let mut kill_and_restart = Some(kill_and_restart);
    let mut killing = None;
    let mut number = 0;
    while number < MESSAGES {
        let batch: Vec<Message> = (number..number + 10).map(|one| message(one.to_string())).collect();
        if number >= MESSAGES / 4
            && let Some(kill) = kill_and_restart.take()
        {
            killing = Some(tokio::task::spawn_blocking(kill));
        }
        match soon(client.publish("load".to_owned(), batch)).await {
            Ok(outcomes) if outcomes.iter().all(Result::is_ok) => number += 10,
            // Whatever became of it, it was not acknowledged.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let _server = killing.expect("it was killed").await.expect("it came back");
    let arrived = tokio::time::timeout(PATIENCE, all.notified()).await;
    let missing = MESSAGES - seen.lock().expect("texts").len();
    assert!(arrived.is_ok(), "{missing} messages were lost");
    drop(stop);
    soon(consumer).await.expect("a task").expect("a subscription");
}

#[test]
fn redis_that_is_killed_under_load_loses_nothing_acknowledged() {
    run(async {
        let options = ["--appendonly", "yes", "--appendfsync", "always"];
        let Some(mut server) = servers::Redis::start_with(&options) else { return };
        // What was in hands that the server has forgotten, or that have failed, is claimed soon.
        let backend = redis_backend(&server.url(), Duration::from_millis(500));
        survives(backend, move || {
            server.restart();
            Box::new(server)
        })
        .await;
    });
}

#[test]
fn nats_that_is_killed_under_load_loses_nothing_acknowledged() {
    run(async {
        let Some(mut server) = servers::Nats::start() else { return };
        let backend = nats_backend(&server.url(), Duration::from_millis(500));
        survives(backend, move || {
            server.restart();
            Box::new(server)
        })
        .await;
    });
}
