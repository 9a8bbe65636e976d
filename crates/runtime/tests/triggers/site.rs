//! An app that is served: components under their names, by the server, over a real connection.

use http::Request;
use sampan_app::{App, Cgi, CgiDialect, Component, ComponentKind, Limits, Mount};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Machine, Progress, Setup, load};
use sampan_service::{Answer, Body, Handler, Listen, Listener, Matched, Options, Server};
use sampan_testing::PATIENCE;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use tokio::runtime::Runtime;

type Handlers = HashMap<String, Arc<dyn Handler>>;

/// Components that are served: `/NAME/...` by the one of this name, everything else by the one named `root`.
pub struct Site {
    pub address: SocketAddr,
    pub log: Arc<LogLines>,
    // Dropped before the machine, as in a server that shuts down.
    _server: Server,
    runtime: Runtime,
    machine: Arc<Machine>,
    handlers: Arc<Mutex<Handlers>>,
}

/// What the components and Sampan logged.
#[derive(Default)]
pub struct LogLines {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl LogLines {
    /// Waits until a line contains the text, and returns it.
    pub fn wait_for(&self, text: &str) -> String {
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let (next, timeout) = self.more.wait_timeout(lines, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "no line with `{text}` in {next:?}");
            lines = next;
        }
    }

    pub fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

/// Compiled code of all tests: kept beside the other files of the build.
static CACHE: LazyLock<PathBuf> = LazyLock::new(|| sampan_testing::target().join("tests/triggers-cache"));

impl Site {
    pub fn start(components: Vec<Component>) -> Site {
        let log = Arc::new(LogLines::default());
        let sink = log.clone();
        let setup = Setup {
            cache: Some(sampan_engine::cache::Cache::at(CACHE.clone(), 1 << 30)),
            log: Arc::new(move |name, line| {
                sink.lines.lock().unwrap().push(format!("[{name}] {line}"));
                sink.more.notify_all();
            }),
            ..Setup::default()
        };
        let machine = Machine::new(setup).unwrap();
        let runtime = Runtime::new().unwrap();
        let handlers = Arc::new(Mutex::new(runtime.block_on(handlers(&machine, components)).unwrap()));
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), tls: None };
        let listener = Listener::bind(&listen).unwrap();
        let address = listener.address();
        let site = Arc::new(ByName(handlers.clone()));
        let server = sampan_service::serve(vec![listener], site, Options::default()).unwrap();
        Site { address, log, _server: server, runtime, machine, handlers }
    }

    /// As a reload does: the new components answer from now on, the old ones end when nobody uses them.
    pub fn replace(&self, components: Vec<Component>) {
        let new = self.runtime.block_on(handlers(&self.machine, components)).unwrap();
        *self.handlers.lock().unwrap() = new;
    }

    pub fn get(&self, path: &str) -> sampan_testing::Response {
        sampan_testing::http_get(self.address, path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// What loading components says of the first that fails.
pub fn load_failure(component: Component) -> String {
    let machine = Machine::new(Setup::default()).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(handlers(&machine, vec![component])).err().expect("a component that is refused")
}

async fn handlers(machine: &Arc<Machine>, components: Vec<Component>) -> Result<Handlers, String> {
    let app = App { name: "test".to_owned(), components, ..App::default() };
    let backends = Backends::open(&app).await.unwrap();
    let served = load(machine, &app, &backends, &Progress::none()).await;
    let served = served.map_err(|failures| failures[0].to_string())?;
    Ok(served.into_iter().map(|(name, one)| (name, one as Arc<dyn Handler>)).collect())
}

/// Finds the component by the first segment of the path.
struct ByName(Arc<Mutex<Handlers>>);

impl Handler for ByName {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(answer(self.0.clone(), request))
    }
}

async fn answer(handlers: Arc<Mutex<Handlers>>, mut request: Request<Body>) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    let name = path.split('/').nth(1).unwrap_or_default().to_owned();
    let (handler, base) = {
        let handlers = handlers.lock().unwrap();
        match handlers.get(&name) {
            Some(handler) => (handler.clone(), format!("/{name}")),
            None => (handlers.get("root").expect("a component for all other paths").clone(), String::new()),
        }
    };
    let matched = Matched {
        route: format!("{base}/...").into(),
        base: base.as_str().into(),
        rest: path[base.len()..].to_owned(),
        names: Vec::new(),
    };
    request.extensions_mut().insert(matched);
    handler.handle(request).await
}

pub fn component(name: &str, source: &Path, kind: ComponentKind) -> Component {
    Component { name: name.to_owned(), source: source.to_owned(), kind: Some(kind), ..Component::default() }
}

pub fn cgi(name: &str, source: &Path, dialect: CgiDialect) -> Component {
    component(name, source, ComponentKind::Cgi(Cgi { dialect, argv: Vec::new(), document_root: None }))
}

pub fn limited(component: Component, limits: Limits) -> Component {
    Component { limits, ..component }
}

pub fn mounted(mut component: Component, host: &Path, guest: &str) -> Component {
    let mount = Mount { host: host.to_owned(), guest: guest.to_owned(), read_only: false };
    component.grants.mounts.push(mount);
    component
}
