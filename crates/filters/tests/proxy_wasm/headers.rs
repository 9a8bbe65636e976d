//! Heads: read, changed, answered, in both directions.

use crate::harness::*;
use http::Request;
use sampan_service::empty;

#[test]
fn a_filter_adds_a_header() {
    run(async {
        let filtered = filtered(spec("proxy-add-header", "shop")).await;
        let read = filtered.get("/t").await;
        assert_eq!((read.status, read.header("hello"), read.body.as_str()), (200, "shop", "echo"));
        assert_eq!(filtered.metric("filter_exchanges_total", ""), 1);
        assert_eq!(filtered.metric("filter_instances_live", ""), 1);
    });
}

#[test]
fn a_filter_reads_and_changes_the_request() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let request = Request::get("/headers?q=1");
        let read = filtered.send(request.header("host", "a.example").body(empty()).unwrap()).await;
        assert_eq!(read.header("got-x-count"), "4 true");

        let request = Request::get("/headers").header("x-gone", "1").header("x-stays", "2");
        let read = filtered.send(request.header("host", "a.example").body(empty()).unwrap()).await;
        let mut names: Vec<_> = read.header("got-x-names").split(',').collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [":authority", ":method", ":path", ":scheme", "x-count", "x-stays", "x-twice", "x-twice"]
        );
        assert_eq!(read.header("got-x-gone"), "-");
        let twice: Vec<_> = read.headers.get_all("got-x-twice").iter().collect();
        assert_eq!(twice, ["1", "2"]);

        let read = filtered.get("/rewrite").await;
        assert_eq!((read.header("got-method"), read.header("got-uri")), ("PUT", "/rewritten?a=b"));
        assert_eq!(read.header("got-host"), "other.example");
        assert_eq!(read.header("x-path"), "/rewritten?a=b");

        let read = filtered.get("/replace").await;
        assert_eq!((read.header("got-uri"), read.header("got-x-only")), ("/replaced", "this"));
        assert_eq!((read.header("got-host"), read.header("got-x-count")), ("shop.example", "-"));
    });
}

#[test]
fn the_authority_of_an_absolute_uri_follows() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let request = Request::get("https://shop.example/rewrite").body(empty()).unwrap();
        let read = filtered.send(request).await;
        assert_eq!(read.header("got-uri"), "https://other.example/rewritten?a=b");
        assert_eq!(read.header("got-host"), "-");
    });
}

#[test]
fn contexts_end_and_numbers_are_not_used_twice() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let first: u32 = filtered.get("/a").await.header("x-context").parse().unwrap();
        let second: u32 = filtered.get("/b").await.header("x-context").parse().unwrap();
        assert_ne!(first, second);
        for line in ["info: done /a", "info: log /a 200", "info: done /b", "info: log /b 200"] {
            assert_eq!(filtered.logged(line), 1, "{line}");
        }
    });
}

#[test]
fn a_filter_answers_itself_and_its_response_side_sees_it() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let read = filtered.get("/local").await;
        assert_eq!((read.status, read.body.as_str()), (403, "not for you"));
        assert_eq!((read.header("x-why"), read.header("content-type")), ("because", "text/plain"));
        assert_eq!(read.header("x-filter"), "c");
        assert_eq!(filtered.logged("log /local 403"), 1);
    });
}

#[test]
fn only_the_first_answer_counts() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let read = filtered.get("/local-twice").await;
        assert_eq!((read.status, read.body.as_str()), (401, "first"));
        assert_eq!(filtered.get("/after").await.status, 200);
    });
}

#[test]
fn a_client_of_grpc_gets_its_own_kind_of_answer() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let request = Request::post("/local").header("content-type", "application/grpc");
        let read = filtered.send(request.body(empty()).unwrap()).await;
        assert_eq!(
            (read.status, read.header("grpc-status"), read.header("grpc-message")),
            (200, "7", "not for you")
        );
    });
}

#[test]
fn a_filter_changes_the_response() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        assert_eq!(filtered.get("/status").await.status, 418);
        let read = filtered.get("/late").await;
        assert_eq!((read.status, read.header("x-why"), read.body.as_str()), (599, "late", "in its place"));
    });
}
