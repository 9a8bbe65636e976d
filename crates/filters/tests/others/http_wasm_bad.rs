//! http-wasm filters that fail, in every way that the ABI leaves them, and who is told.

use crate::harness::{Answering, Site, filter, get, mirror, post, refused, run, says, send, wat};
use crate::http_wasm::{before, scripted};
use sampan_app::{Filter as Spec, Limits, OnFailure};
use std::time::Duration;

const HEAD: &str = "(memory (export \"memory\") 1) \
    (func (export \"handle_response\") (param i32 i32)) ";

#[test]
fn what_is_no_filter_is_refused() {
    let request = "(func (export \"handle_request\") (result i64) i64.const 1)";
    for (text, why) in [
        (request.to_owned(), "it exports no memory named `memory`"),
        (
            format!("(memory (export \"memory\") 1) {request}"),
            "does not export the function `handle_response`",
        ),
        (
            format!("{HEAD}(func (export \"handle_request\") (result i32) i32.const 1)"),
            "`handle_request` is not of type",
        ),
        (
            format!("(import \"http_handler\" \"nothing\" (func)) {HEAD}{request}"),
            "imports what Sampan does not provide: http_handler `nothing`",
        ),
        (
            format!("(import \"http_handler\" \"get_uri\" (func (param i64))) {HEAD}{request}"),
            "incompatible import type for `http_handler::get_uri`",
        ),
        (format!("{HEAD}{request}(func (export \"_initialize\") unreachable)"), "it trapped"),
        (format!("{HEAD}{request}(func (export \"_start\") (loop br 0))"), "processor time of 100ms is over"),
        (
            format!(
                "(import \"http_handler\" \"get_uri\" (func $uri (param i32 i32) (result i32))) {HEAD}{request}\
                 (func (export \"_start\") (drop (call $uri (i32.const 0) (i32.const 9))))"
            ),
            "it asks for an exchange while it is started",
        ),
    ] {
        let folder = sampan_testing::temp_dir();
        let said = run(refused(filter(wat(&folder, &format!("(module {text})")))));
        assert!(said.contains(why), "{text}:\n{said}");
    }
}

/// The guest's faults: it ends, the exchange is answered with 503, and the next exchange has another instance.
#[test]
fn faults_of_the_guest_end_it() {
    run(async {
        for (script, why) in [
            ("trap", "it trapped"),
            ("loop", "its processor time of 20ms is over"),
            ("grow", "and may have 8.0 MiB"),
            ("\n--\ntrap", "it trapped"),
            ("\n--\nloop", "its processor time of 20ms is over"),
            ("read 0 0", "reading no byte of a body"),
            ("read 7 1", "7 is no kind of body"),
            ("write 7 x", "7 is no kind of body"),
            ("names 9", "9 is no kind of headers"),
            ("set 9 a b", "9 is no kind of headers"),
            ("set 0 a\rb c", "is no name of a header"),
            ("set 0 a b\rc", "is no value of a header"),
            ("values 0 ", "is no name of a header"),
            ("set-method G T", "is no method"),
            ("set-method CONNECT", "is no method"),
            ("set-uri http://other/", "is no path"),
            ("set-uri /a b", "is no path"),
            ("set-status 99", "99 is no status"),
            ("set-status 101", "101 is no status"),
            ("set-status 70000", "70000 is no status"),
            ("names 2", "a trailer needs the feature trailers"),
            ("set 3 a b", "a trailer needs the feature trailers"),
            ("read 1 9", "needs the feature buffer_response"),
            ("\n--\nset 0 a b", "not possible after the next handler"),
            ("\n--\nset-uri /", "not possible after the next handler"),
            ("\n--\nset-method GET", "not possible after the next handler"),
            ("\n--\nwrite 0 x", "not possible after the next handler"),
            ("\n--\nread 0 1", "needs the feature buffer_request"),
            ("\n--\nset 1 a b", "needs the feature buffer_response"),
            ("\n--\nstatus", "needs the feature buffer_response"),
            ("\n--\nset-status 200", "needs the feature buffer_response"),
            ("\n--\nwrite 1 x", "needs the feature buffer_response"),
        ] {
            let timeout = Some(Duration::from_millis(20));
            let limits = Limits { timeout, memory_bytes: Some(8 << 20), ..Limits::default() };
            let site = Site::new([Spec { limits, ..scripted(script) }]).await;
            let handler = site.before(says("ok"));
            let got = send(&handler, get("/")).await;
            assert_eq!((got.status, got.body.as_str()), (503, "503 Service Unavailable\n"), "{script:?}");
            assert!(site.logged(why), "{script:?}: {:?}", site.log());
            assert_eq!(send(&handler, get("/")).await.status, 503, "{script:?}");
        }
    });
}

