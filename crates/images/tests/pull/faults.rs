//! Registries that misbehave, and servers of tokens: small servers of the test's own.

use crate::User;
use sampan_testing::servers::sha256;
use sampan_testing::{HttpServer, Request, Response, TcpServer};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CODE: &[u8] = b"the code";

fn manifest() -> String {
    let layer = json!({ "mediaType": "application/wasm", "digest": sha256(CODE), "size": CODE.len() });
    json!({ "schemaVersion": 2, "layers": [layer] }).to_string()
}

/// A registry with one image, whose blob is answered by a function.
fn registry(blob: impl Fn(&Request) -> Response + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request| {
        if request.target.contains("/manifests/") { Response::new(200, manifest()) } else { blob(request) }
    })
}

fn reference(server: &HttpServer) -> String {
    format!("{}/f:1", server.address)
}

#[test]
fn a_good_one_for_comparison() {
    let server = registry(|_| Response::new(200, CODE));
    assert_eq!(User::new().code(&reference(&server)), CODE);
    let targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/v2/f/manifests/1", &format!("/v2/f/blobs/{}", sha256(CODE).replace(':', "%3A"))]);
}

#[test]
fn blobs_that_are_not_what_was_named() {
    for (body, length, what) in [
        (&b"the c0de"[..], 8, "is not what its digest says"),
        (b"the code and more", 17, "its manifest says 8"),
        (b"the", 3, "it has 3 bytes"),
        // The connection ends before the body does.
        (b"the", 8, "does not answer"),
    ] {
        let server = registry(move |_| Response::new(200, body).with("Content-Length", &length.to_string()));
        let user = User::new();
        let error = user.path(&reference(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{body:?} {length}: {error}");
        assert_eq!(user.kept(), 0, "{body:?}: nothing is left behind");
    }
}

#[test]
fn manifests_that_are_none() {
    for (body, what) in [
        (b"<html>".to_vec(), "malformed"),
        (b"{}".to_vec(), "version 2"),
        (vec![b' '; (4 << 20) + 1], "more than 4194304 bytes"),
        (vec![b'['; 1 << 20], "malformed"),
    ] {
        let server = HttpServer::start(move |_| Response::new(200, body.clone()));
        let error = User::new().path(&reference(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    // By digest, the manifest is checked too.
    let server = registry(|_| Response::new(200, CODE));
    let error = User::new().path(&format!("{}/f@{}", server.address, sha256(b"other"))).unwrap_err();
    assert!(error.to_string().contains("the manifest is not what its digest says"), "{error}");
}

#[test]
fn refusals_say_what_to_do() {
    for (status, what, help) in [
        (401, "lets us not in (401", "docker login"),
        (403, "lets us not in (403", "docker login"),
        (404, "no such image: it is no more", "was pushed"),
        (429, "wants fewer requests (429: it is no more", "try again later"),
        (500, "answers with 500", "try again later"),
        (204, "answers with 204", ""),
    ] {
        let body = "{\"errors\":[{\"code\":\"X\",\"message\":\"it is no\\n more\"}]}";
        let server = HttpServer::start(move |_| Response::new(status, if status == 204 { "" } else { body }));
        let error = User::new().path(&reference(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{status}: {error}");
        assert!(error.help().contains(help), "{status}: {}", error.help());
    }
}

#[test]
fn what_passes_leaves_the_last_known() {
    for status in [429, 503, 404] {
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        let server = HttpServer::start(move |request| match down.load(Ordering::Relaxed) {
            true => Response::new(status, ""),
            false if request.target.contains("/manifests/") => Response::new(200, manifest()),
            false => Response::new(200, CODE),
        });
        let user = User::new();
        assert_eq!(user.code(&reference(&server)), CODE);
        is_down.store(true, Ordering::Relaxed);
        // An image that was deleted is one that nobody shall use.
        assert_eq!(user.path(&reference(&server)).is_ok(), status != 404, "{status}");
    }
}

/// Reads the head of a request.
pub fn read_head(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while !lines.next().transpose()?.unwrap_or_default().is_empty() {}
    Ok(())
}

#[test]
fn stalled_registries() {
    // Nothing at all; a head without end; a body that stops.
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}", manifest());
    for said in ["", "HTTP/1.1 200 OK\r\nX-A: ", &body] {
        let answer = said.to_owned();
        let server = TcpServer::start(move |mut stream| {
            read_head(&mut stream)?;
            stream.write_all(answer.as_bytes())?;
            // Until the client has enough.
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let error = User::impatient().path(&format!("{}/f:1", server.address)).unwrap_err();
        assert!(error.to_string().contains("it was not done within"), "{said}: {error}");
    }
}

/// Each piece comes in time, and the whole never.
#[test]
fn a_registry_that_drips() {
    let server = TcpServer::start(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let error = User::impatient().path(&format!("{}/f:1", server.address)).unwrap_err();
    assert!(error.to_string().contains("it was not done within"), "{error}");
}

#[test]
fn tokens() {
    let tokens = HttpServer::start(|request| match request.header("authorization") {
        Some("Basic bWU6cGFzcw==") => Response::new(200, "{\"token\": \"good\"}"),
        Some(_) => Response::new(401, ""),
        None if request.method == "POST" && request.body.ends_with(b"refresh_token=id%2F1") => {
            Response::new(200, "{\"access_token\": \"good\"}")
        }
        None => Response::new(200, "{\"token\": \"anonymous\"}"),
    });
    let challenge = format!("Bearer realm=\"http://{}/token?a=b\",service=\"s\"", tokens.address);
    let server = HttpServer::start(move |request| match request.header("authorization") {
        Some("Bearer good") if request.target.contains("/manifests/") => Response::new(200, manifest()),
        Some("Bearer good") => Response::new(200, CODE),
        Some(_) => Response::new(403, ""),
        None => Response::new(401, "").with("WWW-Authenticate", &challenge),
    });
    let host = server.address.to_string();
    for (config, what) in [
        (json!({}), Some("403")),
        (json!({ "auths": { &host: { "auth": "bWU6cGFzcw==" } } }), None),
        (json!({ "auths": { &host: { "auth": "bWU6d3Jvbmc=" } } }), Some("401")),
        (json!({ "auths": { &host: { "identitytoken": "id/1" } } }), None),
    ] {
        let user = User::new();
        user.write_config(&config.to_string());
        match (what, user.path(&reference(&server))) {
            (None, Ok(path)) => assert_eq!(std::fs::read(path).unwrap(), CODE),
            (Some(what), Err(error)) => assert!(error.to_string().contains(what), "{config}: {error}"),
            (_, other) => panic!("{config}: {other:?}"),
        }
    }
    let asked = tokens.requests();
    assert_eq!(asked[0].target, "/token?a=b&service=s&scope=repository%3Af%3Apull");
    assert_eq!(asked.len(), 4, "a token serves the whole pull");
}

#[test]
fn tokens_are_not_asked_for_without_tls() {
    let server = HttpServer::start(|_| {
        Response::new(401, "").with("WWW-Authenticate", "Bearer realm=\"http://tokens.example/\"")
    });
    let error = User::new().path(&reference(&server)).unwrap_err();
    assert!(
        error.to_string().contains("tokens.example") && error.to_string().contains("without TLS"),
        "{error}"
    );
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let elsewhere = HttpServer::start(|_| Response::new(200, CODE));
    let to = format!("http://{}/bucket", elsewhere.address);
    let server = HttpServer::start(move |request| match request.header("authorization") {
        None => Response::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) if request.target.contains("/manifests/") => Response::new(200, manifest()),
        // First to another path of this host, then away.
        Some(_) if request.target.contains("/blobs/") => Response::new(307, "").with("Location", "/inside"),
        Some(_) => Response::new(302, "").with("Location", &to),
    });
    let user = User::new();
    let host = server.address.to_string();
    user.write_config(&json!({ "auths": { &host: { "auth": "bWU6cGFzcw==" } } }).to_string());
    assert_eq!(user.code(&reference(&server)), CODE);
    let [request] = elsewhere.requests().try_into().unwrap();
    assert_eq!((&*request.target, request.header("authorization")), ("/bucket", None));
}

#[test]
fn redirects_that_lead_nowhere() {
    for (location, what) in [
        (Some("/again"), "in a circle"),
        (None, "to nowhere"),
        (Some("http://registry.example/x"), "without TLS"),
        (Some("file:///etc/passwd"), "no host"),
    ] {
        let server = registry(move |_| match location {
            Some(location) => Response::new(302, "").with("Location", location),
            None => Response::new(302, ""),
        });
        let error = User::new().path(&reference(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{location:?}: {error}");
    }
}
