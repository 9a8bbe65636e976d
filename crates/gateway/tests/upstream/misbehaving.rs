//! Servers that break the rules, and what their clients see of it.

use crate::{Proxy, connect, head, parts, rest, spec};
use sampan_app::{RetryOn, Upstream as Spec};
use sampan_testing::TcpServer;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

/// A server that counts its connections.
fn counted(
    handle: impl Fn(&mut TcpStream, usize) -> std::io::Result<()> + Send + Sync + 'static,
) -> (TcpServer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let server = TcpServer::start(move |mut stream| handle(&mut stream, counter.fetch_add(1, SeqCst)));
    (server, count)
}

/// Short times, no second tries, nobody is left out.
fn strict(server: &TcpServer) -> Spec {
    let mut spec = Spec { outlier: None, ..spec(&[server.address]) };
    spec.timeouts.first_byte = Duration::from_millis(300);
    spec.timeouts.idle = Duration::from_millis(300);
    spec.retry.attempts = 1;
    spec
}

fn reset(stream: &TcpStream) {
    let linger = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("a socket option");
}

/// Waits for the other side to close.
fn stay(stream: &mut TcpStream) -> std::io::Result<()> {
    std::io::copy(stream, &mut std::io::sink()).map(drop)
}

type Act = fn(&mut TcpStream) -> std::io::Result<()>;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn no_response_is_an_error_with_a_reason() {
    let table: [(&str, Act, &str, &str); 9] = [
        ("closes at once", |_| Ok(()), "502", "reset"),
        (
            "resets before the head",
            |stream| {
                head(stream);
                reset(stream);
                Ok(())
            },
            "502",
            "reset",
        ),
        (
            "resets within the head",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-")?;
                Ok(())
            },
            "502",
            "reset",
        ),
        (
            "speaks something else",
            |stream| {
                head(stream);
                stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            },
            "502",
            "bad_response",
        ),
        (
            "names two lengths",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
            },
            "502",
            "bad_response",
        ),
        (
            "has a head without end",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
                while stream.write_all(b"x-filler: 0123456789012345678901234567890123456789\r\n").is_ok() {}
                Ok(())
            },
            "502",
            "bad_response",
        ),
        (
            "switches protocols unasked",
            |stream| {
                head(stream);
                stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                )?;
                stay(stream)
            },
            "502",
            "",
        ),
        ("says nothing", stay, "504", "first_byte"),
        (
            "trickles its head",
            |stream| {
                head(stream);
                for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" {
                    stream.write_all(&[*byte])?;
                    sleep(Duration::from_millis(20));
                }
                Ok(())
            },
            "504",
            "first_byte",
        ),
    ];
    for (what, act, status, reason) in table {
        let (server, count) = counted(move |stream, _| act(stream));
        let proxy = Proxy::start(strict(&server));
        let answer =
            proxy.ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(parts(&answer).0, status, "{what}: {answer}");
        assert_eq!(count.load(SeqCst), 1, "{what}: a POST was sent twice");
        if !reason.is_empty() {
            assert_eq!(proxy.metric("failures_total", &format!(",reason=\"{reason}\"")), 1, "{what}");
        }
        assert_eq!(proxy.metric("requests_total", ",status=\"5xx\""), 1, "{what}");
        crate::until("the connection's end", || proxy.metric("connections", "") == 0);
    }
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_the_client_too() {
    let table: [(&str, Act, &str); 5] = [
        (
            "less than its length",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
            },
            "body",
        ),
        (
            "no last chunk",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            },
            "body",
        ),
        (
            "a bad chunk",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
                sleep(Duration::from_millis(50));
                stream.write_all(b"xyz\r\n")?;
                stay(stream)
            },
            "body",
        ),
        (
            "a reset",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
                sleep(Duration::from_millis(50));
                reset(stream);
                Ok(())
            },
            "body",
        ),
        (
            "a pause without end",
            |stream| {
                head(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")?;
                stay(stream)
            },
            "idle",
        ),
    ];
    for (what, act, reason) in table {
        let (server, _) = counted(move |stream, _| act(stream));
        let proxy = Proxy::start(strict(&server));
        let answer = proxy.get("/");
        let (status, body) = parts(&answer);
        assert!(status == "200" && body.contains("abc"), "{what}: {answer}");
        // A client can tell: the length is not reached, or the last chunk does not come.
        assert!(!body.ends_with("0\r\n\r\n") && body.len() < 10, "{what}: {answer}");
        assert_eq!(proxy.metric("failures_total", &format!(",reason=\"{reason}\"")), 1, "{what}");
    }
}

