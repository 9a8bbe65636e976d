//! Large bodies flow with back-pressure: whoever reads slowly slows the writer, and little is held between.

use super::server::{Server, reply};
use super::*;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 1024;
/// What sockets and libraries may hold between a writer and a reader that does not read.
const IN_BETWEEN: usize = 24 * 1024 * 1024;

/// A body of 64 MiB that counts what was taken of it, and notifies when nobody takes any more.
fn source(produced: &Arc<AtomicUsize>, stalled: &Arc<Notify>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let (produced, stalled) = (Arc::clone(produced), Arc::clone(stalled));
    tokio::spawn(async move {
        let chunk = Bytes::from(vec![b'x'; CHUNK]);
        for _ in 0..CHUNKS {
            let free = match tokio::time::timeout(Duration::from_millis(300), sender.reserve()).await {
                Ok(free) => free,
                Err(_) => {
                    stalled.notify_one();
                    sender.reserve().await
                }
            };
            let Ok(free) = free else { return };
            free.send(Ok(Frame::data(chunk.clone())));
            produced.fetch_add(CHUNK, Ordering::SeqCst);
        }
    });
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    StreamBody::new(stream).boxed_unsync()
}

#[test]
fn downloads() {
    run(async {
        let (produced, stalled) = (Arc::<AtomicUsize>::default(), Arc::new(Notify::new()));
        let (produced_there, stalled_there) = (Arc::clone(&produced), Arc::clone(&stalled));
        let server = Server::http(move |_| {
            let body = source(&produced_there, &stalled_there);
            async move { Response::new(body) }
        })
        .await;
        let door = door(&[&server.origin()]);
        let mut body = door.send(get(&server.origin()), Timeouts::default()).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        stalled.notified().await;
        let held = produced.load(Ordering::SeqCst);
        assert!(held < IN_BETWEEN, "{held} bytes were taken for a reader that read {}", first.len());

        let mut total = first.len();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= 2 * 1024 * 1024, "one piece has {} bytes", data.len());
            total += data.len();
        }
        assert_eq!(total, CHUNK * CHUNKS);
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn uploads() {
    run(async {
        let (produced, stalled) = (Arc::<AtomicUsize>::default(), Arc::new(Notify::new()));
        let go = Arc::new(Notify::new());
        let gate = Arc::clone(&go);
        let server = Server::http(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                let mut body = request.into_body();
                let mut total = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    total += frame.into_data().unwrap().len();
                }
                reply(200, &[], total.to_string())
            }
        })
        .await;
        let door = door(&[&server.origin()]);
        let request = Request::post(server.origin()).body(source(&produced, &stalled)).unwrap();
        let sending = tokio::spawn(async move {
            let response = door.send(request, Timeouts::default()).await?;
            text(response).await
        });
        stalled.notified().await;
        let held = produced.load(Ordering::SeqCst);
        assert!(held < IN_BETWEEN, "{held} bytes were taken for a server that reads nothing");
        go.notify_one();
        assert_eq!(sending.await.unwrap(), Ok((CHUNK * CHUNKS).to_string()));
    });
}
