//! The import: a guest's call of `wasi:http/handler` becomes a job for the exchange, which hands it to whoever is
//! next.

use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use sampan_capabilities::Host;
use sampan_service::{Body, is_reset};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime::{Result, format_err};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error as WasiError, WasiHttpView, p3};

/// A guest may ask whoever is next so often for one exchange: for retries, not to multiply requests.
const CALLS_MAX: u32 = 16;

/// A request for whoever is next.
pub struct Job {
    pub request: Request<Body>,
    pub reply: oneshot::Sender<Response<Body>>,
}

/// What happens in an exchange, for those who bound its time.
pub struct Watch {
    /// Processor time that the guest gets back, in nanoseconds.
    pub refund: Arc<AtomicU64>,
    /// All that it may use: each piece of a body gives it back.
    all_nanos: u64,
    pieces: AtomicU64,
    asked_next: AtomicBool,
}

impl Watch {
    pub fn new(limit: Option<Duration>) -> Self {
        let all_nanos = limit.map_or(0, |limit| limit.as_nanos().try_into().unwrap_or(u64::MAX));
        Watch {
            refund: Arc::default(),
            all_nanos,
            pieces: AtomicU64::new(0),
            asked_next: AtomicBool::new(false),
        }
    }

    /// A piece of a body has passed.
    pub fn piece(&self) {
        self.pieces.fetch_add(1, Relaxed);
        self.refund.store(self.all_nanos, Relaxed);
    }

    pub fn pieces(&self) -> u64 {
        self.pieces.load(Relaxed)
    }

    pub fn asked_next(&self) -> bool {
        self.asked_next.load(Relaxed)
    }
}

/// What the import works on; in the guest's store.
pub struct Next {
    jobs: mpsc::Sender<Job>,
    /// What the gateway knows of the exchange, which a guest does not see.
    extensions: Extensions,
    version: Version,
    calls: u32,
    watch: Arc<Watch>,
}

impl Next {
    pub fn new(head: &Parts, watch: &Arc<Watch>) -> (Next, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(CALLS_MAX as usize);
        let extensions = head.extensions.clone();
        let next = Next { jobs, extensions, version: head.version, calls: 0, watch: Arc::clone(watch) };
        (next, receiver)
    }
}

/// Defines the import, if this is its name.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    if !name.starts_with("wasi:http/handler@0.3.") {
        return Ok(false);
    }
    linker.instance(name)?.func_wrap_concurrent("handle", |accessor, (request,)| {
        Box::pin(async move { handle(accessor, request).await.map(|answer| (answer,)) })
            as Pin<Box<dyn Future<Output = _> + Send + '_>>
    })?;
    Ok(true)
}

type Answer = Result<Resource<p3::Response>, ErrorCode>;

async fn handle(accessor: &Accessor<Host>, request: Resource<p3::Request>) -> Result<Answer> {
    let begun = accessor.with(|mut store| -> Result<Result<_, ErrorCode>> {
        let request = store.data_mut().http().table.delete(request)?;
        let state = store.data_mut().filter.as_mut().and_then(|state| state.downcast_mut::<Next>());
        let state = state.ok_or_else(|| format_err!("it is not called as a filter"))?;
        state.calls += 1;
        if state.calls > CALLS_MAX {
            let why = format!("the next handler was asked {CALLS_MAX} times already");
            return Ok(Err(ErrorCode::InternalError(Some(why))));
        }
        state.watch.asked_next.store(true, Relaxed);
        let (jobs, extensions, version) = (state.jobs.clone(), state.extensions.clone(), state.version);
        let request = match request.into_http(store, async { Ok(()) }) {
            Ok((request, _options)) => request,
            Err(error) => return error.downcast().map(Err),
        };
        let (mut head, body) = request.into_parts();
        head.extensions = extensions;
        head.version = version;
        name_host(&mut head);
        Ok(Ok((jobs, Request::from_parts(head, body.map_err(Into::into).boxed_unsync()))))
    })?;
    let (jobs, request) = match begun {
        Ok(begun) => begun,
        Err(code) => return Ok(Err(code)),
    };
    let (reply, response) = oneshot::channel();
    // There is room for as many as may be asked for.
    let sent = jobs.try_send(Job { request, reply }).is_ok();
    let Ok(response) = response.await else {
        let why = if sent { "the exchange is over" } else { "too many requests are on their way" };
        return Ok(Err(ErrorCode::InternalError(Some(why.to_owned()))));
    };
    if is_reset(&response) {
        return Ok(Err(ErrorCode::ConnectionTerminated));
    }
    let response = response
        .map(|body| body.map_err(|error| WasiError::InternalError(Some(error.to_string()))).boxed_unsync());
    accessor.with(|mut store| {
        let view = store.data_mut().http();
        let (response, _transmitted) = p3::Response::from_http(view.hooks, response);
        Ok(Ok(view.table.push(response)?))
    })
}

/// Says in the header whom the request is for, as it is between handlers.
fn name_host(head: &mut Parts) {
    let authority = head.uri.authority().and_then(|one| HeaderValue::from_str(one.as_str()).ok());
    if let Some(host) = authority {
        head.headers.insert(HOST, host);
    }
    let target = head.uri.path_and_query().cloned();
    head.uri = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
}
