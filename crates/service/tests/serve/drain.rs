//! The end of a server: what is in flight ends first, up to a deadline.

use crate::support::{Raw, Site};
use sampan_service::Drained;
use sampan_testing::PATIENCE;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_request_in_flight_is_answered_and_its_connection_closed() {
    let mut site = Site::start();
    let mut busy = site.raw();
    busy.get("/wait");
    site.expect("waiting");
    let mut idle = site.raw();
    idle.get("/hello").response();
    let mut silent = site.raw();
    let server = site.server.take().unwrap();
    let drain = std::thread::spawn(move || server.drain(PATIENCE));
    // Those without a request are closed at once, while the other is still waiting.
    assert_eq!(idle.rest(), "");
    assert_eq!(silent.rest(), "");
    assert_eq!(TcpStream::connect(site.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(!drain.is_finished());
    site.open_gate();
    let answer = busy.rest();
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("waited"), "{answer}");
    assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn what_takes_too_long_is_cut() {
    let mut site = Site::start();
    let mut busy = site.raw();
    busy.get("/wait");
    site.expect("waiting");
    let mut upgraded = site.raw();
    upgraded.send("GET /upgrade HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    upgraded.until("\r\n\r\n");
    let drained = site.server.take().unwrap().drain(Duration::from_millis(50));
    assert_eq!(drained, Drained { cut: 2 });
    let events: Vec<String> = site.events.try_iter().collect();
    for event in ["cancelled", "upgrade over", "2 connections were cut"] {
        assert!(events.iter().any(|one| one == event), "{event}: {events:?}");
    }
    assert_eq!(busy.rest(), "");
    assert_eq!(upgraded.rest(), "");
}

#[test]
fn http2_clients_are_told_to_go() {
    const DATA: u8 = 0;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let mut site = Site::start();
    let server = site.server.take().unwrap();
    let mut raw = site.raw();
    // Preface, SETTINGS, and HEADERS with END_STREAM and END_HEADERS: GET, http, a path and an authority.
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    raw.send(b"\0\0\x0c\x01\x05\0\0\0\x01\x82\x86\x04\x05/wait\x41\x01t");
    site.expect("waiting");
    let drain = std::thread::spawn(move || server.drain(PATIENCE));
    let until = |raw: &mut Raw, kind: u8| loop {
        let (found, flags, payload) = frame(raw);
        if found == PING && flags == 0 {
            // With ACK: nothing of ours is on its way any more.
            raw.send([&b"\0\0\x08\x06\x01\0\0\0\0"[..], &payload].concat());
        }
        if found == kind {
            return payload;
        }
    };
    until(&mut raw, GOAWAY);
    site.open_gate();
    assert_eq!(until(&mut raw, DATA), b"waited");
    raw.rest();
    assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
}

/// The next frame: type, flags, payload (RFC 9113, section 4.1).
fn frame(raw: &mut Raw) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    raw.0.read_exact(&mut head).unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    raw.0.read_exact(&mut payload).unwrap();
    (head[3], head[4], payload)
}

#[test]
fn a_response_under_way_is_sent_to_its_end() {
    let mut site = Site::start();
    let mut raw = site.raw();
    raw.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\n\r\nabc");
    raw.until("abc");
    let server = site.server.take().unwrap();
    let drain = std::thread::spawn(move || server.drain(PATIENCE));
    while TcpStream::connect(site.address).is_ok() {}
    assert_eq!(raw.send("def").rest(), "def");
    assert_eq!(drain.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn dropping_a_server_cuts_all() {
    let mut site = Site::start();
    let mut raw = site.raw();
    raw.get("/wait");
    site.expect("waiting");
    drop(site.server.take());
    assert_eq!(raw.rest(), "");
    assert!(site.events.try_iter().any(|event| event == "cancelled"));
}
