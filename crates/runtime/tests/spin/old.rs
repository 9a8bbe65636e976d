//! Guests of interfaces that are older than WASI 0.2: as a component, and as the module that is wrapped into one.

use crate::serve::Served;
use http::Request;
use sampan_app::{Component, Grants};
use sampan_testing::{HttpServer, Response, guest_for};

/// A guest of `guests/` that may send requests to `origin`.
fn served(platform: &str, guest: &str, origin: Option<&str>) -> Served {
    let http = origin.into_iter().map(|origin| origin.parse().expect("an origin")).collect();
    let component = Component {
        name: guest.to_owned(),
        source: guest_for(platform, guest),
        grants: Grants { http, ..Grants::default() },
        ..Component::default()
    };
    Served::component(component).expect("it is served")
}

fn origin() -> (HttpServer, String) {
    let server = HttpServer::start(|_| Response::new(202, "the answer"));
    let origin = format!("http://{}", server.address);
    (server, origin)
}

const BOTH: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

#[test]
fn a_component_of_spin_1_answers() {
    for platform in BOTH {
        let app = served(platform, "spin-inbound", None);
        let answer = app.get("/hello");
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello from Spin 1\n"), "{platform}");
        assert_eq!(answer.headers["content-type"], "text/plain");
        let request = Request::put("/echo?a=b").header("x-mine", "1").body("a body".to_owned()).unwrap();
        let answer = app.send(request);
        assert_eq!((answer.status, answer.body.as_str()), (201, "Method::Put /echo?a=b 1 0 a body"));
        let answer = app.get("/nothing");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
}

#[test]
fn what_spin_1_has_no_word_for_is_refused() {
    let app = served("wasm32-wasip2", "spin-inbound", None);
    let trace = Request::builder().method("TRACE").uri("/hello").body(String::new()).unwrap();
    assert_eq!(app.send(trace).status, 405);
    let bytes = http::HeaderValue::from_bytes(b"\xff").unwrap();
    assert_eq!(
        app.send(Request::get("/hello").header("x-bytes", bytes).body(String::new()).unwrap()).status,
        400
    );
    // Answers that cannot be sent are the guest's failure, and only this request's.
    assert_eq!(app.get("/status").status, 502);
    assert_eq!(app.get("/header").status, 502);
    assert_eq!(app.get("/hello").status, 200);
}

#[test]
fn a_body_that_is_too_long_for_spin_1_is_refused() {
    let mut component = Component {
        name: "spin-inbound".to_owned(),
        source: guest_for("wasm32-wasip2", "spin-inbound"),
        ..Component::default()
    };
    component.serving.body_bytes = 5;
    let app = Served::component(component).expect("it is served");
    assert_eq!(app.post("/echo", "12345").status, 201);
    assert_eq!(app.post("/echo", "123456").status, 413);
}

#[test]
fn spin_1_sends_requests_under_its_grants() {
    let (server, origin) = origin();
    let app = served("wasm32-wasip1", "spin-inbound", Some(&origin));
    let fetch = Request::get("/fetch").header("x-origin", &origin).body(String::new()).unwrap();
    let expected = "202 the answer, Some(\"destination-not-allowed\"), Some(\"invalid-url\")";
    assert_eq!(app.send(fetch).body, expected);
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("POST", "/outbound?x=1"));
    assert_eq!(requests[0].header("x-from"), Some("guest"));
    assert_eq!(requests[0].body, b"from the guest");
}

#[test]
fn the_snapshot_of_november_2023_answers() {
    let (_server, origin) = origin();
    for platform in BOTH {
        let app = served(platform, "http-november", Some(&origin));
        assert_eq!(app.get("/hello").body, "hello from November 2023\n", "{platform}");
        assert_eq!(app.get("/timeouts").body, "None (Some(1500), Some(2500), None)");
        assert_eq!(app.get("/trailers").body, "none");
        let fetch = Request::get("/fetch").header("x-origin", &origin).body(String::new()).unwrap();
        assert_eq!(app.send(fetch).body, "202 the answer");
    }
}

#[test]
fn a_module_before_components_is_refused_with_advice() {
    let folder = sampan_testing::temp_dir();
    let source = folder.path().join("old.wat");
    std::fs::write(&source, r#"(module (func (export "handle-http-request")))"#).unwrap();
    let error = Served::component(Component { name: "old".to_owned(), source, ..Component::default() });
    let error = error.err().expect("it is refused");
    assert!(error.contains("before version 1.4") && error.contains("handle-http-request"), "{error}");
    assert!(error.contains("build it again with Spin's SDK 2 or later"), "{error}");
}
