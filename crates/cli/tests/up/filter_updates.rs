//! Filters that change while they are asked: by the manifest, by the admin listener, on trial.

use crate::{App, Up};
use sampan_testing::{Response, allow_many_files, free_port, guest, http_send};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Traps at every request.
const TRAPS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;
/// Does not want to be configured.
const REFUSES: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
    (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 0))"#;

fn manifest(config: &str, more: &str) -> String {
    format!(
        "[app]\nname = \"a\"\n\
         [filter.hello]\nsource = \"{}\"\nconfig = \"{config}\"\n{more}\
         [[route]]\npath = \"/...\"\nto = \"static:public\"\nfilters = [\"hello\"]\n",
        guest("proxy-add-header").display()
    )
}

/// An app with the filter before a file, and its admin listener.
struct Served {
    app: App,
    up: Up,
    admin: String,
}

fn served(config: &str, more: &str) -> Served {
    let app = App::new(&manifest(config, more));
    app.write("public/index.html", "page");
    let admin = format!("127.0.0.1:{}", free_port());
    let up = app.up_with(&["--admin", &admin]);
    Served { app, up, admin }
}

impl Served {
    fn hello(&self) -> String {
        let answer = self.up.get("/");
        assert_eq!(answer.status, 200);
        answer.header("hello").unwrap_or_default().to_owned()
    }

    fn operate(&self, method: &str, path: &str, body: &[u8]) -> Response {
        http_send(&*self.admin, method, path, &[("Host", &self.admin)], body).expect("the admin listener")
    }
}

#[test]
fn the_admin_listener_replaces_configuration_and_code() {
    let served = served("one", "");
    assert_eq!(served.hello(), "one");
    let done = served.operate("PUT", "/filters/a/hello/config", b"two");
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(served.hello(), "two");
    let code = std::fs::read(guest("proxy-body")).unwrap();
    let done = served.operate("PUT", "/filters/a/hello", &code);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(served.hello(), "");
    let listed = served.operate("GET", "/filters", b"").text();
    assert!(listed.contains("\"abi\": \"proxy-wasm 0.2") && listed.contains("\"canary\": null"), "{listed}");
}

#[test]
fn what_cannot_serve_leaves_the_version_before() {
    let mut served = served("one", "");
    for (body, why) in [
        (&b"\0asm\x01\0\0\0\xff"[..], "hello"),
        (b"(module)", "it is no filter"),
        (REFUSES.as_bytes(), "proxy_on_configure"),
    ] {
        let refused = served.operate("PUT", "/filters/a/hello", body);
        assert_eq!(refused.status, 409, "{why}");
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
        assert!(refused.text().contains("the version before goes on"), "{}", refused.text());
        assert_eq!(served.hello(), "one");
    }
    assert_eq!(served.operate("PUT", "/filters/a/hello/config", b"\xff").status, 400);
    assert_eq!(served.operate("PUT", "/filters/a/nobody", b"(module)").status, 404);
    assert_eq!(served.operate("PUT", "/filters/a/hello/canary?share=many", b"(module)").status, 400);
    served.app.write("refuses.wat", REFUSES);
    let bad = manifest("one", "").replace(guest("proxy-add-header").to_str().unwrap(), "refuses.wat");
    served.app.write("sampan.toml", bad);
    served.up.signal("HUP");
    served.up.process.wait_for_error("the running version goes on");
    assert_eq!(served.hello(), "one");
}

#[test]
fn a_version_on_trial_gets_its_share_and_takes_over() {
    let more = "canary = { config = \"two\", share = \"20%\" }\n";
    let served = served("one", more);
    let count = |text: &str| (0..100).filter(|_| served.hello() == text).count();
    assert_eq!(count("two"), 20);
    assert_eq!(served.operate("POST", "/filters/a/hello/canary", b"").status, 200);
    assert_eq!(count("two"), 100);
    assert_eq!(served.operate("POST", "/filters/a/hello/canary", b"").status, 409);
}

#[test]
fn a_version_on_trial_that_fails_is_withdrawn() {
    let mut served = served("one", "");
    let path = "/filters/a/hello/canary?share=50%25&failures=10%25&exchanges=4";
    assert_eq!(served.operate("PUT", path, TRAPS.as_bytes()).status, 200);
    let failed = (0..100).filter(|_| served.up.get("/").status == 503).count();
    assert_eq!(failed, 4);
    served.up.process.wait_for_error("the version on trial is withdrawn");
    assert_eq!(served.hello(), "one");
    let metrics = served.operate("GET", "/metrics", b"").text();
    assert!(metrics.contains("reason=\"canary_withdrawn\"} 1"), "{metrics}");
}

/// Many updates, many connections that stay open: nobody notices.
#[test]
fn no_exchange_fails_while_a_filter_is_updated() {
    const CLIENTS: usize = 64;
    const UPDATES: usize = 25;
    allow_many_files();
    let served = served("0", "");
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            let mut connection = Connection::open(&served.up.address);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    connection.hello().parse::<usize>().expect("the number of a version");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for version in 1..=UPDATES {
        let before = answered.load(Ordering::Relaxed);
        let done = served.operate("PUT", "/filters/a/hello/config", version.to_string().as_bytes());
        assert_eq!(done.status, 200, "{}", done.text());
        while answered.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client without a failed exchange");
    }
    assert_eq!(served.hello(), UPDATES.to_string());
}

/// A connection that is kept.
struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: &str) -> Connection {
        Connection { reader: BufReader::new(TcpStream::connect(address).expect("a connection")) }
    }

    /// The filter's header of a response that is whole.
    fn hello(&mut self) -> String {
        self.reader.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
        let (mut hello, mut length, mut status) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("a line of the head");
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("hello", value)) => hello = value.to_owned(),
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(_) => {}
                None if line.is_empty() => break,
                None => status = line.to_owned(),
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("the body");
        assert_eq!((status.as_str(), body.as_slice()), ("HTTP/1.1 200 OK", &b"page"[..]));
        hello
    }
}
