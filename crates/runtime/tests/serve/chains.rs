//! Components that call each other, or their own app, in this process.

use crate::harness::{Served, get, p2, p3, run, serve_app};
use sampan_app::{App, Component, Grants, Origin, Serving};
use std::time::Duration;

fn granted(component: Component, origins: &[&str]) -> Component {
    let http: Vec<Origin> = origins.iter().map(|text| text.parse().unwrap()).collect();
    Component { grants: Grants { http, ..Grants::default() }, ..component }
}

async fn pair(origins: &[&str], serving: Serving) -> Served {
    let api = Component { serving, ..granted(p2(), origins) };
    let other = Component { name: "other".into(), ..p3() };
    serve_app(App { components: vec![api, other], ..App::default() }).await
}

#[test]
fn a_component_calls_another_by_its_name() {
    run(async {
        let app = pair(&["http://other.spin.internal"], Serving::default()).await;
        assert_eq!(app.get("/chain?other.spin.internal/hello").await, (200, "Hello, world!\n".to_owned()));
        // What is not granted, and what is not there.
        assert_eq!(app.get("/chain?api.spin.internal/hello").await.0, 502);
        let app = pair(&["http://*.spin.internal"], Serving::default()).await;
        let (status, text) = app.get("/chain?nobody.spin.internal/hello").await;
        assert_eq!((status, text.contains("DestinationUnavailable")), (502, true), "{text}");
    });
}

#[test]
fn an_app_calls_itself() {
    run(async {
        let app = pair(&["http://self"], Serving::default()).await;
        app.local.set_own(&app.handlers["other"]);
        assert_eq!(app.get("/chain?self/hello").await, (200, "Hello, world!\n".to_owned()));
    });
}

#[test]
fn a_circle_ends_with_508() {
    run(async {
        let app = pair(&["http://self"], Serving::default()).await;
        app.local.set_own(&app.handlers["api"]);
        // The guest passes on to itself what is after the first `?`, with the rest in it.
        let mut path = "/hello".to_owned();
        for _ in 0..12 {
            path = format!("/chain?self{path}");
        }
        assert_eq!(app.get(&path).await.0, 508);
        assert_eq!(app.refusals("loop"), 1);
        let short = "/chain?self".repeat(8) + "/hello";
        assert_eq!(app.get(&short).await.0, 200);
    });
}

#[test]
fn a_component_that_calls_itself_with_one_place_gets_an_error_and_no_deadlock() {
    run(async {
        let serving =
            Serving { instances: 1, queue_timeout: Duration::from_millis(50), ..Serving::default() };
        let app = pair(&["http://api.spin.internal"], serving).await;
        assert_eq!(app.get("/chain?api.spin.internal/hello").await.0, 503);
        assert_eq!(app.refusals("queue_timeout"), 1);
        assert_eq!(app.send(get("/hello")).await.status(), 200);
    });
}
