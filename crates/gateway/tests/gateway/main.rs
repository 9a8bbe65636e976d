//! The gateway as its clients see it: requests in, responses out.

mod cors;
mod escapes;
mod files;
mod policy;
mod routing;
mod shares;
mod tcp;

use http::{Request, Response};
use http_body_util::BodyExt;
use sampan_app::{Route, StaticFolder, Target};
use sampan_gateway::{Handlers, Router};
use sampan_service::{Answer, Body, Handler, Matched, empty, full};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A component that says its name, the method, and what the gateway found out.
struct Echo(&'static str);

impl Handler for Echo {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let method = request.method().clone();
            let Matched { route, base, rest, names } = request.extensions().get().cloned().expect("a match");
            let sent = request.into_body().collect().await.expect("a body").to_bytes();
            let sent = String::from_utf8_lossy(&sent).into_owned();
            let text = format!("{} {method} {route} {base}|{rest}|{names:?}|{sent}", self.0);
            Response::new(full(text))
        })
    }
}

fn route(path: &str, to: Target) -> Route {
    Route::new(path, to)
}

fn component(name: &str) -> Target {
    Target::Component(name.into())
}

fn folder(path: &Path) -> StaticFolder {
    StaticFolder {
        folder: path.to_owned(),
        index: "index.html".into(),
        fallback: None,
        or: None,
        hide: Vec::new(),
        cache_control: None,
    }
}

fn components() -> Handlers {
    let handler = |name: &'static str| (name.to_owned(), Arc::new(Echo(name)) as Arc<dyn Handler>);
    Handlers { components: HashMap::from([handler("api"), handler("php")]), ..Handlers::default() }
}

fn router(routes: &[Route]) -> Router {
    Router::new("app", routes, &components()).expect("good routes")
}

/// A response that was read to its end, or to where it broke off.
struct Got {
    status: u16,
    headers: http::HeaderMap,
    served: sampan_service::Served,
    body: Vec<u8>,
    broke: Option<String>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn ask(router: &Router, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Got {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_empty() { empty() } else { full(body.to_owned()) };
    let request = request.body(body).unwrap_or_else(|error| panic!("{target}: {error}"));
    block_on(async {
        let (head, mut rest) = router.handle(request).await.into_parts();
        let (mut body, mut broke) = (Vec::new(), None);
        while let Some(frame) = rest.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(&frame.into_data().expect("data")),
                Err(error) => broke = Some(error.to_string()),
            }
        }
        let served = head.extensions.get().cloned().expect("an answer says what served it");
        Got { status: head.status.as_u16(), headers: head.headers, served, body, broke }
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

fn get(router: &Router, target: &str) -> Got {
    ask(router, "GET", target, &[], "")
}

fn get_with(router: &Router, target: &str, headers: &[(&str, &str)]) -> Got {
    ask(router, "GET", target, headers, "")
}
