//! Clients that end their side: some still wait for the answer, some are gone.

use crate::support::{Site, status};
use sampan_service::Limits;
use std::net::Shutdown;
use std::time::Duration;

#[test]
fn a_client_that_has_nothing_more_to_say_gets_its_answer() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.get("/wait").0.shutdown(Shutdown::Write).unwrap();
    site.expect("waiting");
    // The request goes on while its first bytes of an answer are out.
    assert_eq!(raw.until("HTTP/1."), "HTTP/1.");
    site.open_gate();
    let answer = raw.rest();
    assert!(answer.starts_with("1 200 OK\r\n") && answer.ends_with("\r\n\r\nwaited"), "{answer}");
}

#[test]
fn the_answers_to_http_1_0_and_to_a_body_come_whole_too() {
    let site = Site::start();
    for request in [
        "GET /wait HTTP/1.0\r\n\r\n",
        "POST /wait HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n",
        "GET /hello HTTP/1.1\r\nhost: t\r\n\r\nGET /wait HTTP/1.1\r\nhost: t\r\n\r\n",
    ] {
        let mut raw = site.raw();
        raw.send(request).0.shutdown(Shutdown::Write).unwrap();
        site.expect("waiting");
        let begun = if request.contains("hello") { raw.response().0 } else { String::new() };
        let first = raw.until("HTTP/1.");
        site.open_gate();
        let answer = first + &raw.rest();
        assert_eq!(status(&answer), 200, "{begun}{answer}");
        assert!(answer.ends_with("\r\n\r\nwaited"), "{answer}");
    }
}

#[test]
fn every_quick_answer_comes_whole() {
    let site = Site::start();
    for _ in 0..100 {
        let mut raw = site.raw();
        raw.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabc");
        raw.0.shutdown(Shutdown::Write).unwrap();
        let answer = raw.rest();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n3 bytes"), "{answer}");
    }
}

#[test]
fn a_client_that_is_gone_cancels_its_request() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.get("/wait");
    site.expect("waiting");
    drop(raw);
    site.expect("cancelled");
}

#[test]
fn a_client_that_resets_cancels_its_request() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.get("/wait");
    site.expect("waiting");
    rustix::net::sockopt::set_socket_linger(&raw.0, Some(Duration::ZERO)).unwrap();
    drop(raw);
    site.expect("cancelled");
}

#[test]
fn a_client_that_is_gone_ends_a_response() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.get("/endless");
    site.expect("frame 3");
    drop(raw);
    site.expect("body dropped");
}

#[test]
fn a_client_that_is_gone_ends_a_response_that_is_silent() {
    let half_closed = Duration::from_millis(200);
    let site = Site::limited(Limits { half_closed, ..Limits::default() });
    let mut raw = site.raw();
    raw.get("/silent");
    site.expect("frame 0");
    raw.until("\r\n\r\n");
    drop(raw);
    site.expect("body dropped");
}

#[test]
fn half_a_body_is_an_error_for_the_handler() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc");
    raw.0.shutdown(Shutdown::Write).unwrap();
    site.expect("body error");
    assert_eq!(status(&raw.rest()), 400);
}

#[test]
fn a_client_that_leaves_between_requests_or_within_a_head_is_no_event() {
    let site = Site::start();
    for bytes in ["", "GET / HT", "GET /hello HTTP/1.1\r\nhost: t\r\n\r\n"] {
        let mut raw = site.raw();
        raw.send(bytes);
        raw.0.shutdown(Shutdown::Write).unwrap();
        let answer = raw.rest();
        assert_eq!(status(&answer), if bytes.ends_with("\r\n\r\n") { 200 } else { 0 }, "{bytes}: {answer}");
    }
}
