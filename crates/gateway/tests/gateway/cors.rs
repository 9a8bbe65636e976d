//! Cross-origin requests, as a browser sends them.

use crate::{Got, ask, component, route, router};
use sampan_app::{Cors, Policy, Route};
use sampan_gateway::Router;
use std::time::Duration;

fn cors(origins: &[&str]) -> Cors {
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Cors {
        origins: owned(origins),
        methods: owned(&["GET", "PUT"]),
        headers: owned(&["content-type", "x-token"]),
        expose: Vec::new(),
        credentials: false,
        max_age: None,
    }
}

fn serving(cors: Cors, methods: &[&str]) -> Router {
    router(&[Route {
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        policy: Policy { cors: Some(cors), ..Policy::default() },
        ..route("/a", component("api"))
    }])
}

const PAGE: &str = "https://shop.example.com";

fn preflight(router: &Router, origin: &str, method: &str, headers: &str) -> Got {
    let mut sent = vec![("origin", origin), ("access-control-request-method", method)];
    sent.extend((!headers.is_empty()).then_some(("access-control-request-headers", headers)));
    ask(router, "OPTIONS", "/a", &sent, "")
}

#[test]
fn a_preflight_is_answered_without_the_target() {
    let settings = Cors { credentials: true, max_age: Some(Duration::from_secs(600)), ..cors(&[PAGE]) };
    let router = serving(settings, &[]);
    let got = preflight(&router, PAGE, "PUT", "x-token");
    assert_eq!((got.status, got.text().as_str()), (204, ""));
    let table = [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type, x-token"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
        ("vary", "origin, access-control-request-method, access-control-request-headers"),
    ];
    for (name, expected) in table {
        assert_eq!(got.header(name), expected, "{name}");
    }
    let got = preflight(&router, "https://evil.example", "PUT", "");
    assert_eq!((got.status, got.header("access-control-allow-origin")), (403, ""));
    assert!(got.header("vary").starts_with("origin"));
}

#[test]
fn what_is_no_preflight_reaches_the_target() {
    let router = serving(cors(&[PAGE]), &[]);
    let table: [(&str, &[(&str, &str)]); 3] = [
        ("OPTIONS", &[]),
        ("OPTIONS", &[("origin", PAGE)]),
        ("GET", &[("origin", PAGE), ("access-control-request-method", "PUT")]),
    ];
    for (method, headers) in table {
        let got = ask(&router, method, "/a", headers, "");
        assert!(got.text().starts_with(&format!("api {method}")), "{method} {headers:?}: {}", got.text());
    }
}

#[test]
fn responses_say_who_may_read_them_and_what_they_depend_on() {
    let settings = Cors { expose: vec!["x-total".into(), "etag".into()], ..cors(&[PAGE]) };
    let router = serving(settings, &[]);
    let table = [(Some(PAGE), PAGE, "x-total, etag"), (Some("https://evil.example"), "", ""), (None, "", "")];
    for (origin, allowed, exposed) in table {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let got = ask(&router, "GET", "/a", &headers, "");
        assert_eq!(got.status, 200);
        let said = (got.header("access-control-allow-origin"), got.header("access-control-expose-headers"));
        assert_eq!((said, got.header("vary")), ((allowed, exposed), "origin"), "{origin:?}");
    }
    let router = serving(cors(&["*"]), &[]);
    let got = ask(&router, "GET", "/a", &[("origin", PAGE)], "");
    assert_eq!((got.header("access-control-allow-origin"), got.header("vary")), ("*", ""));
}

#[test]
fn origins_match_whole_and_wildcards_one_level_or_more() {
    let table = [
        ("https://*.example.com", "https://shop.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://.example.com", false),
        ("https://*.example.com", "http://shop.example.com", false),
        ("https://*.example.com", "https://evil.com/.example.com", false),
        ("https://*.example.com", "https://shop.example.com:8443", false),
        ("https://*.example.com:8443", "https://shop.example.com:8443", true),
        ("https://example.com", "https://example.com.evil.com", false),
        ("null", "null", true),
        ("*", "null", true),
    ];
    for (pattern, origin, allowed) in table {
        let got = preflight(&serving(cors(&[pattern]), &[]), origin, "PUT", "");
        assert_eq!(got.status == 204, allowed, "{pattern} {origin}");
    }
}

/// `*` of methods and headers does not work with credentials in browsers, so what is asked for is said.
#[test]
fn asterisks_become_what_is_asked_for() {
    let any = || vec!["*".to_owned()];
    let settings = Cors { methods: any(), headers: any(), credentials: true, ..cors(&[PAGE]) };
    let router = serving(settings, &[]);
    let got = preflight(&router, PAGE, "DELETE", "authorization,x-a");
    assert_eq!(got.header("access-control-allow-methods"), "DELETE");
    assert_eq!(got.header("access-control-allow-headers"), "authorization,x-a");
}

#[test]
fn a_preflight_finds_the_route_of_the_method_that_it_asks_about() {
    let router = serving(cors(&[PAGE]), &["PUT"]);
    assert_eq!(preflight(&router, PAGE, "PUT", "").header("access-control-allow-origin"), PAGE);
    let got = preflight(&router, PAGE, "DELETE", "");
    assert_eq!((got.header("access-control-allow-origin"), got.header("allow")), ("", "PUT, OPTIONS"));
}
