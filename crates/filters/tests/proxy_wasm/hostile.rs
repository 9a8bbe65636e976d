//! Filters that take without end: each function of the host says no in time.

use crate::harness::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_app::{Filter as Spec, Limits};
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Never answers.
struct Silent;

impl Handler for Silent {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        Box::pin(std::future::pending())
    }
}

/// Answers with 6 MiB, and with the end of that when it is told to.
struct Much(watch::Receiver<bool>);

impl Handler for Much {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        let mut open = self.0.clone();
        let first = futures::stream::iter([Ok(Frame::data(Bytes::from(vec![b'x'; 6 << 20])))]);
        let end = futures::stream::once(async move {
            let _ = open.wait_for(|open| *open).await;
            Ok(Frame::data(Bytes::from_static(b"y")))
        });
        let body = http_body_util::StreamBody::new(futures::StreamExt::chain(first, end));
        Box::pin(std::future::ready(Response::new(BodyExt::boxed_unsync(body))))
    }
}

/// Calls a function again and again until it says no, and answers with 200 and what that was. The number of the turn is
/// at 16, in ASCII, `x-a` at 32, `up` at 36, pairs of a request at 64, and much of something from 1024 on.
fn again(callback: &str, import: &str, call: &str) -> String {
    format!(
        r#"(module
            (import "env" "proxy_send_local_response"
                (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (import "env" {import})
            (memory (export "memory") 64)
            (data (i32.const 32) "x-a\00up")
            (data (i32.const 64) "\03\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00POST\00:path\00/\00:authority\00a\00")
            (func $fill (memory.fill (i32.const 1024) (i32.const 120) (i32.const 4000000)))
            (start $fill)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 512))
            (func (export "proxy_on_context_create") (param i32 i32))
            (func (export "{callback}") (param i32 i32 i32) (result i32)
                (local $i i32) (local $status i32)
                (loop $again
                    (i32.store (i32.const 16) (i32.or
                        (i32.and (local.get $i) (i32.const 0x7f))
                        (i32.shl (i32.and (local.get $i) (i32.const 0x3f80)) (i32.const 1))))
                    (local.set $status {call})
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $again (i32.and
                        (i32.eqz (local.get $status)) (i32.lt_u (local.get $i) (i32.const 200000)))))
                (drop (call $answer (i32.add (i32.const 200) (local.get $status))
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const -1)))
                (i32.const 1)))"#
    )
}

/// Enough for what is refused in the end, on a machine that is busy.
fn patient() -> Spec {
    let limits = Limits { timeout: Some(Duration::from_secs(20)), ..Limits::default() };
    Spec { name: "hostile".into(), limits, ..Spec::default() }
}

const HEADERS: &str = "proxy_on_request_headers";

/// What grows, in which callback, by which import and call, and what the client gets then.
const GROWING: [(&str, &str, &str, &str, u16); 9] = [
    (
        "few headers of many bytes",
        HEADERS,
        r#""proxy_add_header_map_value" (func $f (param i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 0) (i32.const 32) (i32.const 3) (i32.const 1024) (i32.const 60000))",
        202,
    ),
    (
        "many headers of few bytes",
        HEADERS,
        r#""proxy_add_header_map_value" (func $f (param i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 0) (i32.const 32) (i32.const 3) (i32.const 1024) (i32.const 1))",
        202,
    ),
    (
        "one header that is set, of a megabyte",
        HEADERS,
        r#""proxy_replace_header_map_value" (func $f (param i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 0) (i32.const 32) (i32.const 3) (i32.const 1024) (i32.const 1100000))",
        202,
    ),
    (
        "a body",
        "proxy_on_request_body",
        r#""proxy_set_buffer_bytes" (func $f (param i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 0) (i32.const 2000000000) (i32.const 0) (i32.const 1024) (i32.const 60000))",
        210,
    ),
    (
        "properties",
        HEADERS,
        r#""proxy_set_property" (func $f (param i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 16) (i32.const 4) (i32.const 1024) (i32.const 60000))",
        210,
    ),
    (
        "shared data",
        HEADERS,
        r#""proxy_set_shared_data" (func $f (param i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 16) (i32.const 4) (i32.const 1024) (i32.const 60000) (i32.const 0))",
        210,
    ),
    (
        "queues",
        HEADERS,
        r#""proxy_register_shared_queue" (func $f (param i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 16) (i32.const 2) (i32.const 20))",
        210,
    ),
    (
        "calls with nothing in them",
        HEADERS,
        r#""proxy_http_call" (func $f (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 36) (i32.const 2) (i32.const 64) (i32.const 62) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 20))",
        210,
    ),
    (
        "calls with much in them",
        HEADERS,
        r#""proxy_http_call" (func $f (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 36) (i32.const 2) (i32.const 64) (i32.const 62) (i32.const 1024)
                    (i32.const 4000000) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 20))",
        210,
    ),
];

