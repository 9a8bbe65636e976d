//! Limits of time, memory and places.

use crate::harness::{Served, get, is_waiting, p2, run, serve, serve_app};
use sampan_app::{App, Component, Limits, Serving};
use std::time::{Duration, Instant};

fn limited(limits: Limits) -> Component {
    Component { limits, ..p2() }
}

#[test]
fn a_loop_ends_at_its_processor_time() {
    run(async {
        let limits = Limits { cpu_time: Some(Duration::from_millis(20)), ..Limits::default() };
        let app = serve(limited(limits)).await;
        assert_eq!(app.get("/loop").await.0, 500);
        app.until("cpu", |app| app.failures("cpu") == 1).await;
        assert!(app.logged("its processor time of 20ms is over"), "{:?}", app.log);
        // Where it looped.
        assert!(app.logged("handle"), "{:?}", app.log);
    });
}

#[test]
fn waiting_takes_no_processor_time() {
    run(async {
        let limits = Limits { cpu_time: Some(Duration::from_millis(50)), ..Limits::default() };
        let app = serve(limited(limits)).await;
        assert_eq!(app.get("/slow?100").await, (200, "slow".to_owned()));
    });
}

#[test]
fn wall_time_is_over_for_loops_and_for_waits() {
    for path in ["/loop", "/slow?3600000"] {
        run(async {
            let limits = Limits { timeout: Some(Duration::from_millis(30)), ..Limits::default() };
            let app = serve(limited(limits)).await;
            assert_eq!(app.get(path).await.0, 504, "{path}: {:?}", app.log);
            app.until("timeout", |app| app.failures("timeout") == 1).await;
            assert!(app.logged("its time of 30ms is over"), "{path}: {:?}", app.log);
            app.until("it is gone", |app| app.metric("instances_live", "") == 0).await;
        });
    }
}

#[test]
fn a_loop_does_not_stop_its_neighbours() {
    run(async {
        let limits = Limits { timeout: Some(Duration::from_secs(20)), ..Limits::default() };
        let app = serve(limited(limits)).await;
        // On the only thread of this runtime. More loops than processors.
        let loops: Vec<_> = (0..8)
            .map(|_| {
                let handler = app.handlers["api"].clone();
                tokio::spawn(async move { handler.handle(get("/loop")).await.status() })
            })
            .collect();
        app.until("they run", |app| app.metric("instances_live", "") == 8).await;
        let begin = Instant::now();
        for _ in 0..10 {
            assert_eq!(app.get("/hello").await.0, 200);
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(loops.iter().all(|one| !one.is_finished()));
        for one in loops {
            one.abort();
        }
        app.until("they are gone", |app| app.metric("instances_live", "") == 0).await;
    });
}

#[test]
fn memory_is_bounded_for_an_instance_and_for_its_app() {
    run(async {
        let limits = Limits { memory_bytes: Some(16 << 20), ..Limits::default() };
        let app = serve(limited(limits)).await;
        assert_eq!(app.get("/memory?8").await.0, 200, "{:?}", app.log);
        assert_eq!(app.get("/memory?32").await.0, 500);
        app.until("memory", |app| app.failures("memory") == 1).await;
        assert!(app.logged("may have 16.0 MiB"), "{:?}", app.log);

        let app =
            serve_app(App { components: vec![p2()], memory_bytes: Some(16 << 20), ..App::default() }).await;
        assert_eq!(app.get("/memory?8").await.0, 200, "{:?}", app.log);
        let response = app.send(get("/memory?32")).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["retry-after"].as_bytes()),
            (503, &b"1"[..])
        );
        app.until("memory_budget", |app| app.failures("memory_budget") == 1).await;
        // What it had is free again as soon as it is gone, of which the client may hear first.
        app.until("it is gone", |app| app.metric("instances_live", "") == 0).await;
        assert_eq!(app.get("/memory?8").await.0, 200, "{:?}", app.log);
    });
}

async fn one_at_a_time(queue: u32, queue_timeout: Duration) -> Served {
    let serving = Serving { instances: 1, queue, queue_timeout, ..Serving::default() };
    serve(Component { serving, ..p2() }).await
}

#[test]
fn more_requests_than_places_wait_and_more_than_may_wait_are_refused() {
    run(async {
        let app = one_at_a_time(1, Duration::from_secs(60)).await;
        let mut first = app.handlers["api"].handle(get("/slow?3600000"));
        assert!(is_waiting(&mut first).await);
        let mut second = app.handlers["api"].handle(get("/hello"));
        assert!(is_waiting(&mut second).await);
        assert_eq!(app.metric("requests_waiting", ""), 1);
        let third = app.send(get("/hello")).await;
        assert_eq!((third.status().as_u16(), third.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
        assert_eq!(app.refusals("queue_full"), 1);
        drop(first);
        assert_eq!(second.await.status(), 200);
        assert_eq!(app.metric("requests_waiting", ""), 0);
    });
}

#[test]
fn nobody_waits_for_ever() {
    run(async {
        let app = one_at_a_time(10, Duration::from_millis(20)).await;
        let mut first = app.handlers["api"].handle(get("/slow?3600000"));
        assert!(is_waiting(&mut first).await);
        assert_eq!(app.get("/hello").await.0, 503);
        assert_eq!(app.refusals("queue_timeout"), 1);
    });
}
