//! The functions of the http-wasm ABI, each as a guest sees it and as the other side does. The guest does what its
//! configuration says, and logs what it is told.

use crate::harness::{Answering, Site, channel, filter, get, mirror, piece, post, rust, says, send, trailer};
use http::{Request, Response, Version};
use sampan_app::Filter as Spec;
use sampan_service::{Body, Handler, Peer, Unanswered, empty, full};
use std::sync::Arc;

/// A filter that does what a script says, `;` between its commands.
pub fn scripted(script: &str) -> Spec {
    Spec { config: script.replace("; ", "\n"), ..filter(rust("filter-http-wasm")) }
}

/// The filter, and the handler that it stands before.
pub async fn before(script: &str, next: impl Handler + 'static) -> (Site, Arc<dyn Handler>) {
    let site = Site::new([scripted(script)]).await;
    let handler = site.before(next);
    (site, handler)
}

#[test]
fn it_reads_the_request() {
    crate::harness::run(async {
        let script = "method; uri; protocol; source; names 0; values 0 x-b; values 0 x-none; small";
        let (site, handler) = before(script, says("ok")).await;
        let mut request = Request::put("/a%20b?c=d").header("Host", "shop.example").header("X-B", "1");
        request = request.header("x-b", "2").version(Version::HTTP_2);
        let mut request = request.body(empty()).unwrap();
        request.extensions_mut().insert(Peer {
            address: "192.0.2.7:5000".parse().unwrap(),
            local: "127.0.0.1:80".parse().unwrap(),
            tls: false,
        });
        assert_eq!(send(&handler, request).await.body, "ok");
        let said = [
            "PUT",
            "/a%20b?c=d",
            "HTTP/2.0",
            "192.0.2.7:5000",
            "host,x-b",
            "1,2",
            "",
            "small=10 xxx",
            "small=true xxx",
        ];
        // A message of no line is none.
        let said: Vec<_> =
            said.iter().filter(|one| !one.is_empty()).map(|one| format!("info: {one}")).collect();
        assert_eq!(site.log(), said);
    });
}

#[test]
fn it_changes_the_request() {
    crate::harness::run(async {
        let script = "set-method PATCH; set-uri /new?q; set 0 x-a 1; add 0 X-A 2; remove 0 x-old; set 0 host other.example; \
                      method; uri; values 0 x-a";
        let (site, handler) = before(script, mirror()).await;
        let mut request = get("/");
        request.headers_mut().insert("x-old", "1".parse().unwrap());
        let got = send(&handler, request).await;
        let mut lines: Vec<_> = got.body.trim().lines().collect();
        assert_eq!(lines.remove(0), "PATCH /new?q");
        lines.sort_unstable();
        assert_eq!(lines, ["host: other.example", "x-a: 1", "x-a: 2"]);
        assert_eq!(site.log(), ["info: PATCH", "info: /new?q", "info: 1,2"]);
        assert_eq!(got.headers["x-next"], "mirror");
    });
}

/// In HTTP/2 the host stands in the target.
#[test]
fn the_host_is_a_header_in_http_2_too() {
    crate::harness::run(async {
        let (site, handler) = before("values 0 host; set 0 host new.example", mirror()).await;
        let request = Request::get("https://shop.example/a").body(empty()).unwrap();
        assert_eq!(send(&handler, request).await.body, "GET /a\nhost: new.example\n\n");
        assert_eq!(site.log(), ["info: shop.example"]);
        let (_, handler) = before("set-uri ; remove 0 host", mirror()).await;
        assert_eq!(send(&handler, get("/a")).await.body, "GET /\nhost: shop.example\n\n");
    });
}

#[test]
fn it_answers_itself() {
    crate::harness::run(async {
        let script = "status; set-status 403; set 1 x-why no; add 1 x-why never; write 1 not ; write 1 here; stop\n--\ntrap";
        let (site, handler) = before(script, says("never asked")).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str()), (403, "not here"));
        assert_eq!(got.all("x-why"), ["no", "never"]);
        assert_eq!(got.all("content-length"), ["8"]);
        assert_eq!(site.log(), ["info: 200"]);
        let (_, handler) = before("set-status 204; write 1 dropped; stop", says("never asked")).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str(), got.all("content-length")), (204, "", vec![]));
        let (_, handler) = before("stop", says("never asked")).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str()), (200, ""));
    });
}

/// The gateway says in a response that whoever it asked gave none.
#[test]
fn it_is_told_of_an_error_of_the_host() {
    crate::harness::run(async {
        for (unanswered, said) in [(false, "context=0 error=0"), (true, "context=0 error=1")] {
            let next = Answering(move |_| async move {
                let mut response = Response::builder().status(502).body(empty()).unwrap();
                if unanswered {
                    response.extensions_mut().insert(Unanswered);
                }
                response
            });
            let (site, handler) = before("features 2\n--\ncontext; set 1 x-new 1", next).await;
            assert_eq!(send(&handler, get("/")).await.status, 502);
            assert_eq!(site.log()[1], format!("info: {said}"));
        }
    });
}

