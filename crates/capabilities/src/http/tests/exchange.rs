//! Connections: reuse, staleness, concurrency, cancellation, limits.

use super::server::{Server, describe, reply};
use super::*;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc};

#[test]
fn one_connection_serves_one_request_after_the_other() {
    run(async {
        let server = Server::http(describe).await;
        let door = door(&[&server.origin()]);
        for size in [0, 1, 100_000, 0] {
            let response = door.send(post(&server.origin(), vec![b'x'; size]), Timeouts::default()).await;
            let answer = text(response.unwrap()).await.unwrap();
            assert!(answer.ends_with(&format!("body={size}")), "{answer}");
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn bytes_are_counted_as_they_are_on_the_wire() {
    run(async {
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let server = Server::raw(move |mut stream| {
            let count = Arc::clone(&count);
            async move {
                let mut text = Vec::new();
                while !text.ends_with(b"the end") {
                    stream.read_buf(&mut text).await.unwrap();
                }
                count.fetch_add(text.len() as u64, Ordering::SeqCst);
                stream.write_all(ANSWER).await.unwrap();
            }
        })
        .await;
        let traffic = Arc::<sampan_service::Traffic>::default();
        let door = door(&[&server.origin()]);
        door.count(&traffic);
        for turn in 1..=2 {
            let body = [&vec![b'x'; 100_000], &b"the end"[..]].concat();
            let answer = door.send(post(&server.origin(), body), Timeouts::default()).await.unwrap();
            assert_eq!(text(answer).await.as_deref(), Ok("ok"));
            let sent = received.load(Ordering::SeqCst);
            assert!(sent > 100_000 * turn, "{sent}");
            assert_eq!(traffic.bytes(), (ANSWER.len() as u64 * turn, sent));
        }
    });
}

#[test]
fn doors_do_not_share_connections() {
    run(async {
        let server = Server::http(describe).await;
        for _ in 0..2 {
            fetch(&door(&[&server.origin()]), &server.origin()).await.unwrap();
        }
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn a_connection_closed_while_unused_is_replaced() {
    run(async {
        let closed = Arc::new(Notify::new());
        let notify = Arc::clone(&closed);
        let server = Server::raw(move |mut stream| {
            let notify = Arc::clone(&notify);
            async move {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                // No `Connection: close`: the client believes that it can go on.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                drop(stream);
                notify.notify_one();
            }
        })
        .await;
        let door = door(&[&server.origin()]);
        for _ in 0..5 {
            assert_eq!(fetch(&door, &server.origin()).await.as_deref(), Ok("ok"));
            closed.notified().await;
        }
        assert_eq!(server.connections(), 5);
    });
}

#[test]
fn a_body_that_is_not_read_closes_its_connection() {
    run(async {
        let server = Server::http(|_| async { reply(200, &[], vec![0; 1 << 20]) }).await;
        let door = door(&[&server.origin()]);
        for _ in 0..2 {
            drop(door.send(get(&server.origin()), Timeouts::default()).await.unwrap());
        }
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn concurrent_requests() {
    run(async {
        // Answers come only when all requests have: they must really be under way at once.
        let all = Arc::new(tokio::sync::Barrier::new(100));
        let server = Server::http(move |request| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                describe(request).await
            }
        })
        .await;
        let door = door(&[&server.origin()]);
        let uris: Vec<_> = (0..100).map(|n| format!("{}/{n}", server.origin())).collect();
        let answers = join_all(uris.iter().map(|uri| fetch(&door, uri))).await;
        for (n, answer) in answers.into_iter().enumerate() {
            assert!(answer.unwrap().starts_with(&format!("GET /{n} ")));
        }
        // All are done: the next round fits the kept connections.
        let before = server.connections();
        assert!(before <= 100);
    });
}

#[test]
fn a_dropped_request_is_cancelled() {
    run(async {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let server = Server::raw(move |mut stream| {
            let arrived = arrived.clone();
            async move {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                arrived.send("request").unwrap();
                while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
                arrived.send("closed").unwrap();
            }
        })
        .await;
        let door = Arc::new(door(&[&server.origin()]));
        let uri = server.origin();
        let task = tokio::spawn({
            let door = Arc::clone(&door);
            async move { fetch(&door, &uri).await }
        });
        assert_eq!(arrivals.recv().await, Some("request"));
        task.abort();
        assert_eq!(arrivals.recv().await, Some("closed"));
    });
}

#[test]
fn requests_under_way_are_bounded() {
    run(async {
        let go = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&go);
        let server = Server::http(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                describe(request).await
            }
        })
        .await;
        let door = door(&[&server.origin()]);
        let held = door.occupy_all_places().await;
        let hurried = Timeouts { connect: Duration::from_millis(20), ..Timeouts::default() };
        assert_eq!(door.send(get(&server.origin()), hurried).await.unwrap_err(), Error::LimitReached);
        assert_eq!(server.connections(), 0);
        // A place that becomes free is used.
        drop(held);
        go.add_permits(1);
        assert!(fetch(&door, &server.origin()).await.is_ok());
    });
}

#[test]
fn the_answer_may_come_before_the_request_is_complete() {
    run(async {
        let server = Server::http(|_| async { reply(413, &[], "too much") }).await;
        let door = door(&[&server.origin()]);
        for _ in 0..3 {
            let response =
                door.send(post(&server.origin(), vec![0; 8 << 20]), Timeouts::default()).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(text(response).await.as_deref(), Ok("too much"));
        }
    });
}
