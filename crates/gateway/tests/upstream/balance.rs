//! Which server gets a request: in turn, by load, by a ring; and who is left out.

use crate::{Proxy, connect, head, named, parts, rest, server, spec, until};
use http::{Request, Response, StatusCode};
use sampan_app::{Balance, HashKey, HealthCheck, Outlier, Upstream as Spec, UpstreamServer};
use sampan_service::{Body, Server, empty, full};
use sampan_testing::{TcpServer, free_port};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn three() -> ([Server; 3], Vec<SocketAddr>) {
    let servers = [named("a"), named("b"), named("c")];
    let addresses = servers.iter().map(|server| server.addresses()[0]).collect();
    (servers, addresses)
}

fn who(proxy: &Proxy) -> String {
    parts(&proxy.get("/")).1.to_owned()
}

#[test]
fn in_turn_as_often_as_weights_say() {
    let (_servers, addresses) = three();
    let proxy = Proxy::start(spec(&addresses));
    let turns: String = (0..6).map(|_| who(&proxy)).collect();
    assert_eq!(turns, "abcabc");
    let mut weighted = spec(&addresses);
    weighted.servers[1].weight = 3;
    let proxy = Proxy::start(weighted);
    let turns: String = (0..10).map(|_| who(&proxy)).collect();
    assert_eq!((turns.matches('b').count(), turns.matches('a').count()), (6, 2), "{turns}");
}

