//! Filters that wait.

use crate::harness::*;
use http::{Request, Response};
use sampan_app::{Filter as Spec, OnFailure};
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;
use std::time::Duration;

/// Never answers.
struct Slow;

impl Handler for Slow {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        Box::pin(std::future::pending())
    }
}

/// Answers a call of the filter.
struct Other;

impl Handler for Other {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let read = read(Echo.handle(request).await).await;
            let seen = format!(
                "{} {} {} {} {}",
                read.header("got-method"),
                read.header("got-uri"),
                read.header("got-host"),
                read.header("got-x-by"),
                read.body
            );
            Response::builder().status(203).body(sampan_service::full(seen)).unwrap()
        })
    }
}

#[test]
fn a_filter_asks_another_before_it_goes_on() {
    run(async {
        let filtered = filtered(spec("proxy-pause", "")).await;
        let other: Arc<dyn Handler> = Arc::new(Other);
        let slow: Arc<dyn Handler> = Arc::new(Slow);
        filtered.surroundings.destinations.set("other", &other);
        filtered.surroundings.destinations.set("slow", &slow);
        let read = filtered.get("/call").await;
        assert_eq!(read.header("got-x-call"), "true 203 POST /asked other.example filter question 0");
        let read = filtered.get("/call-local").await;
        assert_eq!((read.status, read.header("x-call")), (429, "203"));
        // No answer is one too.
        assert_eq!(filtered.get("/call-slow").await.header("got-x-call"), "false   0");
        assert_eq!(filtered.get("/call-missing").await.header("got-x-called"), "false");
    });
}

#[test]
fn a_pause_ends_by_a_tick() {
    run(async {
        let filtered = filtered(spec("proxy-pause", "")).await;
        for path in ["/tick", "/response", "/now", "/none"] {
            assert_eq!(filtered.get(path).await.status, 200, "{path}");
        }
    });
}

#[test]
fn a_pause_ends_after_the_longest_time() {
    run(async {
        for (on_failure, status) in [(OnFailure::Closed, 504), (OnFailure::Open, 200)] {
            let spec = Spec { pause: Duration::from_millis(20), on_failure, ..spec("proxy-pause", "") };
            assert_eq!(filtered(spec).await.get("/ever").await.status, status, "{on_failure:?}");
        }
    });
}

#[test]
fn a_client_that_leaves_takes_its_context_along() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "")).await;
        let mut answer = filtered.handler.handle(get("/pause"));
        assert!(is_held_up(&mut answer).await);
        assert_eq!(filtered.logged("done /pause"), 0);
        drop(answer);
        assert_eq!(filtered.logged("done /pause"), 1);
        assert_eq!(filtered.logged("log /pause"), 1);
    });
}

#[test]
fn a_filter_may_resume_a_stream_that_is_gone() {
    run(async {
        let filtered = filtered(spec("proxy-pause", "")).await;
        let mut answer = filtered.handler.handle(get("/tick"));
        assert!(is_waiting(&mut answer).await);
        drop(answer);
        // The tick that lets this go on has tried the other too.
        assert_eq!(filtered.get("/tick").await.status, 200);
        assert_eq!(filtered.failures("trap"), 0);
    });
}
