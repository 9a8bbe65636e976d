//! Servers that fail, each in its own way, and after how many requests they are left out.

use crate::{Proxy, connect, head, named, parts, rest, spec, until};
use http::{Request, Response, StatusCode};
use sampan_app::{Outlier, Upstream as Spec, UpstreamProtocol};
use sampan_service::{Body, Server, empty};
use sampan_testing::{TcpServer, free_port};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// A server that fails, beside a good one that takes every other request.
struct Pair {
    proxy: Proxy,
    bad: SocketAddr,
    _good: Server,
}

impl Pair {
    fn start(bad: SocketAddr, outlier: Outlier, more: impl FnOnce(&mut Spec)) -> Pair {
        let good = named("good");
        let mut spec = spec(&[bad, good.addresses()[0]]);
        spec.retry.attempts = 1;
        spec.outlier = Some(Outlier { eject: Duration::from_secs(600), ..outlier });
        more(&mut spec);
        Pair { proxy: Proxy::start(spec), bad, _good: good }
    }

    /// After how many requests to it the server is left out, of no more than so many.
    fn after(&self, most: usize) -> Option<usize> {
        (1..=most).find(|_| {
            self.proxy.get("/");
            self.proxy.get("/");
            !self.proxy.upstream.available().contains(&self.bad)
        })
    }
}

/// A server that answers one status after the other.
fn answers(statuses: &'static [u16]) -> TcpServer {
    let next = std::sync::atomic::AtomicUsize::new(0);
    TcpServer::start(move |mut stream| {
        while head(&mut stream).starts_with("GET") {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let status = statuses[number % statuses.len()];
            stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
        }
        Ok(())
    })
}

fn outlier(failures: Option<u32>, errors: Option<u32>, unreachable: Option<u32>) -> Outlier {
    Outlier { failures, errors, unreachable, ..Outlier::default() }
}

#[test]
fn statuses_count_as_the_manifest_says() {
    let three = Some(3);
    for (statuses, outlier, expected) in [
        (&[503][..], outlier(three, None, None), Some(3)),
        (&[502, 504], outlier(three, None, None), Some(3)),
        (&[500], outlier(three, None, None), None),
        (&[503, 500], outlier(three, None, None), None),
        (&[503, 500], outlier(three, three, None), Some(3)),
        (&[500, 501, 200], outlier(three, three, None), None),
        (&[503, 503, 404], outlier(three, None, None), None),
        (&[503], outlier(None, None, three), None),
    ] {
        let bad = answers(statuses);
        let pair = Pair::start(bad.address, outlier.clone(), |_| ());
        assert_eq!(pair.after(6), expected, "{statuses:?} {outlier:?}");
    }
}

#[test]
fn no_answer_counts_whatever_the_reason() {
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let closes = TcpServer::start(|mut stream| {
        head(&mut stream);
        Ok(())
    });
    let noise = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    });
    let silent = TcpServer::start(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()).map(drop));
    for (what, bad) in [
        ("refuses", gone),
        ("closes", closes.address),
        ("no HTTP", noise.address),
        ("silent", silent.address),
    ] {
        for outlier in
            [outlier(Some(2), None, None), outlier(None, Some(2), None), outlier(Some(9), None, Some(2))]
        {
            let short = |spec: &mut Spec| spec.timeouts.first_byte = Duration::from_millis(50);
            let pair = Pair::start(bad, outlier.clone(), short);
            assert_eq!(pair.after(4), Some(2), "{what} {outlier:?}");
        }
        // With a number of its own it counts nowhere else.
        let short = |spec: &mut Spec| spec.timeouts.first_byte = Duration::from_millis(50);
        let pair = Pair::start(bad, outlier(Some(2), Some(2), Some(100)), short);
        assert_eq!(pair.after(3), None, "{what}");
    }
    // The time for the whole exchange, which is over before that for an attempt.
    let short = |spec: &mut Spec| spec.timeouts.total = Some(Duration::from_millis(50));
    assert_eq!(Pair::start(silent.address, outlier(Some(2), None, None), short).after(4), Some(2));
}

#[test]
fn bodies_that_break_off_count() {
    let cut = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    });
    assert_eq!(Pair::start(cut.address, outlier(Some(2), None, None), |_| ()).after(4), Some(2));
    let stalls = TcpServer::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let idle = |spec: &mut Spec| spec.timeouts.idle = Duration::from_millis(50);
    assert_eq!(Pair::start(stalls.address, outlier(Some(2), None, None), idle).after(4), Some(2));
    // Whose fault it is that the whole takes too long, nobody knows once the response has begun.
    let total = |spec: &mut Spec| spec.timeouts.total = Some(Duration::from_millis(50));
    assert_eq!(Pair::start(stalls.address, outlier(Some(2), None, None), total).after(3), None);
}

#[test]
fn what_is_the_clients_fault_does_not_count() {
    // It answers when it has the whole body.
    let waits = TcpServer::start(|mut stream| {
        head(&mut stream);
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    for whole in [false, true] {
        let mut spec = spec(&[waits.address, SocketAddr::from(([127, 0, 0, 1], free_port()))]);
        spec.retry.attempts = 1;
        spec.outlier = Some(outlier(Some(1), None, None));
        match whole {
            true => spec.timeouts.total = Some(Duration::from_millis(300)),
            false => spec.timeouts.first_byte = Duration::from_millis(100),
        }
        let proxy = Proxy::start(spec);
        let mut stream = connect(proxy.address);
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").unwrap();
        if whole {
            // It has not been given the request when the time is over.
            assert_eq!(parts(&rest(&mut stream)).0, "504");
        } else {
            // Several times what the server has for its answer, which cannot begin before the body has ended.
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            assert_eq!(rest(&mut stream), "");
            drop(stream);
            until("the connection's end", || proxy.metric("connections", "") == 0);
        }
        assert!(proxy.upstream.available().contains(&waits.address), "{whole}");
    }
}

#[test]
fn the_share_of_servers_that_may_be_left_out() {
    for (servers, most_percent, left) in
        [(4, 50, 2), (4, 10, 3), (4, 100, 0), (3, 67, 1), (2, 10, 1), (1, 50, 1)]
    {
        let bad: Vec<_> = (0..servers).map(|_| answers(&[503])).collect();
        let addresses: Vec<_> = bad.iter().map(|server| server.address).collect();
        let mut spec = spec(&addresses);
        spec.outlier =
            Some(Outlier { most_percent, eject: Duration::from_secs(600), ..outlier(Some(1), None, None) });
        let proxy = Proxy::start(spec);
        for _ in 0..3 * servers {
            // Where none is left, those that were only left out are better than nothing.
            assert_eq!(parts(&proxy.get("/")).0, "503");
        }
        assert_eq!(proxy.upstream.available().len(), left, "{servers} servers, {most_percent} %");
    }
}

#[test]
fn a_grpc_server_says_so_in_its_head() {
    for (code, expected) in [("14", Some(2)), ("5", None)] {
        let bad = crate::server(move |_: Request<Body>| async move {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response.headers_mut().insert("grpc-status", code.parse().unwrap());
            response
        });
        let h2 = |spec: &mut Spec| spec.protocol = UpstreamProtocol::H2;
        let pair = Pair::start(bad.addresses()[0], outlier(Some(2), None, None), h2);
        assert_eq!(pair.after(4), expected, "{code}");
    }
}