/// Another filter behind it has closed the stream: there is no response to see.
#[test]
fn it_sees_nothing_of_a_stream_that_is_reset() {
    crate::harness::run(async {
        let next = Answering(|_| async { sampan_service::reset() });
        let (site, handler) = before("features 2\n--\ncontext", next).await;
        assert!(sampan_service::is_reset(&handler.handle(get("/")).await));
        assert_eq!(site.log(), ["info: features=2"]);
    });
}

#[test]
fn it_changes_the_response() {
    crate::harness::run(async {
        let next = || {
            Answering(|_| async {
                let response =
                    Response::builder().status(201).header("x-next", "1").header("content-length", 5);
                response.body(full("hello")).unwrap()
            })
        };
        // Only what was asked for is buffered: heads alone.
        let script = "features 2; context 77\n--\ncontext; status; names 1; values 1 x-next; set-status 202; \
                      set 1 x-new 1; remove 1 x-next";
        let (site, handler) = before(script, next()).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.status, got.body.as_str()), (202, "hello"));
        assert_eq!(
            (got.all("x-new"), got.all("x-next"), got.all("content-length")),
            (vec!["1"], vec![], vec!["5"])
        );
        let said = ["features=2", "context=77 error=0", "201", "x-next,content-length", "1"];
        assert_eq!(site.log(), said.map(|one| format!("info: {one}")));
        // The body too.
        let (site, handler) = before("features 2\n--\nread-all 1; write 1 good; write 1 bye", next()).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.body.as_str(), got.all("content-length")), ("goodbye", vec!["7"]));
        assert_eq!(site.log()[1], "info: hello");
        // What was read and not written goes on as it was.
        let (site, handler) = before("features 2\n--\nread 1 2", next()).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.body.as_str(), got.all("content-length")), ("hello", vec!["5"]));
        assert_eq!(site.log()[1], "info: he");
    });
}

/// What is said of the response before there is one is merged: whoever answers has the last word.
#[test]
fn headers_of_the_response_may_be_set_early() {
    crate::harness::run(async {
        let (_, handler) = before("set 1 x-early 1; set 1 x-next filter; write 1 dropped", mirror()).await;
        let got = send(&handler, get("/")).await;
        assert_eq!((got.all("x-early"), got.all("x-next")), (vec!["1"], vec!["mirror"]));
        assert!(got.body.starts_with("GET /"), "{}", got.body);
    });
}

#[test]
fn it_reads_and_writes_the_requests_body() {
    crate::harness::run(async {
        for (script, body, length, said) in [
            // Reading takes it away, unless it is buffered.
            ("read-all 0", "", None, &["hello world"][..]),
            ("read 0 5", " world", Some("6"), &["hello"]),
            ("features 1; read 0 5", "hello world", Some("11"), &["features=1", "hello"]),
            ("features 1; read-all 0", "hello world", Some("11"), &["features=1", "hello world"]),
            // The first write is in place of it, the others are added.
            ("write 0 new; write 0 er", "newer", Some("5"), &[]),
            ("read-all 0; write 0 ", "", None, &["hello world"]),
            // Afterwards only what was buffered is there.
            (
                "features 1; read 0 5\n--\nread-all 0",
                "hello world",
                Some("11"),
                &["features=1", "hello", " world"],
            ),
        ] {
            let (site, handler) = before(script, mirror()).await;
            let got = send(&handler, post("/", "hello world")).await;
            let (head, got_body) = got.body.split_once("\n\n").unwrap();
            assert_eq!(got_body, body, "{script}");
            let got_length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            assert_eq!(got_length.filter(|length| *length != "0"), length, "{script}");
            assert_eq!(
                site.log(),
                said.iter().map(|one| format!("info: {one}")).collect::<Vec<_>>(),
                "{script}"
            );
        }
    });
}

/// A body that nobody asked for passes as it comes, in both directions.
#[test]
fn bodies_stream() {
    crate::harness::run(async {
        let echo = Answering(|request: Request<Body>| std::future::ready(Response::new(request.into_body())));
        let (_, handler) = before("set 0 x-a 1\n--\nvalues 0 x-a", echo).await;
        let (sender, body) = channel();
        let response = handler.handle(Request::post("/").body(body).unwrap()).await;
        let mut body = response.into_body();
        for text in ["one", "two"] {
            sender.unbounded_send(piece(text)).unwrap();
            let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), text);
        }
        drop(sender);
        assert!(http_body_util::BodyExt::frame(&mut body).await.is_none());
    });
}

