//! Middleware of wasi:http 0.3: components that export the handler and import the next one.

use crate::harness::{
    Answering, Site, channel, component, filter, get, limits_for, mirror, piece, post, refused, run, says,
    send, trailer,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_app::{Filter as Spec, Limits, OnFailure};
use sampan_service::{Body, Handler, Matched, full};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

async fn before(next: impl Handler + 'static) -> (Site, Arc<dyn Handler>) {
    let site = Site::new([filter(component("filter-middleware"))]).await;
    let handler = site.before(next);
    (site, handler)
}

#[test]
fn it_changes_both_directions() {
    run(async {
        let (_, handler) = before(mirror()).await;
        let mut request = post("/path?query", "the body");
        request.headers_mut().insert("x-a", "1".parse().unwrap());
        let got = send(&handler, request).await;
        assert_eq!(
            (got.status, got.all("x-middleware"), got.all("x-next")),
            (200, vec!["response"], vec!["mirror"])
        );
        let (head, body) = got.body.split_once("\n\n").unwrap();
        let mut lines: Vec<_> = head.lines().collect();
        assert_eq!(lines.remove(0), "POST /path?query");
        lines.sort_unstable();
        assert_eq!(lines, ["content-length: 8", "host: shop.example", "x-a: 1", "x-middleware: request"]);
        assert_eq!(body, "the body");
    });
}

/// A component that does not import the next handler is one itself.
#[test]
fn it_may_answer_itself() {
    run(async {
        let (_, handler) = before(says("never asked")).await;
        assert_eq!(send(&handler, get("/self")).await.body, "from the middleware\n");
        let site = Site::new([filter(component("serve-hello-p3"))]).await;
        let got = send(&site.before(says("never asked")), get("/")).await;
        assert_eq!(got.status, 200);
        assert_ne!(got.body, "never asked");
    });
}

/// What the gateway knows of an exchange goes on with it, past the guest.
#[test]
fn the_exchange_keeps_what_the_gateway_knows() {
    run(async {
        let next = Answering(|request: Request<Body>| async move {
            let rest = request.extensions().get::<Matched>().map(|matched| matched.rest.clone());
            Response::new(full(format!("{rest:?} {:?}", request.version())))
        });
        let (_, handler) = before(next).await;
        let mut request = get("/path");
        *request.version_mut() = http::Version::HTTP_2;
        let (route, base) = ("/...".into(), "".into());
        request.extensions_mut().insert(Matched { route, base, rest: "/path".to_owned(), names: Vec::new() });
        assert_eq!(send(&handler, request).await.body, "Some(\"/path\") HTTP/2.0");
    });
}

/// Pieces pass as they come, through the guest, in both directions; trailers too.
#[test]
fn bodies_stream() {
    run(async {
        let echo = Answering(|request: Request<Body>| std::future::ready(Response::new(request.into_body())));
        let (_, handler) = before(echo).await;
        let (sender, body) = channel();
        let request = Request::post("/").header("host", "shop.example").body(body).unwrap();
        let mut body = handler.handle(request).await.into_body();
        for text in ["one", "two"] {
            sender.unbounded_send(piece(text)).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
        }
        sender.unbounded_send(trailer("x-sum", "7")).unwrap();
        drop(sender);
        let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["x-sum"], "7");
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn it_changes_a_body_as_it_comes() {
    run(async {
        let (sender, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let next =
            Answering(move |_| std::future::ready(Response::new(body.lock().unwrap().take().unwrap())));
        let (_, handler) = before(next).await;
        let mut body = handler.handle(get("/upper")).await.into_body();
        for (text, upper) in [("one", "ONE"), ("two", "TWO")] {
            sender.unbounded_send(piece(text)).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), upper);
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    });
}

/// It may ask again, but not without end.
#[test]
fn it_asks_the_next_handler_again() {
    run(async {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let next = Answering(move |request: Request<Body>| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let response = Response::builder().status(if number == 0 { 503 } else { 200 });
            std::future::ready(response.body(full(host)).unwrap())
        });
        let (site, handler) = before(next).await;
        let got = send(&handler, get("/again")).await;
        assert_eq!((got.all("x-first"), got.body.as_str()), (vec!["503"], "again.example"));
        count.store(0, Ordering::Relaxed);
        assert_eq!(send(&handler, get("/many")).await.status, 502);
        assert_eq!(count.load(Ordering::Relaxed), 16);
        assert!(site.logged("the next handler was asked 16 times already"), "{:?}", site.log());
    });
}

#[test]
fn faults_of_the_guest() {
    run(async {
        let spec = || Spec { limits: limits_for("loop"), ..filter(component("filter-middleware")) };
        for (path, status, why) in [
            ("/trap", 503, "it trapped"),
            ("/trap-after", 503, "it trapped"),
            ("/loop", 503, "its processor time of 200ms is over"),
            ("/error", 502, "it answered with the error ErrorCode::LoopDetected"),
        ] {
            let site = Site::new([spec()]).await;
            let handler = site.before(says("ok"));
            assert_eq!(send(&handler, get(path)).await.status, status, "{path}");
            assert!(site.logged(why), "{path}: {:?}", site.log());
            assert_eq!(send(&handler, get("/")).await.status, 200, "{path}");
        }
        // It waits for nobody, and never answers.
        let site = Site::new([Spec { pause: Duration::from_millis(50), ..spec() }]).await;
        let got = send(&site.before(says("ok")), get("/never")).await;
        assert_eq!(got.status, 503);
        // A body that breaks off must not be taken for whole.
        let site = Site::new([spec()]).await;
        let mut body = site.before(says("ok")).handle(get("/half")).await.into_body();
        let mut broken = false;
        while let Some(frame) = body.frame().await {
            broken |= frame.is_err();
        }
        assert!(broken);
        // As if it were not there; but not where the next one was asked already.
        let site = Site::new([Spec { on_failure: OnFailure::Open, ..spec() }]).await;
        let got = send(&site.before(mirror()), post("/trap", "hello")).await;
        assert!(got.body.starts_with("POST /trap\n") && got.body.ends_with("hello"), "{}", got.body);
        assert_eq!(send(&site.before(mirror()), post("/trap-after", "hello")).await.status, 503);
    });
}

/// The time of whoever is next is not the filter's.
#[test]
fn the_next_handler_may_take_its_time() {
    run(async {
        let slow = Answering(|_| async {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            Response::new(full("late"))
        });
        // Less than the next one takes, and much more than the filter itself.
        let limits = Limits { timeout: Some(Duration::from_secs(1)), ..limits_for("") };
        let pause = Duration::from_millis(100);
        let site = Site::new([Spec { limits, pause, ..filter(component("filter-middleware")) }]).await;
        assert_eq!(send(&site.before(slow), get("/")).await.body, "late");
    });
}

#[test]
fn what_is_no_filter_is_refused() {
    for (guest, why) in
        [("serve-p2", "exports wasi:http/handler 0.3"), ("hello-p3", "exports wasi:http/handler 0.3")]
    {
        let said = run(refused(filter(component(guest))));
        assert!(said.contains(why), "{guest}: {said}");
    }
}

/// A client that leaves ends the guest, and gives its place to the next.
#[test]
fn a_client_that_leaves() {
    run(async {
        let spec = Spec { instances: 1, ..filter(component("filter-middleware")) };
        let site = Site::new([spec]).await;
        let (sender, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let next = Answering(move |_| {
            let body = body.lock().unwrap().take().unwrap_or_else(|| full("next"));
            std::future::ready(Response::new(body))
        });
        let handler = site.before(next);
        let mut left = handler.handle(get("/")).await.into_body();
        sender.unbounded_send(piece("one")).unwrap();
        assert_eq!(left.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        drop(left);
        assert_eq!(send(&handler, get("/")).await.body, "next");
        assert!(sender.is_closed());
    });
}

/// A task that has had its turn is told "not yet" by everything it waits for, also by an answer that is there.
#[test]
fn a_task_that_has_had_its_turn() {
    run(async {
        let (site, handler) = before(says("ok")).await;
        for _ in 0..100 {
            // Each takes something of the task's turn, and nothing gives it back.
            assert_eq!(send(&handler, get("/self")).await.status, 200, "{:?}", site.log());
        }
    });
}
