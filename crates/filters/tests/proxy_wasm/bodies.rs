//! Bodies and trailers on their way past a filter.

use crate::harness::*;
use bytes::Bytes;
use futures::SinkExt;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_app::Filter as Spec;
use sampan_service::full;
use std::sync::Arc;

fn data(text: &'static str) -> Result<Frame<Bytes>, sampan_service::BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[test]
fn bodies_are_changed_in_both_directions() {
    run(async {
        for (config, got) in [
            ("nothing", "a body"),
            ("upper", "A BODY"),
            ("longer", "more a body"),
            ("append", "a body and more"),
            // Turned round twice.
            ("whole", "a body"),
        ] {
            let filtered = filtered(spec("proxy-body", config)).await;
            let read = filtered.post("a body").await;
            assert_eq!((read.status, read.body.as_str()), (200, got), "{config}");
        }
    });
}

#[test]
fn pieces_pass_one_by_one() {
    run(async {
        let filtered = filtered(spec("proxy-body", "upper")).await;
        let (mut sender, body) = channel();
        let mut answer = filtered.handler.handle(post(body));
        sender.send(data("one ")).await.unwrap();
        assert!(is_waiting(&mut answer).await);
        sender.send(data("two")).await.unwrap();
        drop(sender);
        assert_eq!(read(answer.await).await.body, "ONE TWO");
    });
}

#[test]
fn what_is_buffered_is_seen_as_a_whole() {
    run(async {
        let filtered = filtered(spec("proxy-body", "whole")).await;
        let (mut sender, body) = channel();
        let mut answer = filtered.handler.handle(post(body));
        for piece in ["ab", "cd", "ef"] {
            sender.send(data(piece)).await.unwrap();
            assert!(is_waiting(&mut answer).await);
        }
        drop(sender);
        let read = read(answer.await).await;
        assert_eq!((read.body.as_str(), read.header("got-length")), ("abcdef", "6"));
    });
}

#[test]
fn headers_that_wait_for_the_body_can_tell_of_it() {
    run(async {
        let spec = Spec { body_while_paused: true, ..spec("proxy-body", "held") };
        let filtered = filtered(spec).await;
        let read = filtered.post("a body").await;
        assert_eq!((read.status, read.body.as_str(), read.header("got-x-size")), (200, "ydob a", "6"));
    });
}

#[test]
fn a_body_that_is_too_long_to_buffer_is_refused() {
    run(async {
        let spec = Spec { buffer_bytes: 5, ..spec("proxy-body", "whole") };
        let filtered = filtered(spec).await;
        for (pieces, status) in [(["123", "45"], 200), (["123", "456"], 413)] {
            let (mut sender, body) = channel();
            for piece in pieces {
                sender.send(data(piece)).await.unwrap();
            }
            drop(sender);
            assert_eq!(filtered.send(post(body)).await.status, status, "{pieces:?}");
        }
    });
}

#[test]
fn a_filter_answers_when_it_has_seen_the_body() {
    run(async {
        let filtered = filtered(spec("proxy-body", "local")).await;
        let read = filtered.post("a body").await;
        assert_eq!((read.status, read.body.as_str()), (422, "seen it all"));
    });
}

#[test]
fn a_filter_that_traps_on_a_body_is_a_503() {
    run(async {
        let filtered = filtered(spec("proxy-body", "panic")).await;
        assert_eq!(filtered.post("a body").await.status, 503);
        assert_eq!(filtered.failures("trap"), 1);
    });
}

#[test]
fn a_filter_that_traps_on_a_response_cuts_it_off() {
    run(async {
        let filtered = filtered(spec("proxy-body", "late-panic")).await;
        let response = filtered.handler.handle(post(full("a body"))).await;
        assert!(response.into_body().collect().await.is_err());
        assert_eq!(filtered.failures("trap"), 1);
    });
}

#[test]
fn trailers_pass_and_are_changed() {
    run(async {
        let filtered = filtered(spec("proxy-body", "trailers")).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "5".parse().unwrap());
        let body = full("a body").with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
        let read = filtered.send(post(body)).await;
        assert_eq!(read.body, "a body");
        assert_eq!(read.trailers["x-sum"], "5 checked");
        assert_eq!(read.trailers["x-added"], "to the request");
    });
}

#[test]
fn a_length_that_is_not_the_bodys_is_an_error_and_no_lie() {
    run(async {
        let filtered = filtered(spec("proxy-body", "keep-length")).await;
        let mut request = post(full("a body"));
        request.headers_mut().insert("content-length", 6.into());
        let read = filtered.send(request).await;
        assert_eq!((read.status, read.body.as_str()), (200, "A BODY"));
        let mut request = post(full("a body"));
        request.headers_mut().insert("content-length", 5.into());
        assert_eq!(filtered.send(request).await.status, 502);
    });
}

#[test]
fn two_filters_stand_before_one_handler() {
    run(async {
        let inner = filtered(spec("proxy-body", "append")).await;
        let outer = before(Arc::clone(&inner.handler), spec("proxy-body", "upper")).await;
        assert_eq!(outer.post("a body").await.body, "A BODY AND MORE");
    });
}
