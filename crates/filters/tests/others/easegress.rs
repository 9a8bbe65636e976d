//! The functions of Easegress's WasmHost: the guest does what its parameter `run` says, and puts the answers of
//! commands with `!` into the response's headers.

use crate::harness::{Answering, Got, Site, filter, get, mirror, new_name, post, rust, says, send, wat};
use crate::harness::{refused, run};
use http::{HeaderMap, Request, Response};
use sampan_app::{App, Filter as Spec, Limits, OnFailure, OnResult, Route, RouteFilter, Target};
use sampan_capabilities::Backends;
use sampan_service::{Body, Filter as _, Handler, Peer, empty, full};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A filter that does what a script says, `; ` between its commands.
pub fn scripted(script: &str) -> Spec {
    let parameters = vec![("run".to_owned(), script.replace("; ", "\n"))];
    Spec { parameters, ..filter(rust("filter-easegress")) }
}

pub async fn before(script: &str, next: impl Handler + 'static) -> (Site, Arc<dyn Handler>) {
    let site = Site::new([scripted(script)]).await;
    let handler = site.before(next);
    (site, handler)
}

pub async fn ask(script: &str, request: Request<Body>) -> Got {
    let (site, handler) = before(script, mirror()).await;
    let got = send(&handler, request).await;
    assert_ne!(got.status, 503, "{script}: {:?}", site.log());
    got
}

#[test]
fn it_reads_the_request() {
    run(async {
        let script = "!real-ip; !scheme; !proto; !method; !host; !path; !escaped-path; !query; !fragment; !header X-b; \
                      !header x-none; !headers; !cookie b; !cookie none; !cookies; !body; !body; !live";
        let mut request = Request::post("/a%20b/c?d=e%20f").header("host", "shop.example").header("x-b", "1");
        request = request.header("x-b", "2").header("cookie", "a=1; b=2");
        let mut request = request.body(full("the body")).unwrap();
        request.extensions_mut().insert(Peer {
            address: "192.0.2.7:5000".parse().unwrap(),
            local: "127.0.0.1:443".parse().unwrap(),
            tls: true,
        });
        let got = ask(script, request).await;
        let said = [
            "192.0.2.7",
            "https",
            "HTTP/1.1",
            "POST",
            "shop.example",
            "/a b/c",
            "/a%20b/c",
            "d=e%20f",
            "",
            "1",
            "",
            "Cookie: a=1; b=2|X-B: 1|X-B: 2|",
            "b=2",
            "",
            "a=1,b=2",
            "the body",
            "the body",
            "0",
        ];
        assert_eq!(got.all("x-said"), said);
        assert!(got.body.ends_with("\n\nthe body"), "{}", got.body);
    });
}

#[test]
fn it_changes_the_request() {
    run(async {
        let script = "set-method PUT; set-host other.example; set-path /new path; set-query x=1; set-header X-A 1; \
                      add-header x-a 2; del-header x-old; add-cookie c=3; set-body new body; !body; !path; !header x-a";
        let mut request = post("/old?q", "old");
        for (name, value) in [("x-old", "1"), ("cookie", "a=1")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let got = ask(script, request).await;
        let (head, body) = got.body.split_once("\n\n").unwrap();
        let mut lines: Vec<_> = head.lines().collect();
        assert_eq!(lines.remove(0), "PUT /new%20path?x=1");
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["content-length: 8", "cookie: a=1; c=3", "host: other.example", "x-a: 1", "x-a: 2"]
        );
        assert_eq!((body, got.all("x-said")), ("new body", vec!["new body", "/new path", "1"]));
        // All headers at once: but the host, and the length of the body, which is the gateway's.
        let got = ask("set-headers X-Only: 1|", post("/", "old")).await;
        let mut lines: Vec<_> = got.body.lines().skip(1).take(3).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["content-length: 3", "host: shop.example", "x-only: 1"]);
    });
}

