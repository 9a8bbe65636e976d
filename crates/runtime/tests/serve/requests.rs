//! What a guest is told of a request.

use crate::harness::{get, p2, run, serve};
use http::{Method, Request};
use http_body_util::BodyExt;
use sampan_app::{Component, Serving};
use sampan_service::{Depth, Matched, Peer, empty};

#[test]
fn hello() {
    run(async {
        let app = serve(p2()).await;
        let response = app.send(get("/hello")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain");
        let body = response.into_body();
        // Written in one piece by a guest that is done: so its length is known.
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(14));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "Hello, world!\n");
        assert_eq!(app.get("/nowhere").await, (404, "not found\n".to_owned()));
        assert_eq!(app.metric("instances_created_total", ""), 2);
        app.until("both are gone", |app| app.metric("instances_live", "") == 0).await;
    });
}

#[test]
fn the_guest_that_speed_is_measured_with_answers() {
    run(async {
        let source = sampan_testing::guest_for("wasm32-wasip2", "serve-hello");
        let app = serve(Component { source, ..p2() }).await;
        assert_eq!(app.get("/").await, (200, "Hello, world!\n".to_owned()));
    });
}

#[test]
fn a_guest_sees_the_whole_request() {
    run(async {
        let serving = Serving { spin_headers: true, ..Serving::default() };
        let app = serve(Component { serving, ..p2() }).await;
        let mut request = Request::builder()
            .method("PATCH")
            .uri("/request?a=b")
            .header("host", "shop.example:81")
            .header("x-mine", "1")
            .header("spin-client-addr", "6.6.6.6:6")
            .body(empty())
            .unwrap();
        let (address, local) = ("192.0.2.7:5000".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        request.extensions_mut().insert(Peer { address, local, tls: true });
        request.extensions_mut().insert(Matched {
            route: "/request/...".into(),
            base: "/request".into(),
            rest: String::new(),
            names: vec![],
        });
        let body = app.send(request).await.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        for line in [
            "Method::Patch Some(Scheme::Https) shop.example:81 /request?a=b",
            "x-mine: 1",
            "spin-client-addr: 192.0.2.7:5000",
            "spin-full-url: https://shop.example:81/request?a=b",
            "spin-component-route: /request",
        ] {
            assert!(text.lines().any(|one| one == line), "{line:?} is not in {text}");
        }
        assert!(!text.contains("6.6.6.6"), "{text}");
    });
}

#[test]
fn a_head_request_has_no_body_and_the_guest_runs_to_its_end() {
    run(async {
        let app = serve(p2()).await;
        let mut request = get("/after");
        *request.method_mut() = Method::HEAD;
        let response = app.send(request).await;
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        app.until("the guest goes on", |app| app.logged("went on")).await;
    });
}

#[test]
fn a_circle_of_calls_ends() {
    run(async {
        let app = serve(p2()).await;
        let mut request = get("/hello");
        request.extensions_mut().insert(Depth(Depth::MAX + 1));
        assert_eq!(app.send(request).await.status(), 508);
        assert_eq!(app.refusals("loop"), 1);
    });
}

#[test]
fn what_a_guest_prints_is_logged_with_its_name() {
    run(async {
        let app = serve(p2()).await;
        app.get("/print?this").await;
        assert!(app.logged(&format!("[{}/api] printed this", app.name)), "{:?}", app.log);
    });
}
