//! Clients that want too much, or take too long.

use crate::support::{Raw, Site, block_on, status};
use sampan_service::Limits;
use sampan_telemetry::metrics;
use std::io::Write;
use std::time::{Duration, Instant};

/// Long enough for a busy machine to answer a first request within.
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let site = Site::limited(Limits { header_timeout: SHORT, ..Limits::default() });
    let begun = Instant::now();
    let mut raw = site.raw();
    raw.send("GET /hello HTTP/1.1\r\n");
    let mut writer = raw.0.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        // A byte now and then does not extend the time. The write fails once the server has closed.
        while writer.write_all(b"a: b\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(raw.rest(), "");
    assert!(begun.elapsed() >= SHORT);
    drip.join().unwrap();
}

#[test]
fn the_second_head_has_the_same_time() {
    let site = Site::limited(Limits { header_timeout: SHORT, ..Limits::default() });
    let mut raw = site.raw();
    assert_eq!(raw.get("/hello").response().1, "hello");
    raw.send("GET ");
    assert_eq!(raw.rest(), "");
}

#[test]
fn silence_is_cut_off() {
    let limits = Limits { header_timeout: SHORT, keep_alive: SHORT, ..Limits::default() };
    let site = Site::limited(limits);
    assert_eq!(site.raw().rest(), "", "nothing was ever said");
    assert_eq!(site.raw().send("PRI * HTTP/2.0\r\n").rest(), "", "half of a preface");
    let mut raw = site.raw();
    raw.get("/hello").response();
    assert_eq!(raw.rest(), "", "nothing more was said");
}

#[test]
fn resting_connections_are_kept_longer_than_heads() {
    let limits = Limits { header_timeout: SHORT, keep_alive: SHORT * 2, ..Limits::default() };
    let site = Site::limited(limits);
    let mut raw = site.raw();
    let begun = Instant::now();
    raw.get("/hello").response();
    assert_eq!(raw.rest(), "");
    assert!(begun.elapsed() >= SHORT * 2, "{:?}", begun.elapsed());
}

#[test]
fn large_heads_are_refused() {
    let limits = Limits { header_bytes: 8 << 10, headers: 20, target_bytes: 1000, ..Limits::default() };
    for limits in [limits.clone(), Limits { headers: 100, ..limits }] {
        let count = limits.headers + 1;
        let site = Site::limited(limits);
        let bytes = format!("GET /hello HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(9 << 10));
        let many = format!("GET /hello HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(count));
        let long = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "x".repeat(1000));
        for (name, request, code) in [("bytes", bytes, 431), ("lines", many, 431), ("target", long, 414)] {
            let answer = site.raw().send(request).rest();
            assert_eq!(status(&answer), code, "{name}: {answer:?}");
        }
        let fits = format!("GET /{} HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "x".repeat(900), "y".repeat(7000));
        assert_eq!(site.raw().send(fits).status(), 404);
    }
}

#[test]
fn a_head_without_end_is_not_collected() {
    let site = Site::limited(Limits { header_bytes: 8 << 10, ..Limits::default() });
    let mut raw = site.raw();
    // The server closes long before, and then writing fails.
    let sent = (0..64 << 10).take_while(|_| raw.0.write_all(&[b'G'; 1024]).is_ok()).count();
    assert!(sent < 64 << 10, "{sent} KiB were taken");
}

#[test]
fn chunk_extensions_and_trailers_are_bounded() {
    let site = Site::start();
    let head = "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
    for (begin, more) in [("1;", "x"), ("0\r\nx: ", "y"), ("0\r\n", "x: y\r\n")] {
        let mut raw = site.raw();
        raw.send(head).send(begin);
        let sent =
            (0..64 << 10).take_while(|_| raw.0.write_all(more.repeat(1024).as_bytes()).is_ok()).count();
        assert!(sent < 64 << 10, "{begin:?} went on for ever");
        site.expect("body error");
    }
}

#[test]
fn a_body_that_pauses_too_long_is_an_error_for_the_handler() {
    let site = Site::limited(Limits { body_idle: SHORT, ..Limits::default() });
    let mut raw = site.raw();
    raw.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc");
    let (head, body) = raw.response();
    assert_eq!(status(&head), 400);
    assert!(body.contains("did not go on"), "{body}");
    assert_eq!(raw.rest(), "");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let site = Site::limited(Limits { write_stall: SHORT, ..Limits::default() });
    let mut raw = site.raw();
    raw.get("/endless");
    site.expect("body dropped");
    drop(raw);
}

#[test]
fn an_http2_client_that_does_not_take_a_response_is_cut_off() {
    let site = Site::limited(Limits { write_stall: SHORT, ..Limits::default() });
    let mut raw = site.raw();
    // Preface, SETTINGS, HEADERS for a stream that is silent and one that does not end; the window is never
    // opened wider. The silent one waits for its handler, which is no reason to cut.
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    raw.send(b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x04\x07/silent\x41\x01t");
    site.expect("frame 0");
    std::thread::sleep(SHORT * 3);
    assert!(site.events.try_recv().is_err());
    raw.send(b"\0\0\x0f\x01\x05\0\0\0\x03\x82\x86\x04\x08/endless\x41\x01t");
    site.expect("body dropped");
    site.expect("body dropped");
    raw.rest();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let site = Site::limited(Limits { connections: 2, ..Limits::default() });
    let refused = metrics().connections_refused.get();
    let mut first = site.raw();
    let mut second = site.raw();
    first.get("/hello").response();
    second.get("/hello").response();
    let mut third = site.raw();
    assert_eq!(status(&third.rest()), 503);
    assert!(metrics().connections_refused.get() > refused);
    assert_eq!(first.get("/hello").response().1, "hello");
    drop(second);
    // The place is free as soon as the server has seen that.
    while status(&retry(&site)) == 503 {}
}

fn retry(site: &Site) -> String {
    let mut raw = site.raw();
    // A refusal may come before the request is written.
    let _ = raw.0.write_all(b"GET /hello HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    raw.rest()
}

#[test]
fn http2_connections_are_bounded_too() {
    let limits = Limits { header_timeout: SHORT, keep_alive: SHORT, ..Limits::default() };
    let site = Site::limited(limits);
    let mut raw = Raw::connect(site.address);
    // Preface and empty SETTINGS, and never a request: told to go (GOAWAY is frame 7), then cut.
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(raw.rest().as_bytes().contains(&7));
    block_on(async {
        let (mut client, connection) = crate::h2::connect(site.address).await;
        let driver = tokio::spawn(connection);
        let response = client.send_request(crate::h2::get("/hello")).await.unwrap();
        drop(response);
        // Resting, with the client willing to go on.
        driver.await.unwrap().unwrap();
    });
}
