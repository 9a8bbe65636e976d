//! What one component, or one client, must not do to the others.

use crate::{App, Up, component};
use sampan_testing::{allow_many_files, http_get};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A good component and a bad one, which does what the path says.
fn neighbours(limits: &str) -> App {
    App::new(&format!(
        "[app]\nname = \"a\"\n\
         [component.good]\nsource = \"{}\"\n\
         [component.bad]\nsource = \"{}\"\nlimits = {{ {limits} }}\n\
         [[route]]\npath = \"/good\"\nto = \"good\"\n\
         [[route]]\npath = \"/...\"\nto = \"bad\"\n",
        component("serve-hello").display(),
        component("serve-p2").display()
    ))
}

#[track_caller]
fn good(up: &Up) {
    assert_eq!(up.get("/good").text(), "Hello, world!\n");
}

#[test]
fn a_trap_an_endless_loop_and_silence_are_the_requests_own() {
    let up = neighbours("time = \"300ms\"").up();
    for (path, status) in [("/trap", 500), ("/loop", 504), ("/never", 504), ("/drop", 500), ("/exit", 500)] {
        let answer = up.get(path);
        assert!((500..=504).contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.status == status || path == "/drop", "{path}: {}", answer.status);
        good(&up);
    }
}

/// Every request of one component loops, on all connections, for as long as the other one is asked.
#[test]
fn a_component_that_loops_does_not_stop_its_neighbour() {
    const LOOPING: usize = 16;
    const ASKED: usize = 200;
    let up = neighbours("time = \"500ms\", instances = 8").up();
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..LOOPING)
        .map(|_| {
            let (stop, address) = (stop.clone(), up.address.clone());
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = http_get(address.as_str(), "/loop").expect("an answer");
                    assert!(matches!(answer.status, 503 | 504), "{}", answer.status);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for _ in 0..ASKED {
        good(&up);
    }
    stop.store(true, Ordering::Relaxed);
    let looped: usize = loops.into_iter().map(|one| one.join().expect("the looping client")).sum();
    assert!(looped > 0);
}

#[test]
fn more_requests_than_places_wait_or_are_refused_with_a_hint() {
    const CLIENTS: usize = 12;
    let up = neighbours("time = \"2s\", instances = 1, queue = 1, queue_time = \"50ms\"").up();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let address = up.address.clone();
            std::thread::spawn(move || http_get(address.as_str(), "/loop").expect("an answer"))
        })
        .collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(refused >= CLIENTS - 2, "{refused}");
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    }
    good(&up);
}

/// Clients that say nothing, say it slowly, or say two things at once.
#[test]
fn idle_slow_and_lying_clients_do_not_hold_up_others() {
    const IDLE: usize = 1000;
    allow_many_files();
    let up = neighbours("time = \"1s\"").up();
    let mut idle: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(up.address.as_str()).expect("a connection")).collect();
    for slow in idle.iter_mut().take(100) {
        slow.write_all(b"GET /good HTTP/1.1\r\nHost: a\r\nX-Slow: ").expect("a part of a request");
    }
    good(&up);
    let both = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
                GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    let two = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde";
    let long = format!("GET /good HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    for request in [both, two, &long] {
        let mut client = TcpStream::connect(up.address.as_str()).expect("a connection");
        // The server may close before all of it is sent.
        let _ = client.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains("Hello"), "{answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    good(&up);
}
