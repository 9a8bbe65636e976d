//! Which handler gets a request, and what is answered where none does.

use crate::{ask, component, components, folder, get, get_with, route, router};
use sampan_app::{Route, Target};
use sampan_gateway::{RouteError, Router};

#[test]
fn a_component_learns_how_it_was_found() {
    let router = router(&[route("/api/:version/...", component("api")), route("/exact", component("api"))]);
    let got = ask(&router, "POST", "/api/v1/a%20b/?q=1", &[], "hello");
    let expected = r#"api POST /api/:version/... /api/:version|/a%20b/|[("version", "v1")]|hello"#;
    assert_eq!((got.status, got.text().as_str()), (200, expected));
    assert_eq!((&*got.served.route, &*got.served.to), ("/api/:version/...", "api"));
    assert_eq!(get(&router, "/exact/").text(), "api GET /exact /exact||[]|");
}

#[test]
fn what_no_route_takes() {
    let only_get = Route { methods: vec!["GET".into()], ..route("/a", component("api")) };
    let router = router(&[only_get, route("/b/...", component("api"))]);
    let table = [
        ("GET", "/none", 404, ""),
        ("GET", "/a/none", 404, ""),
        ("POST", "/a", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/a", 204, "GET, HEAD, OPTIONS"),
        ("HEAD", "/a", 200, ""),
        ("GET", "/b/../a", 400, ""),
        ("GET", "/b/%2e%2E/a", 400, ""),
        ("GET", "/b/%00", 400, ""),
        ("GET", "/b/%", 400, ""),
        ("GET", "/b/%g0", 400, ""),
        ("GET", "/b/%2F%2f", 200, ""),
        ("OPTIONS", "*", 204, ""),
        ("GET", "*", 400, ""),
        ("CONNECT", "example.com:443", 400, ""),
    ];
    for (method, target, status, allow) in table {
        let got = ask(&router, method, target, &[], "");
        assert_eq!((got.status, got.header("allow")), (status, allow), "{method} {target}");
        let by_the_gateway = &*got.served.to == "gateway";
        assert_eq!(by_the_gateway, status != 200, "{method} {target}");
    }
}

#[test]
fn the_host_comes_from_the_target_or_the_header() {
    let shop = Route { host: Some("shop.example.com".into()), ..route("/...", component("php")) };
    let v6 = Route { host: Some("[::1]".into()), ..route("/...", component("php")) };
    let router = router(&[route("/...", component("api")), shop, v6]);
    let table = [
        ("/", "shop.example.com", "php"),
        ("/", "SHOP.example.com:8080", "php"),
        ("/", "shop.example.com.", "php"),
        ("/", "[::1]:80", "php"),
        ("/", "[::1]", "php"),
        ("/", "example.com", "api"),
        ("/", "", "api"),
        ("http://shop.example.com/", "other", "php"),
        ("http://other/", "shop.example.com", "api"),
    ];
    for (target, host, expected) in table {
        let got = get_with(&router, target, &[("host", host)]);
        assert_eq!(&*got.served.to, expected, "{target} {host}");
    }
}

#[test]
fn redirects_texts_and_health_need_no_component() {
    let redirect = |status, to: &str| Target::Redirect { status, location: to.into() };
    let respond = |headers: &[(&str, &str)], body: &str| Target::Respond {
        status: 418,
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: body.into(),
    };
    let router = router(&[
        route("/old/...", redirect(308, "https://example.com/new?a=b")),
        route("/text", respond(&[], "short and stout\n")),
        route("/json", respond(&[("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")], "{}")),
        route("/none", respond(&[], "")),
        route("/.well-known/...", component("api")),
    ]);
    let got = get(&router, "/old/x");
    assert_eq!((got.status, got.header("location")), (308, "https://example.com/new?a=b"));
    assert_eq!(&*got.served.to, "redirect");
    let got = get(&router, "/text");
    assert_eq!((got.status, got.text().as_str()), (418, "short and stout\n"));
    assert_eq!((got.header("content-type"), &*got.served.to), ("text/plain; charset=utf-8", "respond"));
    let got = get(&router, "/json");
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.headers.get_all("x-a").iter().count(), 2);
    assert_eq!(get(&router, "/none").header("content-type"), "");
    assert_eq!(get(&router, "/.well-known/spin/health").text(), "OK");
    assert!(get(&router, "/.well-known/spin/info").text().starts_with("api GET"));
}

#[test]
fn routes_that_cannot_be_served_are_named() {
    let missing = folder(std::path::Path::new("/no/such/folder"));
    let dangling =
        sampan_app::StaticFolder { or: Some("nobody".into()), ..folder(std::path::Path::new("/")) };
    let outside = sampan_app::StaticFolder { index: "../x".into(), ..folder(std::path::Path::new("/")) };
    let hide = sampan_app::StaticFolder { hide: vec!["[".into()], ..folder(std::path::Path::new("/")) };
    let respond = |status, name: &str| {
        let headers = vec![(name.to_owned(), String::new())];
        Target::Respond { status, headers, body: String::new() }
    };
    let table = [
        (component("nobody"), "there is no component `nobody`"),
        (Target::Static(missing), "cannot open the folder /no/such/folder"),
        (Target::Static(dangling), "there is no component `nobody`"),
        (Target::Static(outside), "files in the folder"),
        (Target::Static(hide), "hide: "),
        (Target::Redirect { status: 200, location: "/".into() }, "status is 301"),
        (Target::Redirect { status: 302, location: "/\r\nx: y".into() }, "control characters"),
        (respond(99, "a"), "status is between"),
        (respond(101, "a"), "status is between"),
        (respond(200, "a b"), "no header's name"),
    ];
    for (target, expected) in table {
        let error = Router::new("app", &[route("/x", target.clone())], &components()).map(drop).unwrap_err();
        let RouteError { route, what } = &error;
        assert!(route == "/x" && what.contains(expected), "{target:?}: {error}");
    }
}

#[test]
fn answers_are_counted_by_route() {
    let router = Router::new("counted", &[route("/a/...", component("api"))], &components()).unwrap();
    get(&router, "/a/b");
    get(&router, "/none");
    let text = sampan_telemetry::metrics().render();
    let counted =
        |labels: &str| text.contains(&format!("sampan_requests_total{{app=\"counted\",{labels}}} 1"));
    assert!(counted(r#"route="/a/...",to="api",status="2xx""#), "{text}");
    assert!(counted(r#"route="-",to="gateway",status="4xx""#), "{text}");
}
