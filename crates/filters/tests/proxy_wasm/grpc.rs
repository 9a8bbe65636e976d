//! gRPC of filters: calls and streams, to components and upstreams.

use crate::greeter::{Greeter, Remote};
use crate::harness::*;
use http::Request;
use sampan_service::{Handler, empty};
use std::sync::Arc;

/// What came of a call, to both kinds of destinations.
async fn asked(path: &str) -> [String; 2] {
    let filtered = filtered(spec("proxy-grpc", "")).await;
    let here: Arc<dyn Handler> = Arc::new(Greeter);
    let there = Remote::connect().await;
    let destinations = &filtered.surroundings.destinations;
    destinations.set("here", &here);
    destinations.set("there", &there);
    let mut all = [String::new(), String::new()];
    for (upstream, one) in ["here", "there"].into_iter().zip(&mut all) {
        let request = Request::get(path).header("x-upstream", upstream).body(empty()).unwrap();
        let read = filtered.send(request).await;
        assert_eq!(read.status, 200, "{path} {upstream}: {:?}", filtered.log.lock().unwrap());
        *one = read.header("got-x-grpc").to_owned();
    }
    all
}

#[test]
fn a_call_has_one_answer() {
    run(async {
        for (path, came) in [
            ("/call/Say", "0 hello, filter; 0 "),
            ("/call/Fail", "7 ; 7 not you!"),
            ("/call/Only", "5 ; 5 nobody"),
            ("/call/Nothing", "13 ; 13 the answer to a call has no message"),
            ("/call/Twice", "13 ; 13 the answer to a call has two messages"),
            ("/call/Unsaid", "2 ; 2 the answer has no status of gRPC"),
            ("/call/Cut", "13 ; 13 the answer ended within a message"),
            ("/call/Compressed", "13 ; 13 the answer is compressed, which was not asked for"),
            ("/call/Long", "8 ; 8 a message of the answer is too long"),
            ("/call/Busy", "14 ; 14 the answer's HTTP status is 503"),
            ("/call/Slow", "4 ; 4 no answer came in time"),
        ] {
            assert_eq!(asked(path).await, [came, came], "{path}");
        }
    });
}

#[test]
fn a_stream_has_as_many_messages_as_come() {
    run(async {
        for (path, came) in [
            (
                "/stream/Chat",
                "initial :status=200 x-chat=yes; message one; message two; trailing grpc-status=0; close 0; 0 ",
            ),
            ("/half/Chat", "initial :status=200 x-chat=yes; trailing grpc-status=0; close 0; 0 "),
            (
                "/half/Fail",
                "initial :status=200; trailing grpc-message=not%20you%21 grpc-status=7; close 7; 7 not you!",
            ),
            ("/half/Only", "initial ; trailing grpc-message=nobody grpc-status=5; close 5; 5 nobody"),
            ("/half/Unsaid", "initial :status=200; message one; close 2; 2 the answer has no status of gRPC"),
            ("/half/Busy", "initial :status=503; close 14; 14 the answer's HTTP status is 503"),
            ("/reply/Chat", "initial :status=200 x-chat=yes; message one"),
            ("/cancel/Slow", "cancelled"),
        ] {
            assert_eq!(asked(path).await, [came, came], "{path}");
        }
    });
}

#[test]
fn whom_to_call_is_said_in_two_ways() {
    run(async {
        let filtered = filtered(spec("proxy-grpc", "")).await;
        let greeter: Arc<dyn Handler> = Arc::new(Greeter);
        filtered.surroundings.destinations.set("greeter", &greeter);
        let envoys = Request::get("/call/Say").header("x-message", "yes").body(empty()).unwrap();
        assert_eq!(filtered.send(envoys).await.header("got-x-grpc"), "0 hello, filter; 0 ");
        for (path, header) in [("/call/Say", "x-other"), ("/stream/Chat", "x-message")] {
            let missing = Request::get(path).header(header, "yes").header("x-upstream", "nobody");
            let read = filtered.send(missing.body(empty()).unwrap()).await;
            assert_eq!(read.header("got-x-grpc"), "Err(ParseFailure)");
        }
        assert_eq!(filtered.logged("the app has no upstream or component"), 2);
    });
}

#[test]
fn a_call_outlives_its_exchange() {
    run(async {
        let filtered = filtered(spec("proxy-grpc", "")).await;
        let greeter: Arc<dyn Handler> = Arc::new(Greeter);
        filtered.surroundings.destinations.set("greeter", &greeter);
        // The client goes while the filter waits; the answer finds nobody, and nobody is hurt.
        let mut gone = filtered.handler.handle(get("/call/Slow"));
        assert!(is_waiting(&mut gone).await);
        drop(gone);
        let next = Request::get("/call/Slow").body(empty()).unwrap();
        assert_eq!(filtered.send(next).await.header("got-x-grpc"), "4 ; 4 no answer came in time");
        assert_eq!(filtered.get("/call/Say").await.header("got-x-grpc"), "0 hello, filter; 0 ");
        assert_eq!(filtered.failures("trap"), 0);
    });
}
