//! Outbound HTTP of whole programs: `--allow-http`, what is said about a refusal, and how a program that waits
//! for an answer ends.

use crate::run;
use sampan_testing::{Finished, HttpServer, Response, guest_for};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// A guest of each interface, and how it names a refusal.
const GUESTS: [(&str, &str, &str); 3] = [
    ("wasm32-wasip1", "http-experimental", "Wasi error 7"),
    ("wasm32-wasip2", "http-p2", "HttpRequestDenied"),
    ("wasm32-wasip2", "http-p3", "HttpRequestDenied"),
];

fn get(flags: &[&str], platform: &str, name: &str, url: &str) -> Finished {
    let path = guest_for(platform, name);
    let path = path.to_str().expect("a path in UTF-8");
    run([flags, &[path, "GET", url]].concat())
}

#[test]
fn a_granted_origin_is_reached() {
    let server = HttpServer::start(|_| Response::new(200, "from outside"));
    let (origin, url) = (format!("http://{}", server.address), format!("http://{}/a?b", server.address));
    for (platform, name, _) in GUESTS {
        let finished = get(&["--allow-http", &origin], platform, name, &url);
        assert_eq!(finished.code, 0, "{name}: {}", finished.stderr);
        assert!(finished.stdout.starts_with("status 200\n"), "{name}: {}", finished.stdout);
        assert!(finished.stdout.ends_with("from outside\n"), "{name}: {}", finished.stdout);
        assert_eq!(finished.stderr, "", "{name}");
    }
    let seen: Vec<_> = server.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(seen, ["/a?b"; 3]);
}

#[test]
fn a_refusal_names_the_flag() {
    let server = HttpServer::start(|_| Response::new(200, ""));
    let (origin, url) = (format!("http://{}", server.address), format!("http://{}/", server.address));
    for (platform, name, refusal) in GUESTS {
        let finished = get(&[], platform, name, &url);
        assert_eq!(finished.code, 1, "{name}: {}", finished.stdout);
        assert!(finished.stdout.contains(refusal), "{name}: {}", finished.stdout);
        assert!(!finished.stderr.contains("refused"), "{name}: {}", finished.stderr);

        let finished = get(&["--explain"], platform, name, &url);
        let line = format!("refused: send a request to {origin}; grant it with --allow-http {origin}\n");
        assert!(finished.stderr.contains(&line), "{name}: {}", finished.stderr);

        // Everything but what is private: that has to be named.
        let finished = get(&["--explain", "--allow-http", "*"], platform, name, &url);
        let line = format!("{origin}, which is not a public address; grant it with --allow-http {origin}\n");
        assert!(finished.stderr.contains(&line), "{name}: {}", finished.stderr);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_program_that_waits_for_an_answer_is_stopped() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = HttpServer::start(move |_| {
        // Until the sender is dropped.
        let _ = gate.lock().expect("the gate").recv();
        Response::new(200, "")
    });
    let (origin, url) = (format!("http://{}", server.address), format!("http://{}/", server.address));
    for (platform, name, _) in GUESTS {
        // Compiled before the time counts.
        let flags = ["--allow-http", &origin, "--timeout", "300ms"];
        get(&[], platform, name, "http://refused.invalid/");
        let start = Instant::now();
        let finished = get(&flags, platform, name, &url);
        assert_eq!(finished.code, 124, "{name}: {}", finished.stderr);
        assert!(start.elapsed() < Duration::from_secs(20), "{name}: {:?}", start.elapsed());
    }
    drop(release);
}
