//! Several requests at once in one instance of WASI 0.3.

use crate::harness::{Served, cache, channel, get, is_waiting, next, p2, p3, run, serve};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_app::{App, Component, Limits, Serving};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Machine, Progress, Setup, Step, load};
use sampan_service::Answer;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn at_once(concurrency: u32) -> Component {
    Component { serving: Serving { concurrency, ..Serving::default() }, ..p3() }
}

/// A request that waits in its instance until another comes to `/go` there. `count`: how many have waited then.
async fn wait(app: &Served, count: usize) -> Answer<'_> {
    let mut request = app.handlers["api"].handle(get("/wait"));
    assert!(is_waiting(&mut request).await);
    let lines = |app: &Served| app.log.lock().unwrap().iter().filter(|line| line.contains("waiting")).count();
    app.until("it waits", |app| lines(app) == count).await;
    request
}

fn created(app: &Served) -> u64 {
    app.metric("instances_created_total", "")
}

fn live(app: &Served) -> u64 {
    app.metric("instances_live", "")
}

#[test]
fn requests_meet_in_an_instance() {
    run(async {
        let app = serve(at_once(3)).await;
        let (first, second) = (wait(&app, 1).await, wait(&app, 2).await);
        assert_eq!(app.get("/go").await, (200, "2".to_owned()));
        for request in [first, second] {
            // To its end: a client that leaves before that spoils the instance.
            let body = request.await.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "waited");
        }
        assert_eq!((created(&app), app.metric("instances_reused_total", "")), (1, 2));
        assert_eq!(live(&app), 1);
    });
}

#[test]
fn with_one_at_a_time_they_do_not() {
    run(async {
        let app = serve(p3()).await;
        let _first = wait(&app, 1).await;
        assert_eq!(app.get("/go").await, (200, "0".to_owned()));
        assert_eq!(created(&app), 2);
    });
}

#[test]
fn no_more_than_the_manifest_says_are_in_an_instance() {
    run(async {
        let app = serve(at_once(2)).await;
        let (first, second) = (wait(&app, 1).await, wait(&app, 2).await);
        // A second instance, in which nobody waits.
        assert_eq!(app.get("/go").await, (200, "0".to_owned()));
        assert_eq!(created(&app), 2);
        drop((first, second));
        app.until("the first one is gone", |app| live(app) == 1).await;
    });
}

#[test]
fn instances_are_replaced_after_so_many_requests() {
    run(async {
        let component = at_once(4);
        let serving = Serving { reuse: Some(2), ..component.serving.clone() };
        let app = serve(Component { serving, ..component }).await;
        for count in ["1", "2", "1", "2", "1"] {
            assert_eq!(app.get("/count").await, (200, count.to_owned()));
        }
        assert_eq!((created(&app), app.metric("instances_reused_total", "")), (3, 2));
        app.until("the used ones are gone", |app| live(app) == 1).await;
    });
}

#[test]
fn requests_at_once_are_bounded_by_places() {
    run(async {
        let component = at_once(8);
        let serving = Serving { instances: 2, queue: 0, ..component.serving.clone() };
        let app = serve(Component { serving, ..component }).await;
        let (first, second) = (wait(&app, 1).await, wait(&app, 2).await);
        assert_eq!(app.get("/hello").await.0, 503);
        assert_eq!(app.refusals("queue_full"), 1);
        drop((first, second));
        app.until("they are gone", |app| live(app) == 0).await;
        assert_eq!(app.get("/hello").await.0, 200);
    });
}

#[test]
fn a_trap_ends_all_of_its_instance_and_no_others() {
    run(async {
        let app = serve(at_once(2)).await;
        // Two instances: the first one is full.
        let (first, second) = (wait(&app, 1).await, wait(&app, 2).await);
        let third = wait(&app, 3).await;
        assert_eq!(created(&app), 2);
        assert_eq!(app.get("/trap").await.0, 500);
        assert_eq!(third.await.status(), 500);
        app.until("trap", |app| app.failures("trap") == 1).await;
        assert!(app.logged("ended for another request's sake"), "{:?}", app.log);
        app.until("it is gone", |app| live(app) == 1).await;
        // A new instance.
        assert_eq!(app.get("/count").await, (200, "1".to_owned()));
        assert_eq!(created(&app), 3);
        drop(first);
        // The other one of the first instance is not ended by that.
        let mut second = second;
        assert!(is_waiting(&mut second).await);
        drop(second);
        app.until("it is gone", |app| live(app) == 1).await;
    });
}

