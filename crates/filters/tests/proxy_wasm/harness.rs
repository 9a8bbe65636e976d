//! One filter in front of a handler that tells what it got.

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sampan_app::Filter as Spec;
use sampan_capabilities::Backends;
use sampan_engine::cache::Cache;
use sampan_filters::{Destinations, Filter, Surroundings, Version};
use sampan_runtime::serve::{Budget, Machine, Setup};
use sampan_service::{Answer, Body, BodyError, Filter as _, Handler, empty, full};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// A filter, loaded.
pub struct Filtered {
    pub surroundings: Surroundings,
    pub spec: Spec,
    pub filter: Filter,
    pub handler: Arc<dyn Handler>,
    pub log: Arc<Mutex<Vec<String>>>,
}

/// Runs a test in a runtime as a server's worker has it: one thread.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patience = sampan_testing::PATIENCE;
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("the test hangs") })
}

/// A guest of guests/ with a configuration.
pub fn spec(guest: &str, config: &str) -> Spec {
    Spec {
        name: guest.into(),
        source: sampan_testing::guest(guest),
        config: config.into(),
        ..Spec::default()
    }
}

/// What all filters of a test share: an app of its own.
pub fn surroundings() -> (Surroundings, Arc<Mutex<Vec<String>>>) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&log);
    let line = Arc::new(move |name: &str, line: &str| kept.lock().unwrap().push(format!("[{name}] {line}")));
    let cache = Cache::at(sampan_testing::target().join("tests/artifacts"), 1 << 30);
    let machine = Machine::new(Setup { cache: Some(cache), log: line, ..Setup::default() });
    let surroundings = Surroundings {
        app: format!("filtered{}", NUMBER.fetch_add(1, Ordering::Relaxed)).into(),
        machine: machine.unwrap_or_else(|f| panic!("{f:?}")),
        backends: Arc::new(Backends::default()),
        memory: Budget::new("filters", None, None),
        destinations: Arc::new(Destinations::default()),
    };
    (surroundings, log)
}

pub async fn version(surroundings: &Surroundings, spec: &Spec) -> Result<Arc<Version>, String> {
    let wasm = std::fs::read(&spec.source).unwrap();
    let configs = vec![spec.config.clone()];
    sampan_filters::prove(surroundings, spec, &spec.name, wasm.into(), configs).await
}

/// A filter in front of [`Echo`].
pub async fn filtered(spec: Spec) -> Filtered {
    before(Arc::new(Echo), spec).await
}

pub async fn before(next: Arc<dyn Handler>, spec: Spec) -> Filtered {
    let (surroundings, log) = surroundings();
    before_in(surroundings, log, next, spec).await
}

pub async fn before_in(
    surroundings: Surroundings,
    log: Arc<Mutex<Vec<String>>>,
    next: Arc<dyn Handler>,
    spec: Spec,
) -> Filtered {
    let version = version(&surroundings, &spec).await.unwrap_or_else(|error| panic!("{error}"));
    let filter = Filter::new(version, None);
    let handler = filter.before(next, None).unwrap();
    Filtered { surroundings, spec, filter, handler, log }
}

/// Why a filter in the text format cannot serve.
pub async fn refused(wat: &str) -> String {
    let spec = Spec { name: "bad".into(), ..Spec::default() };
    let (surroundings, _) = surroundings();
    match prove_wat(&surroundings, &spec, wat).await {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

pub async fn prove_wat(surroundings: &Surroundings, spec: &Spec, wat: &str) -> Result<Arc<Version>, String> {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"));
    sampan_filters::prove(surroundings, spec, &spec.name, wasm.into(), vec![spec.config.clone()]).await
}

/// A filter in the text format in front of [`Echo`].
pub async fn filtered_wat(spec: Spec, wat: &str) -> Filtered {
    let (surroundings, log) = surroundings();
    let version = prove_wat(&surroundings, &spec, wat).await.unwrap_or_else(|error| panic!("{error}"));
    let filter = Filter::new(version, None);
    let handler = filter.before(Arc::new(Echo), None).unwrap();
    Filtered { surroundings, spec, filter, handler, log }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Read {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: HeaderMap,
}

impl Read {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

pub async fn read(response: Response<Body>) -> Read {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap_or_else(|error| panic!("{error}: {parts:?}"));
    let trailers = body.trailers().cloned().unwrap_or_default();
    Read {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        trailers,
    }
}

impl Filtered {
    pub async fn send(&self, request: Request<Body>) -> Read {
        read(self.handler.handle(request).await).await
    }

    pub async fn get(&self, path: &str) -> Read {
        self.send(get(path)).await
    }

    pub async fn post(&self, body: &'static str) -> Read {
        self.send(post(full(body))).await
    }

    /// The value of one of this filter's metrics; more labels as in `,reason="trap"`.
    pub fn metric(&self, name: &str, labels: &str) -> u64 {
        let text = sampan_telemetry::metrics().render();
        let (app, filter) = (&self.surroundings.app, &self.spec.name);
        let start = format!("sampan_{name}{{app=\"{app}\",filter=\"{filter}\"{labels}}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
    }

    pub fn failures(&self, reason: &str) -> u64 {
        self.metric("filter_failures_total", &format!(",reason=\"{reason}\""))
    }

    pub fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is: impl Fn(&Filtered) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(sampan_testing::PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.log.lock().unwrap());
    }
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "shop.example").body(empty()).unwrap()
}

pub fn post(body: Body) -> Request<Body> {
    Request::post("/post").header("host", "shop.example").body(body).unwrap()
}

/// A body that the test writes as it goes.
pub fn channel() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>, Body) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, StreamBody::new(receiver).boxed_unsync())
}

/// Whoever runs and does not wait is done within this time.
const QUIET: Duration = Duration::from_millis(20);

/// Lets a request run until its filter has paused it, or does not come back. That one poll is pending says less: a
/// guest that a tick of the clock has interrupted, while its VM is made, goes on in another thread.
pub async fn is_held_up<T>(request: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::time::timeout(QUIET, request).await.is_err()
}

/// Lets a request run until it waits.
pub async fn is_waiting<T>(request: &mut (impl Future<Output = T> + Unpin)) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *request).poll(cx).is_pending())).await
}

/// Answers with what it was asked: the request's head in headers `got-…`, its body and trailers as they are.
pub struct Echo;

impl Handler for Echo {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let (parts, body) = request.into_parts();
        let answer: BoxFuture<'_, Response<Body>> = Box::pin(async move {
            let mut response = Response::new(empty());
            let headers = response.headers_mut();
            headers.insert("got-method", parts.method.as_str().parse().unwrap());
            headers.insert("got-uri", parts.uri.to_string().parse().unwrap());
            for (name, value) in &parts.headers {
                let name: http::HeaderName = format!("got-{name}").parse().unwrap();
                headers.append(name, value.clone());
            }
            match body.collect().await {
                Ok(collected) => {
                    let trailers = collected.trailers().cloned();
                    let bytes = collected.to_bytes();
                    headers.insert("got-length", bytes.len().into());
                    *response.body_mut() = match trailers {
                        None if bytes.is_empty() => full("echo"),
                        None => full(bytes),
                        Some(map) => {
                            full(bytes).with_trailers(std::future::ready(Some(Ok(map)))).boxed_unsync()
                        }
                    };
                }
                Err(error) => {
                    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
                    *response.body_mut() = full(error.to_string());
                }
            }
            response
        });
        answer
    }
}