/// Pointers that lead out of memory, for each function that takes one.
#[test]
fn pointers_outside_of_memory_end_the_guest() {
    let at = "(i32.const 65530) (i32.const 100)";
    let bad = "(i32.const 0) (i32.const 65530) (i32.const 100)";
    run(async {
        for (name, parameters, result, arguments) in [
            ("get_config", 2, "i32", at.to_owned()),
            ("get_uri", 2, "i32", at.to_owned()),
            ("get_method", 2, "i32", "(i32.const -1) (i32.const 100)".to_owned()),
            ("get_protocol_version", 2, "i32", "(i32.const 65530) (i32.const 100)".to_owned()),
            ("set_uri", 2, "", at.to_owned()),
            ("set_method", 2, "", at.to_owned()),
            ("log", 3, "", bad.to_owned()),
            ("read_body", 3, "i64", bad.to_owned()),
            ("write_body", 3, "", bad.to_owned()),
            ("get_header_names", 3, "i64", "(i32.const 0) (i32.const 65534) (i32.const 100)".to_owned()),
            ("get_header_values", 5, "i64", format!("{bad} (i32.const 0) (i32.const 0)")),
            ("set_header_value", 5, "", format!("{bad} (i32.const 0) (i32.const 0)")),
            ("add_header_value", 5, "", format!("(i32.const 0) (i32.const 0) (i32.const 1) {at}")),
            ("remove_header", 3, "", bad.to_owned()),
        ] {
            let parameters = "i32 ".repeat(parameters);
            let (result, drop) = match result {
                "" => (String::new(), "call $f"),
                result => (format!("(result {result})"), "drop (call $f"),
            };
            let call = match drop {
                "call $f" => format!("(call $f {arguments})"),
                _ => format!("(drop (call $f {arguments}))"),
            };
            let text = format!(
                "(module (import \"http_handler\" \"{name}\" (func $f (param {parameters}) {result})) {HEAD} \
                 (data (i32.const 0) \"a\") (func (export \"handle_request\") (result i64) {call} i64.const 1))"
            );
            let folder = sampan_testing::temp_dir();
            let config = "a configuration".to_owned();
            let site = Site::new([Spec { config, ..filter(wat(&folder, &text)) }]).await;
            assert_eq!(
                send(&site.before(says("ok")), post("/a/long/path", "body")).await.status,
                503,
                "{name}"
            );
            assert!(site.logged("outside of its memory"), "{name}: {:?}", site.log());
        }
    });
}

/// As if the filter were not there, as long as the exchange is still as it came.
#[test]
fn an_open_filter_lets_exchanges_pass() {
    run(async {
        for (script, status) in [
            ("set 0 x-a 1; set-uri /other; trap", 200),
            ("read-all 0; trap", 200),
            ("features 2\n--\nset-status 500; read-all 1; write 1 broken; trap", 200),
        ] {
            let spec = Spec { on_failure: OnFailure::Open, ..scripted(script) };
            let site = Site::new([spec]).await;
            let got = send(&site.before(mirror()), post("/path", "hello")).await;
            assert_eq!(got.status, status, "{script}");
            assert!(
                got.body.starts_with("POST /path\n") && got.body.ends_with("\n\nhello"),
                "{script}: {}",
                got.body
            );
            assert!(site.logged("it trapped"), "{script}: {:?}", site.log());
        }
        // What was read beyond the buffer is gone.
        let spec = Spec { on_failure: OnFailure::Open, buffer_bytes: 3, ..scripted("read-all 0; trap") };
        let site = Site::new([spec]).await;
        assert_eq!(send(&site.before(mirror()), post("/path", "hello")).await.status, 503);
    });
}

/// A body that is too large for the filter is its sender's fault: the filter goes on, and is not counted as failing.
#[test]
fn bodies_beyond_the_buffer() {
    run(async {
        for (script, status) in [
            ("features 1; read-all 0", 413),
            ("features 2\n--\nread-all 1", 502),
            ("write 0 more than eight", 503),
            ("write 1 more than eight; stop", 503),
        ] {
            let site = Site::new([Spec { buffer_bytes: 8, ..scripted(script) }]).await;
            let handler = site.before(says("more than eight"));
            assert_eq!(send(&handler, post("/", "more than eight")).await.status, status, "{script}");
            let (_, failed) = site.filter("filter").current().code.health.counts();
            assert_eq!(failed, u64::from(status == 503), "{script}");
        }
    });
}

/// A client that breaks off does no harm to the filter, nor to others.
#[test]
fn a_body_that_breaks_off() {
    run(async {
        let (site, handler) = before("read-all 0; seen", mirror()).await;
        for _ in 0..10 {
            let (sender, body) = crate::harness::channel();
            sender.unbounded_send(Err("the client left".into())).unwrap();
            let request = http::Request::post("/").body(body).unwrap();
            assert_eq!(send(&handler, request).await.status, 400);
        }
        assert_eq!(send(&handler, post("/", "whole")).await.status, 200);
        assert!(site.logged("whole"), "{:?}", site.log());
    });
}

/// Exchanges wait for an instance, for a while.
#[test]
fn more_exchanges_than_instances() {
    run(async {
        let spec = Spec { instances: 1, pause: Duration::from_millis(50), ..scripted("seen") };
        let site = Site::new([spec]).await;
        let (release, released) = tokio::sync::watch::channel(false);
        let handler = site.before(Answering(move |_| {
            let mut released = released.clone();
            async move {
                released.wait_for(|released| *released).await.unwrap();
                http::Response::new(sampan_service::empty())
            }
        }));
        let first = handler.handle(get("/"));
        let second = async {
            let response = handler.handle(get("/")).await;
            release.send(true).unwrap();
            response.status()
        };
        let (first, second) = futures::future::join(first, second).await;
        assert_eq!((first.status().as_u16(), second.as_u16()), (200, 503));
        // Nothing is left of it.
        assert_eq!(send(&handler, get("/")).await.status, 200);
        assert_eq!(site.log(), ["info: seen=1", "info: seen=2"]);
    });
}

/// One that crashes each time is asked no more for a while.
#[test]
fn a_crash_loop_opens_the_breaker() {
    run(async {
        let site = Site::new([Spec { on_failure: OnFailure::Open, ..scripted("trap") }]).await;
        let handler = site.before(says("ok"));
        for _ in 0..20 {
            assert_eq!(send(&handler, get("/")).await.body, "ok");
        }
        let (exchanges, failed) = site.filter("filter").current().code.health.counts();
        assert!(exchanges == 20 && failed < 20, "{failed} of {exchanges}");
    });
}
