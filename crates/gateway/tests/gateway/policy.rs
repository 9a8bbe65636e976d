//! Rewrites, header changes, limits, redirects and matching by query, as clients and targets see them.

use crate::{Got, ask, block_on, component, folder, get, get_with, route};
use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_app::{HeaderEdits, Policy, Route, Target};
use sampan_gateway::{Handlers, Router};
use sampan_service::{Answer, Body, Handler, Matched, full};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A target that says what it got, or never answers.
struct Mirror;

impl Handler for Mirror {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            if head.uri.path() == "/silent" {
                std::future::pending::<()>().await;
            }
            let Matched { base, rest, .. } = head.extensions.get().cloned().expect("a match");
            let mut text = format!("{} {base}|{rest}\n", head.uri);
            for (name, value) in &head.headers {
                text += &format!("{name}: {}\n", value.to_str().expect("ASCII"));
            }
            match body.collect().await {
                Ok(body) => text += &String::from_utf8_lossy(&body.to_bytes()),
                Err(error) => text += &format!("broke: {error}"),
            }
            let mut response = Response::new(full(text));
            response.headers_mut().insert("x-kept", "1".parse().expect("a value"));
            response.headers_mut().insert("server", "mirror".parse().expect("a value"));
            response
        })
    }
}

fn mirror(routes: &[Route]) -> Router {
    let components = HashMap::from([("api".to_owned(), Arc::new(Mirror) as Arc<dyn Handler>)]);
    Router::new("app", routes, &Handlers { components, ..Handlers::default() }).expect("good routes")
}

fn with(path: &str, policy: Policy) -> Route {
    Route { policy, ..route(path, component("api")) }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn first_line(got: &Got) -> String {
    got.text().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_target_finds_the_request_at_the_new_path() {
    let table = [
        ("/api/...", "/...", "/api/x/y?q=1&r", "/x/y?q=1&r |/x/y"),
        ("/api/...", "/...", "/api", "/ |/"),
        ("/api/...", "/v2/...", "/api/a%2Fb/", "/v2/a%2Fb/ |/v2/a%2Fb/"),
        ("/api/...", "/one", "/api/x?q", "/one?q |/one"),
        ("/u/:id/:what/...", "/:what/of/:id/...", "/u/7/posts/x", "/posts/of/7/x |/posts/of/7/x"),
        ("/:a", "/x/:a", "/http%3A", "/x/http%3A |/x/http%3A"),
    ];
    for (path, rewrite, target, expected) in table {
        let router = mirror(&[with(path, Policy { rewrite: Some(rewrite.into()), ..Policy::default() })]);
        assert_eq!(first_line(&get(&router, target)), expected, "{path} → {rewrite}: {target}");
    }
}

#[test]
fn a_static_folder_is_searched_at_the_new_path() {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("images")).unwrap();
    std::fs::write(files.path().join("images/a.txt"), "a").unwrap();
    let to = Target::Static(folder(files.path()));
    let policy = Policy { rewrite: Some("/images/...".into()), ..Policy::default() };
    let router = mirror(&[Route { policy, ..route("/img/...", to) }]);
    assert_eq!(get(&router, "/img/a.txt").text(), "a");
    assert_eq!(get(&router, "/img/images/a.txt").status, 404);
}

#[test]
fn hosts_and_headers_change_on_the_way() {
    let policy = Policy {
        rewrite_host: Some("backend:8080".into()),
        request_headers: HeaderEdits {
            remove: vec!["x-secret".into(), "x-set".into()],
            set: pairs(&[("x-set", "new")]),
            add: pairs(&[("x-add", "2")]),
        },
        response_headers: HeaderEdits {
            remove: vec!["server".into()],
            set: pairs(&[("x-frame-options", "DENY")]),
            add: pairs(&[("x-kept", "2")]),
        },
        ..Policy::default()
    };
    let router = mirror(&[with("/...", policy)]);
    let sent = [("host", "shop"), ("x-secret", "s"), ("x-set", "old"), ("x-add", "1")];
    let got = get_with(&router, "/", &sent);
    let text = got.text();
    for line in ["host: backend:8080", "x-set: new", "x-add: 1", "x-add: 2"] {
        assert!(text.lines().any(|one| one == line), "{line} is missing: {text}");
    }
    assert!(!text.contains("x-secret") && !text.contains("old") && !text.contains("shop"), "{text}");
    assert_eq!((got.header("server"), got.header("x-frame-options")), ("", "DENY"));
    assert_eq!(got.headers.get_all("x-kept").iter().collect::<Vec<_>>(), ["1", "2"]);
    // HTTP/2 has the host in the target.
    assert_eq!(first_line(&get(&router, "http://shop/x")), "http://backend:8080/x |/x");
}

#[test]
fn a_body_that_is_too_large_gets_413() {
    let router = mirror(&[with("/...", Policy { body_bytes: Some(5), ..Policy::default() })]);
    assert_eq!(ask(&router, "POST", "/", &[], "12345").status, 200);
    let got = ask(&router, "POST", "/", &[], "123456");
    assert_eq!((got.status, got.text().as_str()), (413, "the body is too large\n"));
    // Nobody said how long these are.
    for (chunks, status) in [(&["123", "45"][..], 200), (&["123", "456"], 413)] {
        let frames = chunks
            .iter()
            .map(|chunk| Ok(hyper::body::Frame::data(bytes::Bytes::from_static(chunk.as_bytes()))));
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>()));
        let request = Request::post("/").body(body.boxed_unsync()).unwrap();
        let response = block_on(router.handle(request));
        assert_eq!(response.status(), status, "{chunks:?}");
    }
}

