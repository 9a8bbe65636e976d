//! The operator's listener.

use crate::support::{Raw, status};
use sampan_service::{Admin, Listen, Listener, Options, Server, serve};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

struct Operator {
    server: Server,
    ready: Arc<AtomicBool>,
    reloads: Arc<AtomicU32>,
}

fn operator() -> Operator {
    let listener = Listener::bind(&Listen { address: ([127, 0, 0, 1], 0).into(), tls: None }).unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let reloads = Arc::new(AtomicU32::new(0));
    let (is_ready, count) = (ready.clone(), reloads.clone());
    let admin = Admin {
        ready: Box::new(move || match is_ready.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(vec!["api: compiling".to_owned()]),
        }),
        reload: Some(Box::new(move || {
            let count = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if count == 0 {
                    Ok("2 components changed".to_owned())
                } else {
                    Err("sampan.toml:3: no".to_owned())
                }
            })
        })),
        more: None,
    };
    let server =
        serve(vec![listener], Arc::new(admin), Options { workers: 1, ..Options::default() }).unwrap();
    Operator { server, ready, reloads }
}

impl Operator {
    fn ask(&self, request: &str, headers: &str) -> (u16, String, String) {
        let address = self.server.addresses()[0];
        let mut raw = Raw::connect(address);
        let host = if headers.contains("host: ") { String::new() } else { format!("host: {address}\r\n") };
        let (head, body) = raw.send(format!("{request} HTTP/1.1\r\n{host}{headers}\r\n")).response();
        (status(&head), head, body)
    }
}

#[test]
fn alive_ready_and_measured() {
    let operator = operator();
    assert_eq!(operator.ask("GET /healthz", "").0, 200);
    let (code, head, body) = operator.ask("GET /readyz", "");
    assert_eq!(
        (code, body.as_str()),
        (503, "{\"ready\":false,\"reasons\":[\"api: compiling\"]}\n"),
        "{head}"
    );
    operator.ready.store(true, Ordering::Relaxed);
    assert_eq!(operator.ask("GET /readyz", "").2, "{\"ready\":true,\"reasons\":[]}\n");
    let (code, head, body) = operator.ask("GET /metrics", "");
    assert!(
        code == 200 && head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.contains("\nsampan_connections ") && body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn loading_anew_says_what_happened() {
    let operator = operator();
    assert_eq!(operator.ask("GET /reload", "").0, 405);
    assert_eq!(operator.ask("POST /reload", "origin: http://evil.example\r\n").0, 403);
    assert_eq!(operator.ask("POST /reload", "sec-fetch-site: cross-site\r\n").0, 403);
    assert_eq!(operator.reloads.load(Ordering::Relaxed), 0);
    let (code, _, body) = operator.ask("POST /reload", "");
    assert_eq!((code, body.as_str()), (200, "2 components changed\n"));
    let (code, _, body) = operator.ask("POST /reload", "");
    assert_eq!((code, body.as_str()), (409, "sampan.toml:3: no\n"));
}

#[test]
fn other_names_and_paths_are_refused() {
    let operator = operator();
    for host in ["evil.example", "evil.example:9090", "localhost.evil.example"] {
        assert_eq!(operator.ask("GET /healthz", &format!("host: {host}\r\n")).0, 421, "{host}");
    }
    assert_eq!(operator.ask("GET /healthz", "host: localhost:9090\r\n").0, 200);
    assert_eq!(operator.ask("GET /", "").0, 404);
    assert_eq!(operator.ask("POST /metrics", "").0, 405);
}