#[test]
fn it_makes_the_response() {
    run(async {
        let script = "!status; set-status 302; !status; set-resp-header Location /static; add-resp-header x-a 1; \
                      add-resp-header x-a 2; set-resp-header x-b 1; del-resp-header x-b; set-cookie s=1; \
                      set-resp-body not yet; !resp-body; !resp-header location; return 1";
        let (site, handler) = before(script, says("never asked")).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str()), (302, "not yet"), "{:?}", site.log());
        for (name, values) in [
            ("x-said", &["200", "302", "not yet", "/static"][..]),
            ("location", &["/static"]),
            ("x-a", &["1", "2"]),
            ("x-b", &[]),
            ("set-cookie", &["s=1"]),
        ] {
            assert_eq!(got.all(name), values, "{name}");
        }
        let got =
            ask("set-resp-header x-a 1; set-resp-headers X-Only: 1|; !resp-headers; return 9", get("/"))
                .await;
        assert_eq!(
            (got.all("x-a"), got.all("x-only"), got.all("x-said")),
            (vec![], vec!["1"], vec!["X-Only: 1|"])
        );
        assert_eq!(got.status, 200);
    });
}

/// What the guest says of the response before the target answers is added to the target's.
#[test]
fn headers_go_with_the_targets_response() {
    run(async {
        let script = "set-resp-header x-new 1; set-resp-header x-next filter; set-cookie s=1; set-status 500; \
                      set-resp-body dropped; return 0";
        let got = ask(script, get("/")).await;
        assert_eq!((got.status, got.all("x-new"), got.all("x-next")), (200, vec!["1"], vec!["mirror"]));
        assert_eq!(got.all("set-cookie"), ["s=1"]);
        assert!(got.body.starts_with("GET /"), "{}", got.body);
    });
}

#[test]
fn other_calls() {
    run(async {
        let script = "tag slow; log 0 debug; log 1 info; log 2 warn; log 3 error; !time; !rand; !parameter run; return 1";
        let (site, handler) =
            before(&script.replace("!parameter run", "!parameter other"), says("never")).await;
        let got = send(&handler, get("/")).await;
        assert_eq!(got.all("x-said"), ["true", "true", ""]);
        assert_eq!(site.log(), ["tag: slow", "info: info", "warn: warn", "error: error"]);
    });
}

