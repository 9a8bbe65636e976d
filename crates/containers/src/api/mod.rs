//! Docker Engine's HTTP API (docs.docker.com/reference/api/engine; moby, `api/swagger.yaml`), so that what talks to
//! Docker talks to these containers: the `docker` command, Compose, client libraries.
//!
//! It is a face on the same folders that the verbs work on. Nothing lives in this process but second guests' exit
//! codes; when it ends, containers go on.

mod answer;
mod archive;
mod attach;
mod build;
mod call;
mod create;
mod exec;
mod host;
mod images;
mod inspect;
mod lifecycle;
mod list;
mod logs;
mod networks;
mod stats;
mod system;
mod transfer;
mod volumes;
mod wait;

use crate::Containers;
use answer::{Answered, Body, Failure};
use call::{Call, Query};
use http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
pub use inspect::described;
use percent_encoding::percent_decode_str;
use sampan_images::Images;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

/// The newest version that is spoken: Docker 27's.
const VERSION_MINOR: u32 = 47;
/// Docker 1.12's; Docker 28 accepts none that is older either.
const VERSION_MINOR_MIN: u32 = 24;
/// Clients at once; more wait.
const CONNECTIONS_MAX: usize = 256;
/// For the head of a request, and between two: as Docker has it.
const HEAD_WITHIN: Duration = Duration::from_secs(300);
const HEADERS_MAX: usize = 100;
/// The next connection is accepted after this time where the last could not be: no descriptor was free, say.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What all requests share.
pub struct Api {
    pub containers: Containers,
    pub images: Images,
    execs: exec::Execs,
}

impl Api {
    pub fn new(containers: Containers, images: Images) -> Self {
        Api { containers, images, execs: exec::Execs::default() }
    }
}

/// Serves for as long as it is polled.
pub async fn serve(listener: UnixListener, api: Arc<Api>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(answer(api, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // That a client left is no failure of ours.
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn answer(api: Arc<Api>, request: Request<Incoming>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let mut response = route(api, request).await.unwrap_or_else(Failure::into_response);
    if is_head {
        *response.body_mut() = answer::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
    common_headers(response.headers_mut());
    response
}

/// What Docker says with every answer.
fn common_headers(headers: &mut HeaderMap) {
    let version = format!("1.{VERSION_MINOR}");
    headers.insert("api-version", HeaderValue::from_str(&version).expect("digits and a dot"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    let server = concat!("Sampan/", env!("CARGO_PKG_VERSION"), " (linux)");
    headers.insert(SERVER, HeaderValue::from_static(server));
}

async fn route(api: Arc<Api>, request: Request<Incoming>) -> Answered {
    let path = request.uri().path();
    let mut parts = Vec::new();
    for part in path.split('/').skip(1) {
        let part = percent_decode_str(part).decode_utf8();
        parts.push(part.map_err(|_| Failure::bad("the path is no UTF-8"))?.into_owned());
    }
    let minor = match parts.first().and_then(|first| version(first)) {
        Some(minor) => {
            parts.remove(0);
            minor?
        }
        None => VERSION_MINOR,
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let call = Call { api, minor, query, request };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let Some((group, rest)) = parts.split_first() else { return Err(Failure::no_page()) };
    match *group {
        "containers" => containers(call, rest).await,
        "exec" => exec::route(call, rest).await,
        "images" => images::route(call, rest).await,
        "volumes" => volumes::route(call, rest).await,
        "networks" => networks::route(call, rest).await,
        _ => system::route(call, &parts).await,
    }
}

/// The version of `v1.47`, if the text is one at all.
fn version(text: &str) -> Option<Result<u32, Failure>> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let wrong = |what: &str, least: &str, known: u32| {
        Some(Err(Failure::bad(format!(
            "client version {major}.{minor} is too {what}. {least} supported API version is 1.{known}"
        ))))
    };
    match (major, minor) {
        (1, VERSION_MINOR_MIN..=VERSION_MINOR) => Some(Ok(minor)),
        (0, _) | (1, 0..VERSION_MINOR_MIN) => {
            wrong("old", "Please upgrade your client to a newer version. Minimum", VERSION_MINOR_MIN)
        }
        _ => wrong("new", "Maximum", VERSION_MINOR),
    }
}

/// Everything below `/containers`.
async fn containers(call: Call, rest: &[&str]) -> Answered {
    let get = call.is_get();
    match *rest {
        ["json"] if get => call.blocking(list::list).await,
        ["create"] if call.is(&Method::POST) => call.blocking(create::create).await,
        ["prune"] if call.is(&Method::POST) => call.blocking(lifecycle::prune).await,
        [name] if call.is(&Method::DELETE) => call.of(name, lifecycle::remove).await,
        [name, verb] if get => match verb {
            "json" => call.of(name, inspect::inspect).await,
            "top" => call.of(name, lifecycle::top).await,
            "logs" => logs::logs(call, name).await,
            "stats" => stats::stats(call, name).await,
            "changes" => call.of(name, archive::changes).await,
            "export" => archive::export(call, name).await,
            "archive" if call.is(&Method::HEAD) => call.of(name, archive::stat).await,
            "archive" => archive::get(call, name).await,
            _ => Err(Failure::no_page()),
        },
        [name, "archive"] if call.is(&Method::PUT) => archive::put(call, name).await,
        [name, verb] if call.is(&Method::POST) => match verb {
            "start" => call.of(name, lifecycle::start).await,
            "stop" => call.of(name, lifecycle::stop).await,
            "restart" => call.of(name, lifecycle::restart).await,
            "kill" => call.of(name, lifecycle::kill).await,
            "pause" => call.of(name, lifecycle::pause).await,
            "unpause" => call.of(name, lifecycle::unpause).await,
            "rename" => call.of(name, lifecycle::rename).await,
            "update" => call.of(name, lifecycle::update).await,
            "resize" => call.of(name, lifecycle::resize).await,
            "wait" => wait::wait(call, name).await,
            "attach" => attach::attach(call, name).await,
            "exec" => call.of(name, exec::create).await,
            _ => Err(Failure::no_page()),
        },
        _ => Err(Failure::no_page()),
    }
}

/// With Docker's code for what no engine of this kind does.
fn not_here(what: &str) -> Failure {
    Failure::new(StatusCode::NOT_IMPLEMENTED, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, minor) in [("v1.24", 24), ("v1.47", 47)] {
            assert_eq!(version(text).map(|found| found.ok()), Some(Some(minor)), "{text}");
        }
        for text in ["v1.23", "v1.48", "v2.0", "v0.9"] {
            assert!(matches!(version(text), Some(Err(_))), "{text}");
        }
        for text in ["containers", "v1", "vx.y", "1.24", ""] {
            assert!(version(text).is_none(), "{text}");
        }
    }
}