/// A guest that reads waits for whoever sends, and for nobody else.
#[test]
fn reading_waits_for_the_client() {
    crate::harness::run(async {
        let (site, handler) = before("read 0 3; read 0 3", mirror()).await;
        let (sender, body) = channel();
        let asked = handler.handle(Request::post("/").body(body).unwrap());
        let client = async {
            sender.unbounded_send(piece("ab")).unwrap();
            tokio::task::yield_now().await;
            assert!(site.log().is_empty());
            for text in ["cd", "efg"] {
                sender.unbounded_send(piece(text)).unwrap();
                tokio::task::yield_now().await;
            }
            drop(sender);
        };
        let (response, ()) = futures::future::join(asked, client).await;
        assert_eq!(site.log(), ["info: abc", "info: def"]);
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(body, "POST /\n\ng");
    });
}

#[test]
fn trailers_in_both_directions() {
    crate::harness::run(async {
        let script = "features 5; read-all 0; names 2; values 2 x-sum; set 2 x-sum 8; add 2 x-more 1";
        let (site, handler) = before(script, mirror()).await;
        let (sender, body) = channel();
        for frame in [piece("body"), trailer("x-sum", "7")] {
            sender.unbounded_send(frame).unwrap();
        }
        drop(sender);
        let got = send(&handler, Request::post("/").body(body).unwrap()).await;
        let (head, rest) = got.body.split_once("\n\n").unwrap();
        assert_eq!((head, rest), ("POST /\ntrailer: x-more, x-sum", "body\nx-sum: 8\nx-more: 1\n"));
        assert_eq!(site.log()[1..], ["info: body", "info: x-sum", "info: 7"]);

        let next = Answering(|_| async {
            let (sender, body) = channel();
            for frame in [piece("answer"), trailer("x-sum", "9")] {
                sender.unbounded_send(frame).unwrap();
            }
            Response::new(body)
        });
        // They come after the guest has changed them.
        let (_, handler) =
            before("features 6\n--\nremove 3 x-sum; set 3 x-done yes; values 3 x-done", next).await;
        let got = send(&handler, get("/")).await;
        let trailers = got.trailers.unwrap();
        assert_eq!((got.body.as_str(), trailers.len()), ("answer", 1));
        assert_eq!(trailers["x-done"], "yes");
        assert_eq!(got.headers["trailer"], "x-done, x-sum");
    });
}

#[test]
fn it_logs_and_prints() {
    crate::harness::run(async {
        let script = "log -1 debug; log 0 info; log 1 warn; log 2 error; log 3 none; logged -1; logged 0; logged 2; \
                      logged 3; print from WASI";
        let (site, handler) = before(script, says("ok")).await;
        send(&handler, get("/")).await;
        let said = [
            "info: info",
            "warn: warn",
            "error: error",
            "info: 0",
            "info: 1",
            "info: 1",
            "info: 0",
            "from WASI",
        ];
        assert_eq!(site.log(), said);
    });
}

/// Features of an exchange are its own; those of the start are all exchanges'.
#[test]
fn features_are_an_exchanges_own() {
    crate::harness::run(async {
        let (site, handler) = before("features 1; features 6; features 8; seen", says("ok")).await;
        for _ in 0..2 {
            send(&handler, get("/")).await;
        }
        let said = [
            "features=1",
            "features=7",
            "features=7",
            "seen=1",
            "features=1",
            "features=7",
            "features=7",
            "seen=2",
        ];
        assert_eq!(site.log(), said.map(|one| format!("info: {one}")));
    });
}

/// Examples of a SDK that nobody here wrote: they register in `main`, and enable a feature there.
#[test]
fn filters_of_the_rust_sdk() {
    let flags = ["--config", "profile.release.package.http-wasm-guest.opt-level=1"];
    let Some(folder) = sampan_testing::crate_examples("http-wasm-guest", "1.2.0", "wasm32-wasip1", &flags)
    else {
        return;
    };
    crate::harness::run(async {
        let site = Site::new([filter(folder.join("header.wasm"))]).await;
        let got = send(&site.before(mirror()), get("/")).await;
        assert!(got.body.contains("x-custom-header: FooBar"), "{}", got.body);
        assert!(site.logged("Registering plugin"), "{:?}", site.log());

        let site = Site::new([filter(folder.join("info.wasm"))]).await;
        let got = send(&site.before(says("the body")), get("/path")).await;
        assert_eq!(got.body, "the body");
        for part in ["/path", "shop.example", "Status: 200", "the body"] {
            assert!(site.logged(part), "{part}: {:?}", site.log());
        }
    });
}
