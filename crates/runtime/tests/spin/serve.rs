//! An app in this process, without a listener: requests go to its components' handlers.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sampan_app::{App, Component};
use sampan_app::{Surroundings, read_manifest};
use sampan_capabilities::Backends;
use sampan_engine::cache::Cache;
use sampan_runtime::serve::{Machine, Plan, Progress, Setup, load};
use sampan_service::{Body, Handler, Matched, Peer};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;

/// All apps of this test program share a machine, as they do in a server.
static MACHINE: LazyLock<Arc<Machine>> = LazyLock::new(|| {
    let plan =
        Plan { pool: sampan_engine::server::Pool { instances: 16, memory_bytes: None }, ..Plan::default() };
    // An interpreter takes half a minute to compile, and several tests use it.
    let cache = Cache::at(sampan_testing::target().join("tests/spin-cache"), 1 << 30);
    Machine::new(Setup { plan, cache: Some(cache), ..Setup::default() }).expect("a machine")
});
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

pub struct Served {
    handlers: HashMap<String, Arc<dyn Handler>>,
    // The guests' stores live as long as they do.
    _state: tempfile::TempDir,
}

/// What a client reads.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Served {
    /// Loads an app as it is in a folder with a `spin.toml`. `variables` are what its environment says.
    pub fn app(manifest: &Path, variables: &[(&str, String)]) -> Result<Served, String> {
        let env = |name: &str| {
            let name = name.strip_prefix("SPIN_VARIABLE_")?;
            variables.iter().find(|(key, _)| key.to_uppercase() == name).map(|(_, value)| value.clone())
        };
        let read = read_manifest(manifest, &Surroundings::new(&env));
        let (mut app, _) = read.map_err(|errors| format!("{errors:#?}"))?;
        let state = sampan_testing::temp_dir();
        move_state(&mut app, state.path());
        Served::load(app, state)
    }

    /// Loads an app of one component without a manifest.
    pub fn component(component: Component) -> Result<Served, String> {
        let app = App { name: "test".to_owned(), components: vec![component], ..App::default() };
        Served::load(app, sampan_testing::temp_dir())
    }

    fn load(app: App, state: tempfile::TempDir) -> Result<Served, String> {
        let handlers = RUNTIME.block_on(async {
            let backends = Backends::open(&app).await.map_err(|error| format!("{error:?}"))?;
            load(&MACHINE, &app, &backends, &Progress::none())
                .await
                .map_err(|failures| format!("{failures:#?}"))
        })?;
        let handlers = handlers.into_iter().map(|(name, one)| (name, one as Arc<dyn Handler>)).collect();
        Ok(Served { handlers, _state: state })
    }

    /// The answer of the app's only component, for a route `/...`.
    pub fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(String::new()).expect("a request"))
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Request::post(path).body(body.to_owned()).expect("a request"))
    }

    pub fn send(&self, request: Request<String>) -> Answer {
        let handler = self.handlers.values().next().expect("a component");
        let rest = request.uri().path().to_owned();
        let mut request = request.map(|body| -> Body {
            Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync()
        });
        request.headers_mut().insert("host", "shop.example".parse().expect("a header"));
        let address = "192.0.2.7:5000".parse().expect("an address");
        let local = "127.0.0.1:80".parse().expect("an address");
        request.extensions_mut().insert(Peer { address, local, tls: false });
        let (route, base) = ("/...".into(), "".into());
        request.extensions_mut().insert(Matched { route, base, rest, names: Vec::new() });
        RUNTIME.block_on(async { read(handler.handle(request).await).await })
    }
}

async fn read(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => format!("broken off: {error}"),
    };
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// Embedded stores of a test are its own, although its app lies in a folder that tests share.
fn move_state(app: &mut App, to: &Path) {
    use sampan_app::{KeyValueBackend, SqlBackend};
    for store in app.keyvalue.values_mut() {
        if let KeyValueBackend::Sqlite { path, .. } = &mut store.backend {
            *path = to.join(path.file_name().expect("a file"));
        }
    }
    for store in app.sql.values_mut() {
        if let SqlBackend::Sqlite { path } = &mut store.backend {
            *path = to.join(path.file_name().expect("a file"));
        }
    }
    app.state = to.to_owned();
}
