//! HTTP/1.1 as RFC 9112 has it, and what is added to it.

use crate::support::{Raw, Site, status};
use std::io::{Read, Write};

#[test]
fn a_connection_serves_many_requests() {
    let site = Site::start();
    let mut raw = site.raw();
    for _ in 0..3 {
        let (head, body) = raw.get("/hello").response();
        assert_eq!((status(&head), body.as_str()), (200, "hello"), "{head}");
        assert!(head.contains("\r\ndate: "), "{head}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.send(
        "GET /wait HTTP/1.1\r\nhost: t\r\n\r\nPOST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody\
         GET /hello HTTP/1.1\r\nhost: t\r\n\r\n",
    );
    site.expect("waiting");
    site.open_gate();
    let bodies: Vec<String> = (0..3).map(|_| raw.response().1).collect();
    assert_eq!(bodies, ["waited", "body", "hello"]);
}

#[test]
fn responses_without_a_body_have_none() {
    let site = Site::start();
    let mut raw = site.raw();
    for (request, code) in [("HEAD /hello", 200), ("GET /status/204", 204), ("GET /status/304", 304)] {
        let head = raw.send(format!("{request} HTTP/1.1\r\nhost: t\r\n\r\n")).until("\r\n\r\n");
        assert_eq!(status(&head), code, "{request}");
    }
    // A body that was sent nevertheless would be taken for this response.
    assert_eq!(raw.get("/hello").response().1, "hello");
}

#[test]
fn http_1_0_needs_no_host_and_closes() {
    let site = Site::start();
    let answer = site.raw().send("GET /hello HTTP/1.0\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn continue_is_sent_when_the_body_is_read_and_only_then() {
    let site = Site::start();
    let head = "POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    let mut raw = site.raw();
    assert_eq!(raw.send(head).until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(raw.send("abc").response().1, "3 bytes");
    let mut raw = site.raw();
    let (head, body) = raw.send(head.replace("/read", "/ignore")).response();
    assert_eq!((status(&head), body.as_str()), (200, "ignored"), "{head}");
}

#[test]
fn trailers_pass_both_ways() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.send(
        "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nsum: 6\r\n\r\n",
    );
    assert_eq!(raw.response().1, "3 bytes sum=6");
    let answer =
        raw.send("GET /trailers HTTP/1.1\r\nhost: t\r\nte: trailers\r\n\r\n").until("0\r\nsum: 7\r\n\r\n");
    assert!(answer.contains("4\r\ndata\r\n"), "{answer}");
    assert_eq!(raw.get("/hello").response().1, "hello");
}

#[test]
fn a_request_has_a_name() {
    let site = Site::start();
    let mut raw = site.raw();
    let given = |head: &str| {
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        id.expect("an id").to_owned()
    };
    let (head, body) = raw.get("/about").response();
    let first = given(&head);
    assert!(first.len() == 32 && body.contains(&format!("id={first} ")), "{head}{body}");
    let (head, _) = raw.get("/about").response();
    assert_ne!(given(&head), first);
    let (head, body) = raw.send("GET /about HTTP/1.1\r\nhost: t\r\nX-Request-Id: mine\r\n\r\n").response();
    assert!(given(&head) == "mine" && body.contains("id=mine "), "{head}{body}");
    let bad = format!("GET /about HTTP/1.1\r\nhost: t\r\nx-request-id: {}\r\n\r\n", "x".repeat(129));
    assert_eq!(given(&raw.send(bad).response().0).len(), 32);
}

#[test]
fn the_handler_knows_the_connection() {
    let site = Site::start();
    let mut raw = site.raw();
    let (_, body) = raw.get("/about?a=b").response();
    let (peer, local) = (raw.0.local_addr().unwrap(), site.address);
    assert!(body.starts_with(&format!("GET /about?a=b peer={peer} local={local} tls=false id=")), "{body}");
}

#[test]
fn a_target_in_absolute_form_decides_about_the_host() {
    let site = Site::start();
    let (_, body) = site.raw().send("GET http://real:1/about HTTP/1.1\r\nhost: other\r\n\r\n").response();
    assert!(body.ends_with("host=real:1"), "{body}");
}

#[test]
fn large_bodies_pass_both_ways_at_once() {
    const SIZE: usize = 8 << 20;
    let site = Site::start();
    let mut raw = site.raw();
    raw.send(format!("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: {SIZE}\r\n\r\n"));
    let mut writer = Raw(raw.0.try_clone().unwrap());
    let sent = std::thread::spawn(move || {
        for part in 0..(SIZE >> 16) {
            writer.send(vec![part as u8; 1 << 16]);
        }
    });
    raw.until("\r\n\r\n");
    let mut back = vec![0; SIZE];
    raw.0.read_exact(&mut back).unwrap();
    sent.join().unwrap();
    assert!(
        back.chunks(1 << 16).enumerate().all(|(part, bytes)| bytes.iter().all(|byte| *byte == part as u8))
    );
}

#[test]
fn a_client_that_reads_slowly_slows_the_handler() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.get("/endless");
    site.expect("frame 0");
    // What fits into the buffers of both kernels and of hyper; then nothing more is asked of the body.
    let mut frames = 0;
    while let Ok(event) = site.events.recv_timeout(std::time::Duration::from_millis(500)) {
        assert!(event.starts_with("frame"), "{event}");
        frames += 1;
        assert!(frames < 64 << 10, "64 MiB are on their way to a client that does not read");
    }
    raw.until("\r\n\r\n");
    let mut part = vec![0; 16 << 20];
    raw.0.read_exact(&mut part).unwrap();
    site.expect(&format!("frame {}", frames + 1));
    drop(raw);
    site.expect("body dropped");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    const SIZE: usize = 12 << 20;
    let site = Site::start();
    for _ in 0..10 {
        let mut raw = site.raw();
        raw.send(format!("POST /ignore HTTP/1.1\r\nhost: t\r\ncontent-length: {SIZE}\r\n\r\n"));
        let mut writer = raw.0.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            // It sends all before it looks at an answer.
            let part = [0; 64 << 10];
            (0..SIZE / part.len()).all(|_| writer.write_all(&part).is_ok())
        });
        assert!(sending.join().unwrap(), "the connection was reset");
        assert_eq!(raw.response().1, "ignored");
        assert_eq!(raw.rest(), "");
    }
}

