//! Requests on whose end two servers in a row might not agree: each is refused with 400, the connection is
//! closed, and what follows is not taken for a request.

use crate::support::{Raw, Site, status};
use std::net::Shutdown;

/// What would be the smuggled request.
const SECOND: &str = "GET /hello HTTP/1.1\r\nhost: t\r\n\r\n";

/// Heads (after `POST /read HTTP/1.1` and a host) and bodies.
const TABLE: &[(&str, &str)] = &[
    ("both lengths", "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("both lengths, the other way", "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n"),
    ("two lengths", "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
    ("a length twice", "content-length: 4\r\ncontent-length: 4\r\n\r\nabcd"),
    ("a list of lengths", "content-length: 4, 4\r\n\r\nabcd"),
    ("a signed length", "content-length: +4\r\n\r\nabcd"),
    ("a negative length", "content-length: -1\r\n\r\n"),
    ("a hexadecimal length", "content-length: 0x4\r\n\r\nabcd"),
    ("a length too large", "content-length: 18446744073709551616\r\n\r\n"),
    ("an empty length", "content-length:\r\n\r\n"),
    ("a coding unknown", "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("a coding twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a coding in two lines", "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a coding misspelt", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a coding after a control", "transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("chunked not last", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("a space before the colon", "content-length : 4\r\n\r\nabcd"),
    ("a folded line", "x: a\r\n b\r\n\r\n"),
    ("a folded coding", "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a line feed alone", "x: a\nz: b\r\n\r\n"),
    ("a line feed alone at the end", "x: a\r\n\n"),
    ("a carriage return alone", "x: a\rcontent-length: 4\r\n\r\nabcd"),
    ("a zero byte", "x: a\0b\r\n\r\n"),
    ("a name with a space", "content length: 4\r\n\r\nabcd"),
    ("no name", ": 4\r\n\r\n"),
    ("no colon", "content-length\r\n\r\n"),
    ("two hosts", "host: other\r\n\r\n"),
];

fn refused(site: &Site, name: &str, bytes: &str) {
    let mut raw = site.raw();
    raw.send(bytes);
    let answer = raw.rest();
    assert_eq!(status(&answer), 400, "{name}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer:?}");
    assert!(!answer.contains("hello"), "{name}: {answer:?}");
}

#[test]
fn ambiguous_requests_are_refused() {
    let site = Site::start();
    for (name, rest) in TABLE {
        refused(&site, name, &format!("POST /read HTTP/1.1\r\nhost: t\r\n{rest}{SECOND}"));
    }
    let requests = site.events.try_iter().filter(|event| event.starts_with("request")).count();
    assert_eq!(requests, 0, "no handler saw any of them");
}

#[test]
fn ambiguous_requests_are_refused_however_they_arrive() {
    let site = Site::start();
    for (name, rest) in TABLE {
        let mut raw = site.raw();
        for byte in format!("POST /read HTTP/1.1\r\nhost: t\r\n{rest}").bytes() {
            // The server may have closed by now.
            if std::io::Write::write_all(&mut raw.0, &[byte]).is_err() {
                break;
            }
        }
        assert_eq!(status(&raw.rest()), 400, "{name}");
    }
    let requests = site.events.try_iter().filter(|event| event.starts_with("request")).count();
    assert_eq!(requests, 0, "no handler saw any of them");
}

#[test]
fn bad_first_lines_are_refused() {
    let site = Site::start();
    for line in [
        "GET /hello HTTP/1.1",
        "GET  /hello HTTP/1.1\r\nhost: t",
        "GET /hello  HTTP/1.1\r\nhost: t",
        "GET\t/hello HTTP/1.1\r\nhost: t",
        "GET /hel lo HTTP/1.1\r\nhost: t",
        "GET /hello HTTP/1.2\r\nhost: t",
        "GET /hello HTTP/3.0\r\nhost: t",
        "GET /hello\r\nhost: t",
        "GET hello HTTP/1.1\r\nhost: t",
        "G@T /hello HTTP/1.1\r\nhost: t",
        "GET /hello\0 HTTP/1.1\r\nhost: t",
        "GET /hello HTTP/1.1\r\nhost: a b",
        "GET /hello HTTP/1.1\r\nhost: a/b",
        "GET /hello HTTP/1.1\r\nhost: user@a",
        "GET /hello HTTP/1.1\r\nhost: a, b",
        "GET http://user@a/hello HTTP/1.1\r\nhost: a",
        "\r\n\r\n\r\nGET /hello HTTP/1.1\r\nhost: t",
        " GET /hello HTTP/1.1\r\nhost: t",
        "GET /hello HTTP/1.1\r\n host: t",
    ] {
        refused(&site, line, &format!("{line}\r\n\r\n{SECOND}"));
    }
    // A tunnel is not offered.
    let answer = site.raw().send("CONNECT t:1 HTTP/1.1\r\nhost: t:1\r\n\r\n").rest();
    assert_eq!(status(&answer), 501, "{answer}");
}

#[test]
fn bad_chunks_end_the_connection() {
    let site = Site::start();
    for body in [
        "x\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\na\r\n",
        "fffffffffffffffe\r\na\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ] {
        let mut raw = site.raw();
        raw.send(format!(
            "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n{body}{SECOND}"
        ));
        // Otherwise a chunk that never ends would be waited for.
        raw.0.shutdown(Shutdown::Write).unwrap();
        let answer = raw.rest();
        assert!(matches!(status(&answer), 400 | 0), "{body:?}: {answer:?}");
        assert!(!answer.contains("hello"), "{body:?}: {answer:?}");
        site.expect("body error");
    }
}

#[test]
fn an_offence_after_good_requests_is_answered_in_its_turn() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.send(format!("{}GET / HTTP/1.1\nhost: t\r\n\r\n", SECOND.repeat(3)));
    let codes: Vec<u16> = (0..4).map(|_| raw.status()).collect();
    assert_eq!(codes, [200, 200, 200, 400]);
    assert_eq!(raw.rest(), "");
}

#[test]
fn what_is_allowed_passes() {
    let site = Site::start();
    let mut raw: Raw = site.raw();
    for (request, body) in [
        ("\r\nPOST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\n\r\n\r\n", "4 bytes"),
        (
            "POST /read HTTP/1.1\r\nHOST: t\r\nTransfer-Encoding:Chunked \r\n\r\n3 \r\na\nb\r\n0\r\n\r\n",
            "3 bytes",
        ),
        (
            "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3;n=\"v\"\r\nabc\r\n0\r\nt: u\r\n\r\n",
            "3 bytes",
        ),
        ("GET /read HTTP/1.1\r\nhost: [::1]:80\r\nx:\r\ny: \t a\r\n\r\n", "0 bytes"),
        ("GET /read HTTP/1.1\r\nhost:\r\n\r\n", "0 bytes"),
    ] {
        assert_eq!(raw.send(request).response().1, body, "{request:?}");
    }
}
