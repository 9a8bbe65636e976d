//! A filter before a handler, and ways to ask it.

use bytes::Bytes;
use futures::channel::mpsc;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sampan_app::{App, Filter as Spec};
use sampan_capabilities::Backends;
use sampan_engine::cache::Cache;
use sampan_filters::{Destinations, Filter, Filters, Surroundings, load};
use sampan_runtime::serve::{Budget, Machine, Setup};
use sampan_service::{Answer, Body, BodyError, Filter as _, Handler, empty, full};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// Runs a test in a runtime as a server's worker has it: one thread.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let patience = sampan_testing::PATIENCE;
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("the test hangs") })
}

type Log = Arc<Mutex<Vec<String>>>;

/// One for all tests: each has an app of its own.
static MACHINE: LazyLock<(Arc<Machine>, Log)> = LazyLock::new(|| {
    let log = Log::default();
    let lines = Arc::clone(&log);
    let cache = Cache::at(sampan_testing::target().join("tests/artifacts"), 1 << 30);
    let log_line =
        Arc::new(move |name: &str, line: &str| lines.lock().unwrap().push(format!("[{name}] {line}")));
    let machine = Machine::new(Setup { cache: Some(cache), log: log_line, ..Setup::default() });
    (machine.unwrap_or_else(|failure| panic!("{failure:?}")), log)
});

/// An app with filters.
pub struct Site {
    pub surroundings: Surroundings,
    pub filters: Filters,
    name: String,
}

pub fn rust(name: &str) -> PathBuf {
    sampan_testing::guest(name)
}

pub fn component(name: &str) -> PathBuf {
    sampan_testing::guest_for("wasm32-wasip2", name)
}

/// A module in the text format as a file, which lives as long as the folder.
pub fn wat(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("filter.wasm");
    std::fs::write(&path, wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))).unwrap();
    path
}

pub fn filter(source: PathBuf) -> Spec {
    Spec { name: "filter".to_owned(), source, ..Spec::default() }
}

fn surroundings(app: &App, backends: Backends) -> Surroundings {
    let machine = Arc::clone(&MACHINE.0);
    Surroundings {
        app: app.name.as_str().into(),
        memory: Budget::new("filters", None, Some(Arc::clone(&machine.memory))),
        machine,
        backends: Arc::new(backends),
        destinations: Arc::<Destinations>::default(),
    }
}

pub fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("app{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl Site {
    pub async fn new(filters: impl IntoIterator<Item = Spec>) -> Site {
        let filters = filters.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let app = App { name: new_name(), filters, ..App::default() };
        Site::of(app, Backends::default()).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// What is wrong, where the filters cannot be loaded.
    pub async fn of(app: App, backends: Backends) -> Result<Site, String> {
        let surroundings = surroundings(&app, backends);
        match load(&surroundings, &app, |_| true).await {
            Ok(filters) => Ok(Site { surroundings, filters, name: app.name }),
            Err(failures) => Err(failures.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n")),
        }
    }

    pub fn filter(&self, name: &str) -> &Filter {
        &self.filters[name]
    }

    /// The filter `filter` before a handler.
    pub fn before(&self, next: impl Handler + 'static) -> Arc<dyn Handler> {
        self.filter("filter").before(Arc::new(next), None).unwrap()
    }

    /// What was logged, without the filter's name.
    pub fn log(&self) -> Vec<String> {
        let start = format!("[{}/filter] ", self.name);
        let log = MACHINE.1.lock().unwrap();
        log.iter().filter_map(|line| line.strip_prefix(&start).map(str::to_owned)).collect()
    }

    pub fn logged(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.contains(text))
    }
}

/// Why a filter cannot be loaded.
pub async fn refused(spec: Spec) -> String {
    let app = App { name: new_name(), filters: [(spec.name.clone(), spec)].into(), ..App::default() };
    Site::of(app, Backends::default()).await.err().expect("it is refused")
}

/// A handler of a test.
pub struct Answering<F>(pub F);

impl<F, R> Handler for Answering<F>
where
    F: Fn(Request<Body>) -> R + Send + Sync,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin((self.0)(request))
    }
}

/// Says in its body what it got: method, target, headers and body, a line each, and trailers.
pub fn mirror() -> impl Handler {
    Answering(|request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let mut text = format!("{} {}\n", head.method, head.uri);
        text += &lines(&head.headers);
        let body = body.collect().await;
        let (trailers, bytes) = match body {
            Ok(body) => (body.trailers().cloned(), body.to_bytes()),
            Err(error) => (None, error.to_string().into_bytes().into()),
        };
        text += &format!("\n{}", String::from_utf8_lossy(&bytes));
        if let Some(trailers) = trailers {
            text += &format!("\n{}", lines(&trailers));
        }
        Response::builder().header("x-next", "mirror").body(full(text)).unwrap()
    })
}

/// Answers always the same.
pub fn says(text: &'static str) -> impl Handler {
    Answering(move |_| std::future::ready(Response::new(full(text))))
}

fn lines(headers: &HeaderMap) -> String {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "shop.example").body(empty()).unwrap()
}

pub fn post(path: &str, body: &'static str) -> Request<Body> {
    let request = Request::post(path).header("host", "shop.example").header("content-length", body.len());
    request.body(full(body)).unwrap()
}

/// A response with its body.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: Option<HeaderMap>,
}

impl Got {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub async fn send(handler: &Arc<dyn Handler>, request: Request<Body>) -> Got {
    let (head, body) = handler.handle(request).await.into_parts();
    let body = body.collect().await.unwrap_or_else(|error| panic!("the body breaks: {error}"));
    let trailers = body.trailers().cloned();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Got { status: head.status.as_u16(), headers: head.headers, body, trailers }
}

pub type Pieces = mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>;

/// A body that the test writes as it goes.
pub fn channel() -> (Pieces, Body) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, StreamBody::new(receiver).boxed_unsync())
}

pub fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Trailers of one name.
pub fn trailer(name: &'static str, value: &'static str) -> Result<Frame<Bytes>, BodyError> {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, http::HeaderValue::from_static(value));
    Ok(Frame::trailers(trailers))
}
