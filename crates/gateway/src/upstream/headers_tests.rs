//! Requests before and after.

use super::*;
use sampan_service::empty;

fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().version(version).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(empty()).unwrap();
    request.extensions_mut().insert(Peer {
        address: "[::ffff:192.0.2.7]:1".parse().unwrap(),
        local: "127.0.0.1:8443".parse().unwrap(),
        tls: true,
    });
    request
}

fn lines(request: &Request<Body>) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<_> = request.headers().iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn what_belongs_to_the_clients_connection_stays_behind() {
    let mut one = request(
        Version::HTTP_11,
        "/a?b",
        &[
            ("host", "shop.example"),
            ("connection", "keep-alive, x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "x"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("expect", "100-continue"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=203.0.113.9"),
            ("x-kept", "1"),
        ],
    );
    one.extensions_mut().insert(RequestId(HeaderValue::from_static("id-1")));
    let prepared = prepare(&mut one, &Upstream::default());
    assert!(prepared.client.is_none() && prepared.expects);
    dress(&mut one, Protocol::Http1, &HeaderValue::from_static("own:1"), &HostHeader::Client);
    assert_eq!(
        lines(&one),
        [
            "host: shop.example",
            "te: trailers",
            "trailer: x-sum",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: shop.example",
            "x-forwarded-port: 8443",
            "x-forwarded-proto: https",
            "x-kept: 1",
            "x-request-id: id-1",
        ]
    );
    assert_eq!((one.uri().to_string(), one.version()), ("/a?b".to_owned(), Version::HTTP_11));
}

#[test]
fn a_trusted_proxys_word_about_its_client_stays() {
    let upstream = Upstream {
        trust_forwarded: vec!["192.0.2.0/24".parse().unwrap()],
        forwarded: Forwarded::Both,
        ..Upstream::default()
    };
    let mut one = request(
        Version::HTTP_11,
        "/",
        &[
            ("host", "a"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "first"),
            ("x-forwarded-port", "80"),
            ("forwarded", "for=203.0.113.9"),
        ],
    );
    prepare(&mut one, &upstream);
    assert_eq!(
        lines(&one),
        [
            "forwarded: for=203.0.113.9, for=192.0.2.7;host=\"a\";proto=https",
            "host: a",
            "x-forwarded-for: 203.0.113.9, 192.0.2.7",
            "x-forwarded-host: first",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
        ]
    );
    // A chain that has grown too long is begun anew.
    let long = "203.0.113.9, ".repeat(1000);
    let mut one =
        request(Version::HTTP_11, "/", &[("host", "a"), ("x-forwarded-for", long.trim_end_matches(", "))]);
    prepare(&mut one, &upstream);
    assert_eq!(one.headers()["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn from_http2_to_http1_and_back() {
    let mut one =
        request(Version::HTTP_2, "https://shop.example/a?b", &[("cookie", "a=1"), ("cookie", "b=2")]);
    prepare(&mut one, &Upstream { forwarded: Forwarded::Off, via: true, ..Upstream::default() });
    let own = HeaderValue::from_static("own:1");
    dress(&mut one, Protocol::Http1, &own, &HostHeader::Client);
    assert_eq!(lines(&one), ["cookie: a=1; b=2", "host: shop.example", "via: 1.1 sampan"]);
    assert_eq!(one.uri(), "/a?b");
    dress(&mut one, Protocol::Http2 { tls: true }, &own, &HostHeader::Client);
    assert_eq!(one.uri(), "https://shop.example/a?b");
    assert!(!one.headers().contains_key(HOST));
    dress(&mut one, Protocol::Http1, &own, &HostHeader::Server);
    assert_eq!((one.headers()[HOST].to_str().unwrap(), one.uri().to_string()), ("own:1", "/a?b".to_owned()));
}

#[test]
fn an_upgrade_is_only_asked_for_where_the_client_can() {
    let asked = |version, connection: &'static str, upgrade: &'static str| {
        let one = request(version, "/", &[("connection", connection), ("upgrade", upgrade)]);
        wanted_upgrade(one.headers(), version).is_some()
    };
    assert!(asked(Version::HTTP_11, "keep-alive, Upgrade", "websocket"));
    assert!(!asked(Version::HTTP_2, "upgrade", "websocket"));
    assert!(!asked(Version::HTTP_11, "keep-alive", "websocket"));
    assert!(!asked(Version::HTTP_11, "upgrade, http2-settings", "h2c"));
    // Nobody who could hand over the client's connection.
    let mut one = request(Version::HTTP_11, "/", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert!(prepare(&mut one, &Upstream::default()).client.is_none());
    assert!(!one.headers().contains_key(UPGRADE));
}

#[test]
fn responses_lose_what_belongs_to_the_servers_connection() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, x-inner"),
        ("x-inner", "1"),
        ("transfer-encoding", "chunked"),
        ("proxy-authenticate", "Basic"),
        ("trailer", "x-sum"),
        ("etag", "1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response(&mut headers, &Upstream::default());
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["etag", "trailer"]);
}