#[test]
fn slow_is_not_stalled_and_more_than_the_length_is_not_the_next_response() {
    let (server, count) = counted(|stream, _| {
        while head(stream).contains("/slow") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")?;
            for byte in b"0123456789" {
                sleep(Duration::from_millis(60));
                stream.write_all(&[*byte])?;
            }
        }
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        )?;
        stay(stream)
    });
    let proxy = Proxy::start(strict(&server));
    assert_eq!(parts(&proxy.get("/slow")), ("200", "0123456789"));
    for _ in 0..4 {
        assert_eq!(parts(&proxy.get("/")), ("200", "ok"));
    }
    assert!(count.load(SeqCst) >= 4, "a connection with somebody's answer in it was used again");
}

#[test]
fn an_answer_before_the_requests_end_is_an_answer() {
    let (server, _) = counted(|stream, _| {
        head(stream);
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")?;
        stay(stream)
    });
    let proxy = Proxy::start(strict(&server));
    let mut stream = connect(proxy.address);
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbegin").unwrap();
    let mut answer = head(&mut stream);
    let mut body = [0; 3];
    stream.read_exact(&mut body).unwrap();
    answer += &String::from_utf8_lossy(&body);
    assert_eq!(parts(&answer), ("413", "big"));
    crate::until("the connection's end", || proxy.metric("connections", "") == 0);
}

#[test]
fn the_whole_exchange_has_a_time() {
    let (server, _) = counted(|stream, _| {
        let body = head(stream).contains("/body");
        if body {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        }
        while !body || stream.write_all(b"1\r\nx\r\n").is_ok() {
            sleep(Duration::from_millis(20));
            if !body && stream.read(&mut [0]).is_ok_and(|count| count == 0) {
                break;
            }
        }
        Ok(())
    });
    let mut spec = strict(&server);
    spec.timeouts.first_byte = Duration::from_secs(60);
    spec.timeouts.total = Some(Duration::from_millis(200));
    let proxy = Proxy::start(spec);
    assert_eq!(parts(&proxy.get("/")).0, "504");
    let answer = proxy.get("/body");
    assert!(answer.contains("1\r\nx\r\n") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(proxy.metric("failures_total", ",reason=\"total\""), 2);
}

#[test]
fn a_request_that_crosses_with_the_servers_close_is_sent_again_if_that_is_safe() {
    // Each connection serves one request and closes when the second has come.
    let once: fn(&mut TcpStream, usize) -> std::io::Result<()> = |stream, _| {
        head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        head(stream);
        Ok(())
    };
    let (server, count) = counted(once);
    let mut spec = strict(&server);
    spec.retry.attempts = 1;
    let proxy = Proxy::start(spec);
    for _ in 0..3 {
        assert_eq!(parts(&proxy.get("/")), ("200", "ok"));
    }
    assert_eq!(count.load(SeqCst), 3);
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(parts(&proxy.ask(post)).0, "502", "nobody knows whether it was served");
    assert_eq!(parts(&proxy.ask(post)), ("200", "ok"));
}

#[test]
fn retries_are_for_what_may_happen_twice() {
    let flaky: fn(&mut TcpStream, usize) -> std::io::Result<()> = |stream, number| {
        let head = head(stream);
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap_or("0").parse().unwrap_or(0));
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if number % 2 == 0 {
            return match head.contains("/reset") {
                true => Ok(()),
                false => {
                    stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                }
            };
        }
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(answer.as_bytes())?;
        stream.write_all(&body)
    };
    // method, path, body, what is asked again → status, connections
    let reset = vec![RetryOn::Connect, RetryOn::Reset];
    let status = vec![RetryOn::Status(503)];
    for (method, path, body, on, expected, connections) in [
        ("GET", "/reset", "", &reset, "200", 2),
        ("GET", "/503", "", &reset, "503", 1),
        ("GET", "/503", "", &status, "200", 2),
        ("PUT", "/reset", "hello", &reset, "200", 2),
        ("DELETE", "/503", "", &status, "200", 2),
        ("POST", "/reset", "hello", &reset, "502", 1),
        ("POST", "/503", "", &status, "503", 1),
    ] {
        let (server, count) = counted(flaky);
        let mut spec = strict(&server);
        spec.retry.attempts = 3;
        spec.retry.on.clone_from(on);
        let proxy = Proxy::start(spec);
        let length = body.len();
        let answer = proxy.ask(&format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        let what = format!("{method} {path} {on:?}: {answer}");
        assert_eq!((parts(&answer).0, count.load(SeqCst)), (expected, connections), "{what}");
        if expected == "200" {
            assert_eq!(parts(&answer).1, body, "{what}");
            assert_eq!(proxy.metric("retries_total", ""), 1, "{what}");
        }
    }
}

#[test]
fn without_a_budget_nothing_is_asked_again() {
    let (server, count) = counted(|_, _| Ok(()));
    let mut spec = strict(&server);
    spec.retry.attempts = 3;
    spec.retry.budget_percent = 0;
    let proxy = Proxy::start(spec);
    assert_eq!(parts(&proxy.get("/")).0, "502");
    assert_eq!(count.load(SeqCst), 1);
    let mut stream = connect(proxy.address);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(&mut stream).contains("502"));
}
