//! Instances: fresh, reused, dropped; code: loaded late, unloaded, loaded again, refused.

use crate::harness::{machine, p2, p3, run, serve, serve_app};
use sampan_app::{App, Component, ComponentKind, Serving};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Machine, Plan, Progress, Setup, Step, load};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn reused(times: u32) -> Component {
    Component { serving: Serving { reuse: Some(times), ..Serving::default() }, ..p2() }
}

#[test]
fn each_request_has_an_instance_of_its_own_by_default() {
    run(async {
        let app = serve(p2()).await;
        for _ in 0..3 {
            assert_eq!(app.get("/count").await, (200, "1".to_owned()));
        }
        assert_eq!(app.metric("instances_created_total", ""), 3);
    });
}

#[test]
fn an_instance_serves_as_many_requests_as_the_manifest_says() {
    run(async {
        let app = serve(reused(2)).await;
        for count in ["1", "2", "1", "2", "1"] {
            assert_eq!(app.get("/count").await, (200, count.to_owned()));
        }
        assert_eq!(app.metric("instances_created_total", ""), 3);
        assert_eq!(app.metric("instances_reused_total", ""), 2);
        app.until("two are gone", |app| app.metric("instances_live", "") == 1).await;
    });
}

#[test]
fn what_failed_or_was_left_serves_nothing_more() {
    run(async {
        let app = serve(reused(100)).await;
        for path in ["/trap", "/error", "/twice", "/short"] {
            assert_eq!(app.get("/count").await.1, "1", "before {path}");
            let _ = app.send(crate::harness::get(path)).await;
            app.until("it is gone", |app| app.metric("instances_live", "") <= 1).await;
            // `/error` and `/short` end well as calls, and may be reused; a count that begins anew is what matters.
            app.machine.set_code_idle(Duration::ZERO);
            app.machine.drop_unused();
            app.machine.set_code_idle(Duration::from_secs(60));
            assert_eq!(app.metric("instances_live", ""), 0, "{path}");
        }
        assert_eq!(app.get("/count").await.1, "1");
        assert_eq!(app.get("/trap").await.0, 500);
        assert_eq!(app.get("/count").await.1, "1");
    });
}

#[test]
fn an_instance_that_printed_is_reused() {
    run(async {
        let app = serve(reused(100)).await;
        for _ in 0..3 {
            app.get("/print?x").await;
        }
        assert_eq!(app.metric("instances_created_total", ""), 1);
    });
}

#[test]
fn unused_instances_are_dropped_after_their_time() {
    run(async {
        let serving = Serving { reuse: Some(9), idle: Duration::ZERO, ..Serving::default() };
        let app = serve(Component { serving, ..p2() }).await;
        app.get("/hello").await;
        app.until("it is dropped", |app| app.metric("instances_live", "") == 0).await;
    });
}

#[test]
fn a_lazy_component_is_loaded_by_its_first_request_and_unloaded_when_unused() {
    run(async {
        let app = serve(Component { lazy: true, ..p2() }).await;
        assert_eq!(app.machine.loaded(), 0);
        assert_eq!(app.get("/hello").await.0, 200);
        assert_eq!(app.machine.loaded(), 1);
        app.machine.set_code_idle(Duration::ZERO);
        app.machine.drop_unused();
        assert_eq!(app.machine.loaded(), 0);
        app.machine.set_code_idle(Duration::from_secs(60));
        assert_eq!(app.get("/hello").await.0, 200);
    });
}

#[test]
fn concurrent_first_requests_load_once() {
    run(async {
        let app = serve(Component { lazy: true, ..p2() }).await;
        let all = futures::future::join_all((0..20).map(|_| app.get("/hello"))).await;
        assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
        assert_eq!(app.machine.loaded(), 1);
    });
}

#[test]
fn an_app_that_cannot_serve_is_refused_with_all_reasons() {
    run(async {
        let log = Arc::default();
        let machine = machine(&log);
        let folder = sampan_testing::temp_dir();
        std::fs::write(folder.path().join("broken.wasm"), b"\0asm\x01\0\0\0broken").unwrap();
        let component = |name: &str, source: std::path::PathBuf, kind| Component {
            name: name.into(),
            source,
            kind,
            ..Component::default()
        };
        let app = App {
            components: vec![
                component("absent", folder.path().join("absent.wasm"), None),
                component("broken", folder.path().join("broken.wasm"), None),
                component("command", sampan_testing::guest_for("wasm32-wasip2", "greedy-p2"), None),
                component("unknown", sampan_testing::wat("unknown-import"), Some(ComponentKind::Http)),
                p2(),
            ],
            ..App::default()
        };
        let failures = load(&machine, &app, &Backends::default(), &Progress::none()).await.err().unwrap();
        let text: Vec<String> = failures.iter().map(ToString::to_string).collect();
        for (index, part) in [
            "component absent: cannot read",
            "component broken: ",
            "component command: it exports no HTTP handler",
            "component unknown: ",
        ]
        .iter()
        .enumerate()
        {
            assert!(text[index].contains(part), "{part}: {text:?}");
        }
        assert_eq!(text.len(), 4);
        assert!(failures[0].help.as_ref().unwrap().contains("source"), "{failures:?}");
    });
}

#[test]
fn loading_says_what_it_does() {
    run(async {
        let said: Arc<Mutex<Vec<(String, Step)>>> = Arc::default();
        let sink = Arc::clone(&said);
        let progress = Progress::new(move |name, step| sink.lock().unwrap().push((name.to_owned(), step)));
        // Without cache, so that it compiles.
        let machine = Machine::new(Setup::default()).unwrap_or_else(|f| panic!("{f:?}"));
        let app = App { components: vec![p3()], ..App::default() };
        load(&machine, &app, &Backends::default(), &progress).await.unwrap_or_else(|f| panic!("{f:?}"));
        let said = said.lock().unwrap();
        assert!(matches!(said[0], (ref name, Step::CompileBegins { .. }) if name == "api"), "{said:?}");
        assert!(matches!(said.last(), Some((_, Step::Ready { cached: false, .. }))), "{said:?}");
    });
}

#[test]
fn wasi_0_3_can_be_switched_off() {
    run(async {
        let plan = Plan { wasi_0_3: false, ..Plan::default() };
        let setup = Setup { plan, cache: Some(crate::harness::cache()), ..Setup::default() };
        let machine = Machine::new(setup).unwrap_or_else(|f| panic!("{f:?}"));
        let app = App { components: vec![p3()], ..App::default() };
        let failures = load(&machine, &app, &Backends::default(), &Progress::none()).await.err().unwrap();
        assert!(failures[0].message.contains("WASI 0.3, which is switched off"), "{failures:?}");
        let app = App { components: vec![p2()], ..App::default() };
        assert!(load(&machine, &app, &Backends::default(), &Progress::none()).await.is_ok());
    });
}

#[test]
fn several_components_share_a_machine() {
    run(async {
        let other = Component { name: "other".into(), ..p3() };
        let app = serve_app(App { components: vec![p2(), other], ..App::default() }).await;
        assert_eq!(app.get("/hello").await.0, 200);
        let response = app.handlers["other"].handle(crate::harness::get("/hello")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(app.machine.loaded(), 2);
    });
}