#[test]
fn a_body_that_is_cut_off_by_a_trap_is_not_taken_for_whole() {
    run(async {
        let app = serve(at_once(4)).await;
        let (sender, body) = channel();
        let request = Request::post("/echo").header("host", "h").body(body).unwrap();
        let mut echo = app.send(request).await.into_body();
        sender.unbounded_send(Ok(Frame::data(Bytes::from("one")))).unwrap();
        assert_eq!(next(&mut echo).await.unwrap(), "one");
        assert_eq!(app.get("/trap").await.0, 500);
        // The host passes an echo on by itself, until the client ends it.
        drop(sender);
        assert!(echo.collect().await.is_err());
        let response = app.send(get("/abort")).await;
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err());
    });
}

#[test]
fn a_client_that_leaves_does_not_end_the_others() {
    run(async {
        let app = serve(at_once(3)).await;
        let first = wait(&app, 1).await;
        let (sender, body) = channel();
        let request = Request::post("/echo").header("host", "h").body(body).unwrap();
        let mut echo = app.send(request).await.into_body();
        drop(first);
        for piece in ["one", "two"] {
            sender.unbounded_send(Ok(Frame::data(Bytes::from(piece)))).unwrap();
            assert_eq!(next(&mut echo).await.unwrap(), piece);
        }
        // What it left behind serves nobody new.
        assert_eq!(app.get("/go").await, (200, "0".to_owned()));
        assert_eq!(created(&app), 2);
        drop(sender);
        assert!(echo.collect().await.unwrap().to_bytes().is_empty());
        app.until("it is gone", |app| live(app) == 1).await;
    });
}

#[test]
fn time_is_over_for_one_request_alone() {
    run(async {
        let limits = Limits { timeout: Some(Duration::from_millis(300)), ..Limits::default() };
        let app = serve(Component { limits, ..at_once(3) }).await;
        let first = wait(&app, 1).await;
        assert_eq!(first.await.status(), 504);
        app.until("timeout", |app| app.failures("timeout") == 1).await;
        app.until("it is gone", |app| live(app) == 0).await;
        assert_eq!(app.get("/count").await, (200, "1".to_owned()));
        // One that computes all the time lets no other in: those have another instance.
        let mut looping = app.handlers["api"].handle(get("/loop"));
        assert!(is_waiting(&mut looping).await);
        app.until("it loops", |app| app.logged("looping")).await;
        assert_eq!(app.get("/hello").await.0, 200);
        assert_eq!(looping.await.status(), 504);
        app.until("it is gone", |app| live(app) <= 1).await;
    });
}

#[test]
fn processor_time_is_an_instances_own() {
    run(async {
        let limits = Limits { cpu_time: Some(Duration::from_millis(20)), ..Limits::default() };
        let app = serve(Component { limits, ..at_once(2) }).await;
        let first = wait(&app, 1).await;
        assert_eq!(app.get("/loop").await.0, 500);
        assert_eq!(first.await.status(), 500);
        app.until("cpu", |app| app.failures("cpu") == 1).await;
        assert_eq!(app.get("/hello").await.0, 200);
    });
}

#[test]
fn a_guest_may_go_on_and_an_unused_instance_is_dropped() {
    run(async {
        let component = at_once(2);
        let serving = Serving { idle: Duration::ZERO, ..component.serving.clone() };
        let app = serve(Component { serving, ..component }).await;
        assert_eq!(app.get("/after").await, (200, "answered".to_owned()));
        app.until("it goes on", |app| app.logged("went on")).await;
        app.until("it is dropped", |app| live(app) == 0).await;
        assert_eq!(app.get("/error").await.0, 502);
        app.until("error_code", |app| app.failures("error_code") == 1).await;
    });
}

#[test]
fn where_it_has_no_effect_it_is_said() {
    run(async {
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&said);
        let progress = Progress::new(move |name, step| {
            if let Step::Notice(text) = step {
                sink.lock().unwrap().push(format!("{name}: {text}"));
            }
        });
        let setup = Setup { cache: Some(cache()), ..Setup::default() };
        let machine = Machine::new(setup).unwrap_or_else(|f| panic!("{f:?}"));
        let old = Component { name: "old".into(), serving: at_once(2).serving, ..p2() };
        let app = App { components: vec![old, at_once(2)], ..App::default() };
        load(&machine, &app, &Backends::default(), &progress).await.unwrap_or_else(|f| panic!("{f:?}"));
        let said = said.lock().unwrap();
        assert!(said[0].starts_with("old: `concurrency` has no effect"), "{said:?}");
        assert_eq!(said.len(), 1, "{said:?}");
    });
}
