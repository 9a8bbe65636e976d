//! An app of test guests, and ways to ask it.

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sampan_app::{App, Component};
use sampan_capabilities::Backends;
use sampan_capabilities::http::Local;
use sampan_engine::cache::Cache;
use sampan_runtime::serve::{Machine, Progress, Setup, load_with};
use sampan_service::{Body, BodyError, Handler, empty};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// One app, served.
pub struct Served {
    pub machine: Arc<Machine>,
    /// Unique among the tests of this process, because metrics are the process's.
    pub name: String,
    pub handlers: HashMap<String, Arc<dyn Handler>>,
    pub local: Arc<Local>,
    pub log: Arc<Mutex<Vec<String>>>,
}

/// Runs a test in a runtime as a server's worker has it: one thread.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patience = sampan_testing::PATIENCE;
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("the test hangs") })
}

/// Artifacts are shared by all tests and runs: what is tested is not the compiler.
pub fn cache() -> Cache {
    Cache::at(sampan_testing::target().join("tests/artifacts"), 1 << 30)
}

pub fn machine(log: &Arc<Mutex<Vec<String>>>) -> Arc<Machine> {
    let log = Arc::clone(log);
    let log = Arc::new(move |name: &str, line: &str| log.lock().unwrap().push(format!("[{name}] {line}")));
    Machine::new(Setup { cache: Some(cache()), log, ..Setup::default() }).unwrap_or_else(|f| panic!("{f:?}"))
}

/// The guest `serve-p2` as a component.
pub fn p2() -> Component {
    Component {
        name: "api".into(),
        source: sampan_testing::guest_for("wasm32-wasip2", "serve-p2"),
        ..Component::default()
    }
}

/// The guest `serve-p3` as a component.
pub fn p3() -> Component {
    Component { source: sampan_testing::guest_for("wasm32-wasip2", "serve-p3"), ..p2() }
}

/// An app of one component.
pub async fn serve(component: Component) -> Served {
    serve_app(App { components: vec![component], ..App::default() }).await
}

pub async fn serve_app(mut app: App) -> Served {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    app.name = format!("app{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let log = Arc::default();
    let machine = machine(&log);
    let local = Arc::default();
    let handlers = load_with(&machine, &app, &Backends::default(), &Progress::none(), &local).await;
    let handlers = handlers.unwrap_or_else(|f| panic!("{f:?}"));
    let handlers = handlers.into_iter().map(|(name, served)| (name, served as Arc<dyn Handler>)).collect();
    Served { machine, name: app.name, handlers, local, log }
}

impl Served {
    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.handlers["api"].handle(request).await
    }

    /// Status and body of a GET request.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.send(get(path)).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        (status, String::from_utf8_lossy(&body.to_bytes()).into_owned())
    }

    /// Whether a metric has this value for the component `api`; more labels as in `,reason="trap"`.
    pub fn metric(&self, name: &str, labels: &str) -> u64 {
        let text = sampan_telemetry::metrics().render();
        let start = format!("sampan_{name}{{app=\"{}\",component=\"api\"{labels}}} ", self.name);
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
    }

    pub fn failures(&self, reason: &str) -> u64 {
        self.metric("guest_failures_total", &format!(",reason=\"{reason}\""))
    }

    pub fn refusals(&self, reason: &str) -> u64 {
        self.metric("refusals_total", &format!(",reason=\"{reason}\""))
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is: impl Fn(&Served) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(sampan_testing::PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.log.lock().unwrap());
    }

    pub fn logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "shop.example").body(empty()).unwrap()
}

/// A body that the test writes as it goes.
pub fn channel() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>, Body) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, StreamBody::new(receiver).boxed_unsync())
}

/// The next piece of a body.
pub async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = body.frame().await?;
    frame.expect("a body without error").into_data().ok()
}

/// Lets a request run until it waits.
pub async fn is_waiting<T>(request: &mut (impl Future<Output = T> + Unpin)) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *request).poll(cx).is_pending())).await
}