#[test]
fn an_answer_that_does_not_begin_in_time_is_504() {
    let timeout = Some(Duration::from_millis(20));
    let router = mirror(&[with("/...", Policy { timeout, ..Policy::default() })]);
    let status = |path: &str| {
        let request = Request::get(path).body(sampan_service::empty()).unwrap();
        block_on(router.handle(request)).status().as_u16()
    };
    assert_eq!((status("/silent"), status("/hello")), (504, 200));
}

#[test]
fn redirects_take_over_what_was_matched() {
    let to = |location: &str| Target::Redirect { status: 308, location: location.into() };
    let table = [
        ("/old/...", "https://example.com/new/...", "/old/a%20b?q=1", "https://example.com/new/a%20b?q=1"),
        ("/old/...", "https://example.com/new/...", "/old", "https://example.com/new"),
        ("/old/...", "https://example.com/new", "/old/a?q=1", "https://example.com/new"),
        ("/old/...", "/new/...", "/old/a", "/new/a"),
        (
            "/u/:id",
            "https://example.com:8080/users/:id?x=1",
            "/u/7?q",
            "https://example.com:8080/users/7?x=1",
        ),
        ("/u/:id/...", "/users/:id/...?from=old", "/u/7/x?q", "/users/7/x?from=old"),
        // No path of the client's becomes a host.
        ("/old/...", "/...", "/old//evil.example", "/evil.example"),
        ("/old/...", "/...", "/old", "/"),
        ("/:a/...", "/...", "/x///evil.example/y", "/evil.example/y"),
    ];
    for (path, location, target, expected) in table {
        let router = mirror(&[route(path, to(location))]);
        let got = get(&router, target);
        assert_eq!((got.status, got.header("location")), (308, expected), "{path} {location} {target}");
    }
}

#[test]
fn parameters_of_the_query_narrow() {
    let narrow = |query: &[(&str, &str)], headers: &[(&str, &str)], to: &str| Route {
        query: pairs(query),
        headers: pairs(headers),
        ..route("/", component(to))
    };
    let router = crate::router(&[
        narrow(&[], &[], "api"),
        narrow(&[("v", "2")], &[], "php"),
        narrow(&[("v", "2"), ("beta", "*")], &[], "api"),
        narrow(&[("caf\u{e9} au lait", "a&b")], &[], "php"),
        narrow(&[], &[("x-debug", "*")], "php"),
        narrow(&[], &[("x-debug", "off")], "api"),
    ]);
    let table = [
        ("/", None, "api"),
        ("/?v=1", None, "api"),
        ("/?v=2", None, "php"),
        ("/?x&v=1&v=2", None, "php"),
        ("/?%76=%32", None, "php"),
        ("/?v=2&beta", None, "api"),
        ("/?beta=&v=2", None, "api"),
        ("/?beta=1", None, "api"),
        ("/?vv=2", None, "api"),
        ("/?v=2%", None, "api"),
        ("/?caf%C3%A9+au%20lait=a%26b", None, "php"),
        ("/", Some(("x-debug", "yes")), "php"),
        ("/", Some(("x-debug", "")), "php"),
        ("/", Some(("x-debug", "off")), "api"),
    ];
    for (target, header, expected) in table {
        let headers = header.as_slice();
        assert_eq!(&*get_with(&router, target, headers).served.to, expected, "{target} {header:?}");
    }
}