/// Parameters of the manifest, and those of a route in their place.
#[test]
fn parameters() {
    run(async {
        let mut spec = scripted("!parameter a; !parameter b; return 1");
        spec.parameters.extend([("a", "1"), ("b", "2")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        let config = "b: \"two\"\nc: 3\n";
        let route = RouteFilter { filter: "filter".to_owned(), config: Some(config.to_owned()) };
        let to = Target::Component("api".to_owned());
        let routes = vec![Route { filters: vec![route], ..Route::new("/", to) }];
        let app =
            App { name: new_name(), filters: [(spec.name.clone(), spec)].into(), routes, ..App::default() };
        let site = Site::of(app, Backends::default()).await.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(send(&site.before(says("")), get("/")).await.all("x-said"), ["1", "2"]);
        let handler = site.filter("filter").before(Arc::new(says("")), Some(config)).unwrap();
        assert_eq!(send(&handler, get("/")).await.all("x-said"), ["1", "two"]);

        let why = refused(Spec { config: "no parameter".to_owned(), ..scripted("return 1") }).await;
        assert!(why.contains("is a list of parameters") && why.contains("line 1"), "{why}");
    });
}

#[test]
fn results_steer_the_route() {
    run(async {
        let results = [
            ("wasmResult2", OnResult::Continue),
            ("wasmResult3", OnResult::To("other".to_owned())),
            ("wasmResult4", OnResult::To("gone".to_owned())),
            ("wasmError", OnResult::To("other".to_owned())),
        ];
        let results = results.map(|(name, result)| (name.to_owned(), result)).into();
        let site = Site::new([Spec { results, ..scripted("") }]).await;
        let other: Arc<dyn Handler> = Arc::new(Answering(|request: Request<Body>| async move {
            let text = format!("other: {}", request.uri());
            Response::new(full(text))
        }));
        site.surroundings.destinations.set("other", &other);
        let handler = site.before(mirror());
        for (script, status, body) in [
            ("return 0", 200, "GET /a"),
            ("set-resp-body ended; return 1", 200, "ended"),
            ("return 2", 200, "GET /a"),
            ("set-path /b; return 3", 200, "other: /b"),
            ("return 4", 502, "502 Bad Gateway"),
            ("set-resp-body nine; return 9", 200, "nine"),
            ("set-path /b; trap", 200, "other: /a"),
            ("return 10", 200, "other: /a"),
            ("return -1", 200, "other: /a"),
        ] {
            let mut request = get("/a");
            request.headers_mut().insert("x-run", script.parse().unwrap());
            let got = send(&handler, request).await;
            assert_eq!(got.status, status, "{script}");
            assert!(got.body.starts_with(body), "{script}: {}", got.body);
        }
        assert!(site.logged("a result leads to `gone`, which is not there"), "{:?}", site.log());
        assert!(site.logged("it returned 10, and 0 to 9 are the results"), "{:?}", site.log());
    });
}

#[test]
fn faults_of_the_guest() {
    run(async {
        for (script, why) in [
            ("trap", "it trapped"),
            ("loop", "its processor time of 20ms is over"),
            ("grow", "and may have 8.0 MiB"),
            ("return 11", "it returned 11"),
            ("set-status 42", "42 is no status"),
            ("set-header a b\rc", "is no value of a header"),
            ("set-resp-header a\tb c", "is no name of a header"),
            ("set-method A B", "is no method"),
            ("set-path relative", "is no path"),
            ("set-query a\rb", "is no path with a query"),
            ("set-host a/b", "is no host"),
            ("set-resp-body more than eight bytes", "more than the 8 bytes"),
            ("set-body more than eight bytes", "more than the 8 bytes"),
        ] {
            let timeout = Some(Duration::from_millis(20));
            let limits = Limits { timeout, memory_bytes: Some(8 << 20), ..Limits::default() };
            let site = Site::new([Spec { limits, buffer_bytes: 8, ..scripted(script) }]).await;
            let got = send(&site.before(says("ok")), get("/")).await;
            assert_eq!((got.status, got.body.as_str()), (503, "503 Service Unavailable\n"), "{script}");
            assert!(site.logged(why), "{script}: {:?}", site.log());
            let site =
                Site::new([Spec { on_failure: OnFailure::Open, buffer_bytes: 8, ..scripted(script) }]).await;
            let got = send(&site.before(mirror()), post("/path", "hello")).await;
            assert!(
                got.body.starts_with("POST /path\n") && got.body.ends_with("hello"),
                "{script}: {}",
                got.body
            );
        }
        // A body that is too large is its sender's fault.
        let site = Site::new([Spec { buffer_bytes: 3, ..scripted("body") }]).await;
        assert_eq!(send(&site.before(mirror()), post("/", "hello")).await.status, 413);
        assert_eq!(site.filter("filter").current().code.health.counts().1, 0);
    });
}

const HEAD: &str = "(memory (export \"memory\") 1) (func (export \"wasm_free\") (param i32)) ";
const ALLOC: &str = "(func (export \"wasm_alloc\") (param i32) (result i32) i32.const 1024)";
const RUN: &str = "(func (export \"wasm_run\") (result i32) i32.const 0)";

#[test]
fn what_is_no_filter_is_refused() {
    for (text, why) in [
        (RUN.to_owned(), "it exports no memory"),
        (format!("{HEAD}{RUN}"), "does not export the function `wasm_alloc`"),
        (format!("(memory (export \"memory\") 1) {ALLOC}{RUN}"), "does not export the function `wasm_free`"),
        (format!("{HEAD}{ALLOC}(func (export \"wasm_run\"))"), "`wasm_run` is not of type () -> i32"),
        (
            format!("{HEAD}{ALLOC}{RUN}(func (export \"wasm_init\"))"),
            "`wasm_init` is not of type (i32) -> ()",
        ),
        (format!("{HEAD}{ALLOC}{RUN}(func (export \"wasm_init\") (param i32) unreachable)"), "it trapped"),
        (
            format!("{HEAD}{ALLOC}{RUN}(func (export \"wasm_init\") (param i32) (loop br 0))"),
            "processor time",
        ),
        (
            format!("(import \"easegress\" \"host_nothing\" (func)) {HEAD}{ALLOC}{RUN}"),
            "easegress `host_nothing`",
        ),
        (
            format!("(import \"easegress\" \"host_rand\" (func (result i32))) {HEAD}{ALLOC}{RUN}"),
            "incompatible import type for `easegress::host_rand`",
        ),
        (
            format!(
                "{HEAD}{RUN}(func (export \"wasm_alloc\") (param i32) (result i32) i32.const -4)
                 (func (export \"wasm_init\") (param i32))"
            ),
            "outside of its memory",
        ),
    ] {
        let folder = sampan_testing::temp_dir();
        let said = run(refused(filter(wat(&folder, &format!("(module {text})")))));
        assert!(said.contains(why), "{text}:\n{said}");
    }
}

/// Strings that lead out of memory, or have no end; and an allocator that hands out what is not there.
#[test]
fn pointers_outside_of_memory_end_the_guest() {
    run(async {
        for (import, call) in [
            ("\"host_req_set_path\" (func $f (param i32))", "(call $f (i32.const 65536))"),
            ("\"host_req_set_path\" (func $f (param i32))", "(call $f (i32.const 65534))"),
            ("\"host_req_set_path\" (func $f (param i32))", "(call $f (i32.const -2))"),
            ("\"host_req_set_path\" (func $f (param i32))", "(call $f (i32.const 16))"),
            ("\"host_req_set_body\" (func $f (param i32))", "(call $f (i32.const 16))"),
            ("\"host_resp_set_header\" (func $f (param i32 i32))", "(call $f (i32.const 32) (i32.const 16))"),
            ("\"host_req_get_header\" (func $f (param i32) (result i32))", "(drop (call $f (i32.const 16)))"),
            (
                "\"host_cluster_put_string\" (func $f (param i32 i32))",
                "(call $f (i32.const 16) (i32.const 32))",
            ),
            (
                "\"host_cluster_add_integer\" (func $f (param i32 i64) (result i64))",
                "(drop (call $f (i32.const 16) (i64.const 1)))",
            ),
            ("\"host_log\" (func $f (param i32 i32))", "(call $f (i32.const 1) (i32.const 16))"),
            ("\"host_add_tag\" (func $f (param i32))", "(call $f (i32.const 16))"),
            // A string without its NUL.
            ("\"host_req_set_path\" (func $f (param i32))", "(call $f (i32.const 8))"),
            ("\"host_req_get_path\" (func $f (result i32))", "(drop (call $f))"),
        ] {
            // At 16 lies a length that no memory has, at 32 a string.
            let text = format!(
                "(module (import \"easegress\" {import}) {HEAD}
                 (data (i32.const 16) \"\\ff\\ff\\ff\\7f\") (data (i32.const 32) \"\\02\\00\\00\\00a\\00\")
                 (func (export \"wasm_alloc\") (param i32) (result i32) i32.const 65535)
                 (func (export \"wasm_run\") (result i32) {call} i32.const 0))"
            );
            let folder = sampan_testing::temp_dir();
            let site = Site::new([filter(wat(&folder, &text))]).await;
            assert_eq!(send(&site.before(says("ok")), get("/")).await.status, 503, "{call}");
            let said = site.logged("outside of its memory")
                || site.logged("has no end")
                || site.logged("end of memory");
            assert!(said, "{call}: {:?}", site.log());
        }
    });
}

/// The guest is asked for exactly what is laid out: the AssemblyScript SDK takes the end of a string from its own
/// allocation.
#[test]
fn allocations_have_the_exact_size() {
    run(async {
        // The sizes that were asked for are the bytes of the response.
        let text = r#"(module
            (import "easegress" "host_req_get_path" (func $path (result i32)))
            (import "easegress" "host_req_get_body" (func $body (result i32)))
            (import "easegress" "host_req_get_all_cookie" (func $cookies (result i32)))
            (import "easegress" "host_resp_set_body" (func $answer (param i32)))
            (memory (export "memory") 1)
            (global $count (mut i32) (i32.const 0))
            (func (export "wasm_alloc") (param $size i32) (result i32)
              (i32.store8 (i32.add (i32.const 516) (global.get $count)) (local.get $size))
              (global.set $count (i32.add (global.get $count) (i32.const 1)))
              (i32.add (i32.const 1024) (i32.mul (global.get $count) (i32.const 256))))
            (func (export "wasm_free") (param i32))
            (func (export "wasm_run") (result i32)
              (drop (call $path)) (drop (call $body)) (drop (call $cookies))
              (i32.store (i32.const 512) (global.get $count))
              (call $answer (i32.const 512))
              (i32.const 1)))"#;
        let folder = sampan_testing::temp_dir();
        let site = Site::new([filter(wat(&folder, text))]).await;
        let mut request = post("/abc", "12");
        request.headers_mut().insert("cookie", "a=1; bb=2".parse().unwrap());
        let got = send(&site.before(says("ok")), request).await;
        let sizes = [4 + 4 + 1, 4 + 2, 4 + (4 + 3 + 1) + (4 + 4 + 1)];
        assert_eq!(got.body.as_bytes(), sizes);
    });
}

/// One slow exchange does not end its neighbours, which run in other instances of the same code.
#[test]
fn a_timeout_is_one_instances_own() {
    run(async {
        let limits = Limits { timeout: Some(Duration::from_millis(50)), ..Spec::default_limits() };
        let site = Site::new([Spec { limits, ..scripted("") }]).await;
        let handler = site.before(says("ok"));
        let asked = |script: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-run", script.parse().unwrap());
            let mut request = Request::get("/").body(empty()).unwrap();
            *request.headers_mut() = headers;
            handler.handle(request)
        };
        let slow = asked("loop");
        let fast = async {
            for _ in 0..200 {
                assert_eq!(asked("!rand; return 0").await.status(), 200);
            }
        };
        let (slow, ()) = futures::future::join(slow, fast).await;
        assert_eq!(slow.status(), 503);
    });
}

/// As users of Easegress's own SDK write it.
#[test]
fn a_filter_of_the_rust_sdk() {
    run(async {
        let parameters = vec![("limit".to_owned(), "2".to_owned())];
        let site = Site::new([Spec { parameters, ..filter(rust("filter-easegress-sdk")) }]).await;
        let handler = site.before(mirror());
        for _ in 0..2 {
            let got = send(&handler, get("/")).await;
            assert!(got.body.contains("x-doorman: welcome"), "{}", got.body);
        }
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str()), (403, "full\n"));
    });
}

/// `outOfVM`: all instances are in use for too long, and the result says where to go then.
#[test]
fn an_instance_is_not_to_be_had() {
    run(async {
        let results = [("outOfVM".to_owned(), OnResult::Continue)];
        for (results, status) in [(Vec::new(), 503), (results.into(), 200)] {
            let spec = Spec { instances: 1, pause: Duration::from_millis(200), ..scripted("body; return 0") };
            let site = Site::new([Spec { results: results.into_iter().collect(), ..spec }]).await;
            let handler = site.before(mirror());
            // It waits for a body that does not come, and holds the only instance.
            let (_sender, body) = crate::harness::channel();
            let mut first = handler.handle(Request::post("/").body(body).unwrap());
            let waits = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending()));
            assert!(waits.await);
            let second = send(&handler, get("/a")).await;
            assert_eq!(second.status, status);
            assert_eq!(second.body.starts_with("GET /a"), status == 200, "{}", second.body);
        }
    });
}
