//! The same of WASI 0.3: instances are reused unless they fail.

use crate::harness::{channel, get, is_waiting, next, p3, run, serve};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_app::{Component, Limits};
use std::time::Duration;

#[test]
fn instances_are_reused() {
    run(async {
        let app = serve(p3()).await;
        assert_eq!(app.get("/hello").await, (200, "Hello, world!\n".to_owned()));
        for count in ["1", "2", "3"] {
            assert_eq!(app.get("/count").await, (200, count.to_owned()));
        }
        assert_eq!(app.metric("instances_created_total", ""), 1);
    });
}

#[test]
fn bodies_and_trailers_stream_both_ways() {
    run(async {
        let app = serve(p3()).await;
        let (sender, body) = channel();
        let request = Request::post("/echo").header("host", "h").body(body).unwrap();
        let mut echo = app.send(request).await.into_body();
        for piece in ["one", "two"] {
            sender.unbounded_send(Ok(Frame::data(Bytes::from(piece)))).unwrap();
            assert_eq!(next(&mut echo).await.unwrap(), piece);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", "abc".parse().unwrap());
        sender.unbounded_send(Ok(Frame::trailers(trailers))).unwrap();
        drop(sender);
        let rest = echo.collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["checksum"], "abc");
    });
}

#[test]
fn a_guest_that_fails_hurts_its_own_request_alone() {
    run(async {
        let limits = Limits { timeout: Some(Duration::from_millis(200)), ..Limits::default() };
        let app = serve(Component { limits, ..p3() }).await;
        for (path, status, reason) in [
            ("/trap", 500, "trap"),
            ("/error", 502, "error_code"),
            ("/loop", 504, "timeout"),
            ("/never", 504, "timeout"),
        ] {
            let before = app.failures(reason);
            assert_eq!(app.get(path).await.0, status, "{path}: {:?}", app.log);
            // The client may hear of it first.
            app.until(path, |app| app.failures(reason) > before).await;
            assert_eq!(app.failures(reason), before + 1, "{path}: {:?}", app.log);
            assert_eq!(app.get("/hello").await.0, 200, "after {path}");
        }
        let response = app.send(get("/abort")).await;
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err());
        assert_eq!(app.get("/hello").await.0, 200);
    });
}

#[test]
fn a_guest_may_go_on_after_its_answer_or_be_cancelled() {
    run(async {
        let app = serve(p3()).await;
        assert_eq!(app.get("/after").await, (200, "answered".to_owned()));
        app.until("it goes on", |app| app.logged("went on")).await;
        let live = app.metric("instances_live", "");
        let mut request = app.handlers["api"].handle(get("/never"));
        assert!(is_waiting(&mut request).await);
        drop(request);
        app.until("it is gone", |app| app.metric("instances_live", "") <= live).await;
    });
}
