//! Bodies in both directions: streamed, bounded, with trailers, and never taken for whole when they are not.

use crate::harness::{Served, channel, get, is_waiting, next, p2, run, serve};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_app::{Component, Serving};
use sampan_service::{Body, full};

fn post(path: &str, body: Body) -> Request<Body> {
    Request::post(path).header("host", "h").body(body).unwrap()
}

#[test]
fn bodies_stream_both_ways_at_once() {
    run(async {
        let app = serve(p2()).await;
        let (sender, body) = channel();
        let mut echo = app.send(post("/echo", body)).await.into_body();
        for piece in ["one", "two", "three"] {
            sender.unbounded_send(Ok(Frame::data(Bytes::from(piece)))).unwrap();
            // It comes back before the next one is sent.
            assert_eq!(next(&mut echo).await.unwrap(), piece);
        }
        drop(sender);
        assert_eq!(next(&mut echo).await, None);
    });
}

#[test]
fn trailers_go_both_ways() {
    run(async {
        let app = serve(p2()).await;
        let (sender, body) = channel();
        sender.unbounded_send(Ok(Frame::data(Bytes::from("body")))).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", "abc".parse().unwrap());
        sender.unbounded_send(Ok(Frame::trailers(trailers))).unwrap();
        drop(sender);
        let whole = app.send(post("/trailers", body)).await.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["seen-checksum"], "abc");
        assert_eq!(whole.to_bytes(), "body");
    });
}

#[test]
fn a_large_body_is_not_kept_in_memory() {
    run(async {
        let app = serve(p2()).await;
        // 64 MiB: read piece by piece, of which the guest makes no more than were read.
        let mut body = app.send(get("/stream?1024")).await.into_body();
        let mut total = 0;
        while let Some(piece) = next(&mut body).await {
            assert!(piece.len() <= 1 << 20);
            total += piece.len();
        }
        assert_eq!(total, 64 << 20);
    });
}

async fn small_bodies() -> Served {
    serve(Component { serving: Serving { body_bytes: 10, ..Serving::default() }, ..p2() }).await
}

#[test]
fn a_body_that_is_announced_too_long_is_refused_at_once() {
    run(async {
        let app = small_bodies().await;
        let mut request = post("/echo", full("01234567890"));
        request.headers_mut().insert("content-length", 11.into());
        assert_eq!(app.send(request).await.status(), 413);
        assert_eq!(app.refusals("body_too_large"), 1);
        assert_eq!(app.metric("instances_created_total", ""), 0);
    });
}

#[test]
fn a_body_that_becomes_too_long_is_an_error_for_the_guest() {
    run(async {
        let app = small_bodies().await;
        let (sender, body) = channel();
        for _ in 0..3 {
            sender.unbounded_send(Ok(Frame::data(Bytes::from("0123")))).unwrap();
        }
        let response = app.send(post("/echo", body)).await;
        assert!(response.into_body().collect().await.is_err());
        app.until("the guest sees the error", |app| app.logged("echo ended: ")).await;
    });
}

#[test]
fn half_a_body_is_an_error_for_the_client() {
    for (path, failure) in [("/abort", "trap"), ("/short", ""), ("/long", "")] {
        run(async {
            let app = serve(p2()).await;
            let response = app.send(get(path)).await;
            assert_eq!(response.status(), 200, "{path}");
            assert!(response.into_body().collect().await.is_err(), "{path}");
            if !failure.is_empty() {
                app.until(failure, |app| app.failures(failure) == 1).await;
            }
        });
    }
}

#[test]
fn a_client_that_breaks_off_ends_the_guest() {
    run(async {
        let app = serve(p2()).await;
        // Before the answer.
        let mut request = app.handlers["api"].handle(get("/slow?3600000"));
        assert!(is_waiting(&mut request).await);
        app.until("it runs", |app| app.metric("instances_live", "") == 1).await;
        drop(request);
        app.until("it is gone", |app| app.metric("instances_live", "") == 0).await;

        // In the middle of the answer's body.
        let mut body = app.send(get("/stream?1000000")).await.into_body();
        assert!(next(&mut body).await.is_some());
        assert_eq!(app.metric("instances_live", ""), 1);
        drop(body);
        app.until("it is gone", |app| app.metric("instances_live", "") == 0).await;
        app.until("cancelled", |app| app.failures("cancelled") == 1).await;
    });
}

#[test]
fn a_guest_may_go_on_after_its_answer() {
    run(async {
        let app = serve(p2()).await;
        assert_eq!(app.get("/after").await, (200, "answered".to_owned()));
        app.until("it goes on", |app| app.logged("went on")).await;
        app.until("it ends", |app| app.metric("instances_live", "") == 0).await;
        assert_eq!(app.failures("cancelled"), 0);
    });
}