#[test]
fn everything_that_grows_has_an_end() {
    run(async {
        for (what, callback, import, call, status) in GROWING {
            let filtered = filtered_wat(patient(), &again(callback, import, call)).await;
            let silent: Arc<dyn Handler> = Arc::new(Silent);
            filtered.surroundings.destinations.set("up", &silent);
            let read = filtered.post("body").await;
            assert_eq!(read.status, status, "{what}: {:?}", filtered.log.lock().unwrap());
        }
    });
}

/// Ticks, and a context that has ended: the last word counts, and what it costs does not grow.
#[test]
fn what_is_said_again_and_again_counts_once() {
    run(async {
        for (import, call) in [
            (
                r#""proxy_set_tick_period_milliseconds" (func $f (param i32) (result i32))"#,
                "(call $f (i32.const 60000))",
            ),
            (
                r#""proxy_enqueue_shared_queue" (func $f (param i32 i32 i32) (result i32)))
                (import "env" "proxy_register_shared_queue" (func $g (param i32 i32 i32) (result i32)))
                (import "env" "proxy_dequeue_shared_queue" (func $h (param i32 i32 i32) (result i32))"#,
                "(i32.or (call $g (i32.const 32) (i32.const 3) (i32.const 20))
                    (i32.or (call $f (i32.load (i32.const 20)) (i32.const 1024) (i32.const 10))
                        (call $h (i32.load (i32.const 20)) (i32.const 24) (i32.const 28))))",
            ),
        ] {
            // 200,000 times without a no.
            let filtered = filtered_wat(patient(), &again(HEADERS, import, call)).await;
            assert_eq!(filtered.get("/").await.status, 200, "{:?}", filtered.log.lock().unwrap());
        }
    });
}

/// Answers that nobody has room for are failures of their calls: all that are told together are bounded.
#[test]
fn answers_of_calls_are_bounded_together() {
    run(async {
        let filtered = filtered_wat(patient(), CALLS).await;
        let (open, opened) = watch::channel(false);
        let much: Arc<dyn Handler> = Arc::new(Much(opened));
        filtered.surroundings.destinations.set("up", &much);
        filtered.get("/").await;
        // Of 40 answers of 6 MiB, ten have room.
        filtered.until("the others are told", |one| one.logged("told, failed") == 30).await;
        open.send_replace(true);
        filtered.until("all are told", |one| one.logged("info: told") == 40).await;
        assert_eq!(filtered.logged("told, failed"), 30);
    });
}

const CALLS: &str = r#"(module
    (import "env" "proxy_http_call"
        (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 64)
    (data (i32.const 36) "up")
    (data (i32.const 64) "\03\00\00\00\07\00\00\00\04\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00POST\00:path\00/\00:authority\00a\00")
    (data (i32.const 200) "told, failed")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 512))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (local $i i32)
        (loop $again
            (if (call $call (i32.const 36) (i32.const 2) (i32.const 64) (i32.const 62) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 20000) (i32.const 20)) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 40))))
        (i32.const 0))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (drop (call $log (i32.const 2) (i32.const 200)
            (select (i32.const 4) (i32.const 12) (local.get 2))))))"#;