#[test]
fn a_panic_ends_its_request_alone() {
    let site = Site::start();
    let mut raw = site.raw();
    for path in ["/panic", "/panic-early"] {
        assert_eq!(raw.get(path).status(), 500);
        let told = site.expect("a request failed inside: ");
        assert!(told.ends_with("on purpose") || told.ends_with("early"), "{told}");
        assert_eq!(raw.get("/hello").response().1, "hello");
    }
}

#[test]
fn a_body_that_fails_is_not_taken_for_a_whole_one() {
    for path in ["/panic-body", "/break"] {
        let site = Site::start();
        let answer = site.raw().get(path).rest();
        assert!(!answer.contains("\r\n0\r\n"), "{path}: {answer}");
        site.expect("body dropped");
        assert_eq!(site.raw().get("/hello").response().1, "hello");
    }
}

/// The answers before are whole.
#[test]
fn what_is_not_answered_closes_the_connection() {
    let site = Site::start();
    assert_eq!(site.raw().get("/reset").rest(), "");
    let mut raw = site.raw();
    assert_eq!(raw.get("/hello").response().1, "hello");
    assert_eq!(raw.get("/reset").rest(), "");
    let both = "GET /hello HTTP/1.1\r\nhost: t\r\n\r\nGET /reset HTTP/1.1\r\nhost: t\r\n\r\n";
    let answers = site.raw().send(both).rest();
    assert!(answers.ends_with("\r\n\r\nhello") && answers.matches("HTTP/1.1").count() == 1, "{answers}");
}

#[test]
fn interim_statuses_are_not_for_handlers() {
    let site = Site::start();
    for code in [100, 101, 103] {
        assert_eq!(site.raw().get(&format!("/status/{code}")).status(), 500, "{code}");
    }
}

#[test]
fn a_connection_becomes_another_protocols() {
    let site = Site::start();
    let mut raw = site.raw();
    raw.send("GET /upgrade HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    let head = raw.until("\r\n\r\n");
    assert!(status(&head) == 101 && head.contains("upgrade: echo"), "{head}");
    // Neither of these bytes is a request.
    let mut back = [0; 12];
    raw.send("\0any\nbytes\r\n").0.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"\0any\nbytes\r\n");
    assert_eq!(site.server.as_ref().unwrap().open(), 1);
    drop(raw);
    site.expect("upgrade over");
}