#[test]
fn by_load_a_busy_server_gets_less() {
    let slow = TcpServer::start(|mut stream| {
        head(&mut stream);
        // Until its client leaves.
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let quick = named("quick");
    let spec = Spec { balance: Balance::LeastRequest, ..spec(&[slow.address, quick.addresses()[0]]) };
    let proxy = Proxy::start(spec);
    let mut waiting = Vec::new();
    let mut quick = 0;
    for _ in 0..60 {
        let mut stream = connect(proxy.address);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        match head(&mut stream).is_empty() {
            true => waiting.push(stream),
            false => quick += 1,
        }
    }
    // Half of the draws are the same server twice, and half of those the slow one.
    assert!(quick > 35 && !waiting.is_empty(), "{quick} of 60");
}

#[test]
fn a_ring_keeps_a_key_with_its_server() {
    let (_servers, addresses) = three();
    for (key, header) in [
        (HashKey::Header("x-user".into()), "x-user: "),
        (HashKey::Cookie("sid".into()), "cookie: theme=dark; sid="),
    ] {
        let ring = |addresses: &[SocketAddr]| {
            Proxy::start(Spec { balance: Balance::RingHash(key.clone()), ..spec(addresses) })
        };
        let all = |proxy: &Proxy| -> Vec<String> {
            let ask = |user: usize| {
                format!("GET / HTTP/1.1\r\nhost: a\r\n{header}{user}\r\nconnection: close\r\n\r\n")
            };
            (0..60).map(|user| parts(&proxy.ask(&ask(user))).1.to_owned()).collect()
        };
        let before = all(&ring(&addresses));
        // Another process, or the same after a restart, decides alike.
        assert_eq!(all(&ring(&addresses)), before);
        for name in ["a", "b", "c"] {
            assert!(before.iter().filter(|one| *one == name).count() > 5, "{before:?}");
        }
        // Without the last server only its own keys move.
        let after = all(&ring(&addresses[..2]));
        assert!(before.iter().zip(&after).all(|(before, after)| before == "c" || before == after));
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_passed_over_and_then_left_out() {
    let good = named("good");
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut spec = spec(&[gone, good.addresses()[0]]);
    spec.outlier = Some(Outlier { failures: Some(2), eject: Duration::from_secs(600), ..Outlier::default() });
    let proxy = Proxy::start(spec);
    for _ in 0..10 {
        // A POST too: nothing was sent yet.
        let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(parts(&proxy.ask(post)), ("200", "good"));
    }
    let server = format!(",server=\"{gone}\"");
    assert_eq!(proxy.metric("ejections_total", &server), 1);
    assert_eq!(proxy.metric("retries_total", ""), 2);
    assert_eq!(proxy.metric("server_healthy", &server), 0);
    assert_eq!(proxy.upstream.available(), good.addresses());
}

#[test]
fn never_more_than_half_are_left_out_and_they_come_back() {
    let ill = Arc::new(AtomicBool::new(true));
    let state = ill.clone();
    let bad = server(move |_| {
        let status = if state.load(SeqCst) { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
        async move { Response::builder().status(status).body(empty()).unwrap() }
    });
    let state = ill.clone();
    let other = server(move |_| {
        let status = if state.load(SeqCst) { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
        async move { Response::builder().status(status).body(empty()).unwrap() }
    });
    let mut spec = spec(&[bad.addresses()[0], other.addresses()[0]]);
    spec.outlier =
        Some(Outlier { failures: Some(1), eject: Duration::from_millis(100), ..Outlier::default() });
    let proxy = Proxy::start(spec);
    for _ in 0..5 {
        // The server's own answer: one of them always gets requests.
        assert_eq!(parts(&proxy.get("/")).0, "502");
        assert!(!proxy.upstream.available().is_empty());
    }
    ill.store(false, SeqCst);
    until("their return", || proxy.upstream.available().len() == 2);
    assert_eq!(parts(&proxy.get("/")).0, "200");
}

#[test]
fn checks_take_a_server_away_and_bring_it_back() {
    let status = Arc::new(AtomicU16::new(200));
    let shown = status.clone();
    let checked = server(move |request: Request<Body>| {
        let health = request.uri().path() == "/healthz";
        let status = if health { shown.load(SeqCst) } else { 200 };
        async move { Response::builder().status(status).body(full("checked")).unwrap() }
    });
    let mut spec = spec(checked.addresses());
    spec.health = Some(HealthCheck {
        interval: Duration::from_millis(10),
        unhealthy: 2,
        healthy: 2,
        ..HealthCheck::new("/healthz")
    });
    let proxy = Proxy::start(spec);
    assert_eq!(who(&proxy), "checked");
    status.store(500, SeqCst);
    until("a bad check", || proxy.upstream.available().is_empty());
    let answer = proxy.get("/");
    assert!(parts(&answer).0 == "503" && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(proxy.metric("failures_total", ",reason=\"no_server\""), 1);
    status.store(204, SeqCst);
    until("a good check", || proxy.upstream.available().len() == 1);
    assert_eq!(who(&proxy), "checked");
}

#[test]
fn more_than_the_limit_waits_and_more_than_the_queue_is_refused() {
    let held = TcpServer::start(|mut stream| {
        while head(&mut stream).contains("/hold") {
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let mut spec = spec(&[held.address]);
    spec.limits = sampan_app::UpstreamLimits {
        connections: 1,
        requests: 10,
        queue: 1,
        queue_time: Duration::from_secs(30),
    };
    let proxy = Proxy::start(spec);
    let ask = || {
        let mut stream = connect(proxy.address);
        stream.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let mut all: Vec<_> = (0..3).map(|_| ask()).collect();
    let answers: Vec<String> = all.iter_mut().map(rest).collect();
    let count = |status: &str| answers.iter().filter(|answer| parts(answer).0 == status).count();
    assert_eq!((count("200"), count("503")), (2, 1), "{answers:?}");
    let refused = answers.iter().find(|answer| parts(answer).0 == "503").unwrap();
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert_eq!(proxy.metric("failures_total", ",reason=\"queue_full\""), 1);
}

#[test]
fn waiting_for_a_place_has_a_bound() {
    let held = TcpServer::start(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()).map(drop));
    let mut spec = spec(&[held.address]);
    spec.limits.requests = 1;
    spec.limits.queue_time = Duration::from_millis(50);
    let proxy = Proxy::start(spec);
    let mut first = connect(proxy.address);
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("the first request", || proxy.metric("connections", "") == 1);
    assert_eq!(parts(&proxy.get("/")).0, "503");
    assert_eq!(proxy.metric("failures_total", ",reason=\"queue_time\""), 1);
}

#[test]
fn names_are_looked_up_again_and_a_failure_changes_nothing() {
    let (servers, addresses) = three();
    let answer: Arc<Mutex<std::io::Result<Vec<SocketAddr>>>> =
        Arc::new(Mutex::new(Ok(addresses[..1].to_vec())));
    let shown = answer.clone();
    let asked = Arc::new(AtomicU16::new(0));
    let counter = asked.clone();
    let lookup: sampan_gateway::Lookup = Arc::new(move |host, port| {
        assert_eq!((host, port), ("servers.internal", 80));
        counter.fetch_add(1, SeqCst);
        match &*shown.lock().unwrap() {
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) => Err(error.kind().into()),
        }
    });
    let mut spec = spec(&[]);
    spec.servers = vec![UpstreamServer { host: "servers.internal".into(), port: 80, tls: false, weight: 1 }];
    spec.dns = Duration::from_millis(10);
    let proxy = Proxy::start_with(spec, lookup);
    assert_eq!(who(&proxy), "a");
    *answer.lock().unwrap() = Ok(addresses[1..].to_vec());
    until("the new addresses", || proxy.upstream.available().len() == 2);
    let both: std::collections::BTreeSet<_> = (0..4).map(|_| who(&proxy)).collect();
    assert_eq!(Vec::from_iter(both), ["b", "c"]);
    *answer.lock().unwrap() = Err(std::io::ErrorKind::TimedOut.into());
    let before = asked.load(SeqCst);
    until("two more look-ups", || asked.load(SeqCst) > before + 2);
    assert_eq!(proxy.upstream.available().len(), 2);
    drop(servers);
}

#[test]
fn bytes_go_to_a_server_too() {
    let echo = TcpServer::echo();
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let proxy = Proxy::start(spec(&[gone, echo.address]));
    crate::RUNTIME.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for _ in 0..3 {
            let mut link = proxy.upstream.connect_tcp(None).await.unwrap();
            assert_eq!(link.address, echo.address);
            link.stream.write_all(b"ping").await.unwrap();
            let mut back = [0; 4];
            link.stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"ping");
        }
    });
}
