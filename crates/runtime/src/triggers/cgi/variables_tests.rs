//! The meta-variables of each dialect.

use super::*;
use http::Request;

fn facts_of(parts: &mut Parts, route: &str, rest: &str) {
    let base = route.trim_end_matches("/...").trim_end_matches("/*");
    parts.extensions.insert(Matched {
        route: route.into(),
        base: base.into(),
        rest: rest.to_owned(),
        names: vec![("user-id".to_owned(), "42".to_owned())],
    });
    parts.extensions.insert(Peer {
        address: "192.0.2.7:4711".parse().unwrap(),
        local: "198.51.100.1:8080".parse().unwrap(),
        tls: true,
    });
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method("POST").uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn cgi(dialect: CgiDialect) -> Cgi {
    Cgi { dialect, argv: Vec::new(), document_root: Some("/docroot".to_owned()) }
}

#[track_caller]
fn check(all: &[(String, String)], expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        let found = all.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        assert_eq!(found, *value, "{name}");
    }
}

#[test]
fn wagi_as_spin_sets_it() {
    let mut parts = request(
        "/shop/a%20b?x=1&y",
        &[("host", "example.com:8443"), ("content-type", "text/x"), ("authorization", "Basic x")],
    );
    facts_of(&mut parts, "/shop/...", "/a%20b");
    let facts = Facts::of(&parts);
    let all = variables(&facts, &cgi(CgiDialect::Wagi), None, Some(5));
    check(
        &all,
        &[
            ("AUTH_TYPE", Some("")),
            ("CONTENT_LENGTH", Some("5")),
            ("CONTENT_TYPE", Some("text/x")),
            ("GATEWAY_INTERFACE", Some("CGI/1.1")),
            ("HTTP_AUTHORIZATION", None),
            ("HTTP_CONTENT_TYPE", None),
            ("HTTP_HOST", Some("example.com:8443")),
            ("PATH_INFO", Some("/a%20b")),
            ("PATH_TRANSLATED", Some("/a b")),
            ("QUERY_STRING", Some("x=1&y")),
            ("REMOTE_ADDR", Some("192.0.2.7")),
            ("REQUEST_METHOD", Some("POST")),
            ("SCRIPT_NAME", Some("/shop")),
            ("SERVER_NAME", Some("example.com")),
            ("SERVER_PORT", Some("8443")),
            ("SERVER_PROTOCOL", Some("HTTP/1.1")),
            ("SERVER_SOFTWARE", Some("WAGI/1")),
            ("X_CLIENT_ADDR", Some("192.0.2.7:4711")),
            ("X_COMPONENT_ROUTE", Some("/shop")),
            ("X_FULL_URL", Some("https://example.com:8443/shop/a%20b?x=1&y")),
            ("X_MATCHED_ROUTE", Some("/shop/...")),
            ("X_PATH_MATCH_USER-ID", Some("42")),
            ("X_RAW_PATH_INFO", Some("/a%20b")),
        ],
    );
}

#[test]
fn wcgi_as_wasmer_sets_it() {
    let mut parts = request("/a/b?q", &[]);
    facts_of(&mut parts, "/a/...", "/b");
    let facts = Facts::of(&parts);
    let all = variables(&facts, &Cgi { document_root: None, ..cgi(CgiDialect::Wcgi) }, None, None);
    check(
        &all,
        &[
            ("PATH_INFO", Some("/a/b")),
            ("SCRIPT_NAME", Some("/a/b")),
            ("DOCUMENT_ROOT", Some("/app/")),
            ("SCRIPT_FILENAME", Some("/app/a/b")),
            ("CONTENT_LENGTH", None),
            ("SERVER_NAME", Some("198.51.100.1")),
            ("SERVER_PORT", Some("8080")),
        ],
    );
}

#[test]
fn scripts_as_web_servers_set_them() {
    let mut parts = request("/blog/a.php/x?q=1", &[("host", "example.com"), ("authorization", "Basic x")]);
    facts_of(&mut parts, "/blog/...", "/a.php/x");
    let facts = Facts::of(&parts);
    assert_eq!(facts.base_and_path(), ("/blog".to_owned(), "/a.php/x"));
    let script = Script { file: "/docroot/a.php".into(), path: "/a.php".into(), path_info: "/x".into() };
    let all = variables(&facts, &cgi(CgiDialect::Script), Some(&script), Some(0));
    check(
        &all,
        &[
            ("DOCUMENT_ROOT", Some("/docroot")),
            ("HTTPS", Some("on")),
            ("HTTP_AUTHORIZATION", Some("Basic x")),
            ("PATH_INFO", Some("/x")),
            ("PATH_TRANSLATED", Some("/docroot/x")),
            ("PHP_SELF", Some("/blog/a.php/x")),
            ("REDIRECT_STATUS", Some("200")),
            ("REMOTE_PORT", Some("4711")),
            ("REQUEST_URI", Some("/blog/a.php/x?q=1")),
            ("SCRIPT_FILENAME", Some("/docroot/a.php")),
            ("SCRIPT_NAME", Some("/blog/a.php")),
            ("SERVER_PORT", Some("443")),
            ("AUTH_TYPE", None),
        ],
    );
}

#[test]
fn a_route_without_an_open_end_is_a_path_of_the_root() {
    let mut parts = request("/info.php", &[]);
    facts_of(&mut parts, "/info.php", "");
    assert_eq!(Facts::of(&parts).base_and_path(), (String::new(), "/info.php"));
    facts_of(&mut parts, "/...", "/info.php");
    assert_eq!(Facts::of(&parts).base_and_path(), (String::new(), "/info.php"));
}

#[test]
fn headers_that_could_be_taken_for_others() {
    let parts = request(
        "/",
        &[
            ("proxy", "http://evil"),
            ("x-real-user", "good"),
            ("x_real_user", "evil"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("accept", "x"),
            ("accept", "y"),
        ],
    );
    let all = variables(&Facts::of(&parts), &cgi(CgiDialect::Script), None, None);
    check(
        &all,
        &[
            ("HTTP_PROXY", None),
            ("HTTP_X_REAL_USER", Some("good")),
            ("HTTP_COOKIE", Some("a=1; b=2")),
            ("HTTP_ACCEPT", Some("x, y")),
        ],
    );
}

#[test]
fn arguments_of_wagi_and_of_nobody_else() {
    let parts = request("/s/x?-d=allow_url_include%3D1&a+b=c%20d&e", &[]);
    let facts = Facts::of(&parts);
    let wagi = Cgi { argv: vec!["${ARGS}".to_owned()], ..cgi(CgiDialect::Wagi) };
    assert_eq!(arguments(&facts, &wagi, "c"), ["/s/x", "-d", "allow_url_include=1", "a b", "c d", "e"]);
    let argv = ["-v", "${SCRIPT_NAME}", "q=${ARGS}"].map(str::to_owned).to_vec();
    let template = Cgi { argv, ..wagi };
    assert_eq!(
        arguments(&facts, &template, "c"),
        ["/s/x", "-v", "/s/x", "q=-d allow_url_include=1 a b c d e"]
    );
    assert_eq!(arguments(&facts, &cgi(CgiDialect::Wagi), "c"), ["/s/x"], "none were asked for");
    assert_eq!(arguments(&facts, &cgi(CgiDialect::Script), "php"), ["php"]);
}
