//! Requests that are wrong, and what they are told.

use crate::Engine;
use std::io::{Read, Write};

#[test]
fn requests_that_are_wrong() {
    let engine = Engine::with(&["streams"]);
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    for (method, path, body, status, message) in [
        ("GET", "/nothing", "", 404, "page not found"),
        ("GET", "/", "", 404, "page not found"),
        ("DELETE", "/containers/json/x", "", 404, "page not found"),
        ("GET", "/v1.23/info", "", 400, "client version 1.23 is too old"),
        ("GET", "/v1.99/info", "", 400, "client version 1.99 is too new"),
        ("GET", "/containers/missing/json", "", 404, "No such container: missing"),
        ("GET", "/containers/..%2f..%2fetc/json", "", 404, "No such container"),
        ("GET", "/containers/%ff/json", "", 400, "UTF-8"),
        ("GET", "/images/missing/json", "", 404, "No such image: missing"),
        ("GET", "/volumes/missing", "", 404, "no such volume"),
        ("GET", "/volumes/..%2f..", "", 404, "no such volume"),
        ("GET", "/networks/missing", "", 404, "network missing not found"),
        ("GET", "/exec/missing/json", "", 404, "No such exec instance"),
        ("POST", "/containers/create", "{", 400, "invalid JSON"),
        ("POST", "/containers/create", &deep, 400, "invalid JSON"),
        ("POST", "/containers/create", "{}", 400, "no image was named"),
        ("POST", "/containers/create", r#"{"Image":"missing"}"#, 404, "No such image: missing:latest"),
        ("POST", "/containers/create?name=a/b", r#"{"Image":"guests"}"#, 400, "is no name"),
        ("POST", "/containers/create", r#"{"Image":"guests","Env":1}"#, 400, "invalid JSON"),
        ("POST", "/containers/create?platform=linux/arm64", r#"{"Image":"guests"}"#, 404, "does not match"),
        (
            "POST",
            "/containers/create",
            r#"{"Image":"guests","HostConfig":{"PortBindings":{"99999/tcp":[{}]}}}"#,
            400,
            "invalid port",
        ),
        (
            "POST",
            "/containers/create",
            r#"{"Image":"guests","HostConfig":{"Binds":["../x:/y"]}}"#,
            400,
            "not absolute",
        ),
        (
            "POST",
            "/containers/create",
            r#"{"Image":"guests","HostConfig":{"Binds":["/x:/../y"]}}"#,
            400,
            "no absolute path",
        ),
        ("GET", "/containers/json?filters=%7B%22other%22%3A%5B%5D%7D", "", 400, "invalid filter 'other'"),
        ("GET", "/containers/json?filters=x", "", 400, "invalid filters"),
        (
            "GET",
            "/containers/json?filters=%7B%22name%22%3A%5B%22(%22%5D%7D",
            "",
            400,
            "invalid filter 'name'",
        ),
        ("GET", "/containers/json?limit=many", "", 400, "invalid value for 'limit'"),
        ("GET", "/events?since=soon", "", 400, "invalid value for 'since'"),
        ("POST", "/volumes/create", r#"{"Name":"../x"}"#, 400, "is no name"),
        ("POST", "/volumes/create", r#"{"Name":"x","DriverOpts":{"type":"nfs"}}"#, 400, "cannot be had"),
        ("POST", "/networks/create", r#"{"Name":"x","Driver":"overlay"}"#, 404, "not found"),
        ("POST", "/images/create?fromImage=UPPER", "", 400, "invalid reference format"),
        ("POST", "/build?version=2", "", 501, "BuildKit"),
        ("POST", "/session", "", 501, "BuildKit"),
        ("GET", "/images/search?term=x", "", 501, "not searched"),
        ("GET", "/services", "", 503, "not a swarm manager"),
    ] {
        let answer = engine.send(method, path, body);
        let is_so = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(message);
        assert!(is_so, "{method} {path}: {answer}");
        assert!(answer.contains("{\"message\":"), "{method} {path}: {answer}");
    }
}

#[test]
fn what_a_container_is_not_ready_for() {
    let engine = Engine::start();
    let body = r#"{"Image":"guests","Entrypoint":["/endless.wasm"],"Cmd":["sleep"]}"#;
    assert!(engine.send("POST", "/containers/create?name=one", body).starts_with("HTTP/1.1 201 "));
    let steps = [
        ("POST", "/containers/one/stop", 304),
        ("POST", "/containers/one/kill", 409),
        ("POST", "/containers/one/pause", 409),
        ("POST", "/containers/one/exec", 400),
        ("GET", "/containers/one/logs", 400),
        ("POST", "/containers/one/start", 204),
        ("POST", "/containers/one/start", 304),
        ("POST", "/containers/one/unpause", 409),
        ("DELETE", "/containers/one", 409),
        ("POST", "/containers/one/resize?h=1&w=1", 409),
        ("POST", "/containers/one/resize?h=x", 400),
        ("POST", "/containers/one/kill?signal=NONE", 400),
        ("POST", "/containers/one/pause", 204),
        ("POST", "/containers/one/start", 409),
        ("POST", "/containers/one/attach?stream=1", 409),
        ("DELETE", "/containers/one?force=1", 204),
        ("DELETE", "/containers/one", 404),
    ];
    for (method, path, status) in steps {
        let answer = engine.send(method, path, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
    }
}

#[test]
fn the_greeting() {
    let engine = Engine::with(&["streams"]);
    for (method, body) in [("GET", "OK"), ("HEAD", "")] {
        let answer = engine.send(method, "/_ping", "");
        let lower = answer.to_ascii_lowercase();
        for header in
            ["api-version: 1.47", "docker-experimental: false", "ostype: linux", "builder-version: 1"]
        {
            assert!(lower.contains(header), "no {header} in {answer}");
        }
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{body}")),
            "{answer}"
        );
    }
}

#[test]
fn what_is_too_much() {
    let engine = Engine::with(&["streams"]);
    let body = format!("\"{}\"", "x".repeat(5 << 20));
    let mut client = engine.connect();
    let head =
        format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).unwrap();
    // The server answers before it has it all.
    let _ = client.write_all(body.as_bytes());
    let mut first = [0; 12];
    client.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    let headers: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = engine.send_raw(format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{headers}\r\n").as_bytes());
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
}
