//! Service invocation: from an app's name to whoever answers for it, in this process or elsewhere.

use crate::access;
use crate::app::Place;
use crate::error::Problem;
use crate::grpc::invoked::{self, TypeUrl};
use crate::http::answer::collect;
use crate::ids;
use crate::policies::problem;
use crate::proto::common::v1::InvokeResponse;
use crate::proto::common::v1::http_extension::Verb;
use crate::proto::runtime::v1::InvokeServiceRequest;
use crate::resiliency::Verdict;
use crate::runtime::{Caller, Dapr};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use sampan_capabilities::http::{Error as HttpError, Local, Timeouts};
use sampan_service::{Body, BodyError, Depth, Handler, Peer};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Instant;
use tonic::Code;

/// The apps of this process by their ids, filled by whoever composes them; holds none of them alive.
#[derive(Default)]
pub struct Peers(RwLock<HashMap<String, Weak<Dapr>>>);

impl Peers {
    pub fn set(&self, dapr: &Arc<Dapr>) {
        let mut peers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, peer| peer.strong_count() > 0);
        peers.insert(dapr.app_id().to_owned(), Arc::downgrade(dapr));
    }

    pub fn find(&self, app: &str) -> Option<Arc<Dapr>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(app)?.upgrade()
    }
}

/// Who answers.
pub enum Callee {
    /// A handler of this process, or an ordinary program beside it.
    Here(Arc<dyn Handler>),
    /// A host elsewhere: the address before the path.
    Elsewhere(String),
}

/// Finds who answers for an app: an app of this process, a component of the caller's, an HTTPEndpoint, or, for
/// those who are no guests, any URL.
pub fn find(dapr: &Dapr, caller: &Caller, app: &str) -> Result<Callee, Problem> {
    let plain = plain(app);
    caller.check_app(plain)?;
    if let Some(peer) = dapr.peers.find(plain) {
        let handler = invoked::handler(&peer.app).map_err(|error| failed(app, &error.to_string()))?;
        return Ok(Callee::Here(handler));
    }
    if let Place::Here(local) = &dapr.app.place
        && let Some(handler) = Local::component(local, plain)
    {
        return Ok(Callee::Here(handler));
    }
    if let Some(endpoint) = dapr.endpoint(app) {
        return Ok(Callee::Elsewhere(endpoint.base_url.clone()));
    }
    if app.starts_with("http://") || app.starts_with("https://") {
        caller.check_all("a host by its URL")?;
        return Ok(Callee::Elsewhere(app.to_owned()));
    }
    Err(failed(app, "couldn't find the app: it is neither in this process nor an HTTPEndpoint"))
}

fn failed(app: &str, why: &str) -> Problem {
    Problem::internal("ERR_DIRECT_INVOKE", format!("fail to invoke, id: {app}, err: {why}"))
}

/// Sends the request, whose URI is the path that the callee shall see, under the app's policies. What streams is
/// sent once; the rest may be tried again.
pub async fn send(
    dapr: &Dapr,
    callee: Callee,
    app: &str,
    mut request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    check_access(dapr, &callee, app, &request)?;
    describe(dapr, app, &mut request);
    let began = Instant::now();
    let sent = try_all(dapr, &callee, app, request).await;
    let status = sent.as_ref().map_or_else(|problem| problem.status, Response::status);
    let error = Some(status.as_u16()).filter(|status| *status >= 400);
    dapr.policies.invoked(name_in_metrics(dapr, &callee, app), error, began.elapsed());
    sent
}

/// Names that callers make up are one in metrics.
fn name_in_metrics<'a>(dapr: &Dapr, callee: &Callee, app: &'a str) -> &'a str {
    match callee {
        Callee::Here(_) => plain(app),
        Callee::Elsewhere(_) if dapr.endpoint(app).is_some() => app,
        Callee::Elsewhere(_) => "url",
    }
}

/// An app's id without its namespace.
fn plain(app: &str) -> &str {
    app.split_once('.').map_or(app, |(plain, _namespace)| plain)
}

async fn try_all(
    dapr: &Dapr,
    callee: &Callee,
    app: &str,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let policy = dapr.policies.app(app, request.uri().path(), matches!(callee, Callee::Elsewhere(_)));
    if policy.is_none() {
        return once(dapr, callee, app, request).await;
    }
    let (parts, body) = request.into_parts();
    let whole = body.size_hint().exact().is_some_and(|bytes| bytes <= dapr.body_bytes_max() as u64);
    let (policy, body, streamed) = match whole {
        true => (policy, collect(body, dapr.body_bytes_max()).await?, None),
        false => (policy.without_retry(), Bytes::new(), Some(body)),
    };
    let mut streamed = streamed;
    let call = || {
        let body = streamed.take().unwrap_or_else(|| sampan_service::full(body.clone()));
        once(dapr, callee, app, Request::from_parts(parts.clone(), body))
    };
    policy.run(call, verdict).await.map_err(problem)
}

/// Asks the rules of the app that is called, whether it is called by its id or by a component's name.
fn check_access(dapr: &Dapr, callee: &Callee, app: &str, request: &Request<Body>) -> Result<(), Problem> {
    let Callee::Here(_) = callee else { return Ok(()) };
    let plain = plain(app);
    let peer = dapr.peers.find(plain);
    let rules = peer.as_ref().map_or(&dapr.access, |peer| &peer.access);
    let (verb, path) = (request.method().as_str(), request.uri().path());
    match rules {
        Some(rules) if !access::allows(rules, dapr.app_id(), verb, path) => {
            let why = format!("access control policy has denied access to {path} by {verb}");
            let message = format!("fail to invoke, id: {app}, err: {why}");
            Err(Problem::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "ERR_DIRECT_INVOKE", message))
        }
        _ => Ok(()),
    }
}

/// Answers of a kind that a policy names may be tried again; what the caller did wrong stays wrong.
fn verdict(result: &Result<Response<Body>, Problem>) -> Verdict {
    match result {
        Ok(response) if response.status().as_u16() < 400 => Verdict::Ok,
        Ok(response) => Verdict::Retryable { status: Some(response.status().as_u16()) },
        Err(_) => Verdict::Retryable { status: Some(Code::Unavailable as u16) },
    }
}

async fn once(
    dapr: &Dapr,
    callee: &Callee,
    app: &str,
    mut request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    match callee {
        Callee::Here(handler) => {
            let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
            request.extensions_mut().insert(Depth(depth.0.saturating_add(1)));
            Ok(handler.handle(request).await)
        }
        Callee::Elsewhere(base) => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
            let uri: Result<Uri, _> = format!("{}{path}", base.trim_end_matches('/')).parse();
            *request.uri_mut() = uri.map_err(|error| failed(app, &error.to_string()))?;
            let request = request.map(|body| body.map_err(|_| HttpError::RequestBody).boxed_unsync());
            let sent = dapr.door.send(request, Timeouts::default()).await;
            let response = sent.map_err(|error| failed(app, &error.to_string()))?;
            Ok(response.map(|body| body.map_err(|error| -> BodyError { Box::new(error) }).boxed_unsync()))
        }
    }
}

/// The deprecated call of the gRPC API: method, verb, query and data become a request.
pub async fn over_grpc(
    dapr: &Dapr,
    caller: &Caller,
    call: InvokeServiceRequest,
) -> Result<InvokeResponse, Problem> {
    let app = call.id;
    if app.is_empty() {
        return Err(failed(&app, "the request names no app"));
    }
    let Some(message) = call.message else { return Err(failed(&app, "the request has no message")) };
    let callee = find(dapr, caller, &app)?;
    let (verb, query) = message
        .http_extension
        .as_ref()
        .map_or((Verb::Post, ""), |extension| (extension.verb(), extension.querystring.as_str()));
    let question = if query.is_empty() { "" } else { "?" };
    let path = format!("/{}{question}{query}", message.method.trim_start_matches('/'));
    let data = message.data.unwrap_or_default();
    let mut request = Request::new(sampan_service::full(data.value));
    if !data.type_url.is_empty() {
        request.extensions_mut().insert(TypeUrl(data.type_url));
    }
    *request.uri_mut() = path.parse().map_err(|_| failed(&app, "invalid method name"))?;
    *request.method_mut() = method(verb);
    if let Ok(kind) = HeaderValue::try_from(message.content_type)
        && !kind.is_empty()
    {
        request.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    let response = send(dapr, callee, &app, request).await?;
    let (parts, body) = response.into_parts();
    let data = collect(body, dapr.body_bytes_max()).await?;
    if !parts.status.is_success() {
        let shown = String::from_utf8_lossy(&data);
        let message = format!("fail to invoke, id: {app}, err: the app answered {}: {shown}", parts.status);
        return Err(Problem::new(parts.status, grpc_code(parts.status), "ERR_DIRECT_INVOKE", message));
    }
    let kind = parts.headers.get(http::header::CONTENT_TYPE);
    let content_type = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let type_url = TypeUrl::of(&parts.extensions);
    let data = prost_types::Any { type_url, value: data.into() };
    Ok(InvokeResponse { data: Some(data), content_type })
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::None | Verb::Post => Method::POST,
        Verb::Get => Method::GET,
        Verb::Head => Method::HEAD,
        Verb::Put => Method::PUT,
        Verb::Delete => Method::DELETE,
        Verb::Connect => Method::CONNECT,
        Verb::Options => Method::OPTIONS,
        Verb::Trace => Method::TRACE,
        Verb::Patch => Method::PATCH,
    }
}

/// The code of gRPC for a status of HTTP (dapr/dapr `pkg/messaging/v1/util.go`: `CodeFromHTTPStatus`).
fn grpc_code(status: StatusCode) -> Code {
    match status.as_u16() {
        408 => Code::DeadlineExceeded,
        499 => Code::Cancelled,
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::AlreadyExists,
        412 => Code::FailedPrecondition,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Unknown,
    }
}

/// Says who calls whom, and from where, in headers that the client cannot set itself.
fn describe(dapr: &Dapr, app: &str, request: &mut Request<Body>) {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let host = request.headers().get(http::header::HOST).cloned();
    let headers = request.headers_mut();
    set(headers, "dapr-caller-app-id", dapr.app_id());
    set(headers, "dapr-callee-app-id", app);
    headers.remove("dapr-api-token");
    dapr.app.mark_token(headers);
    if let Some(ip) = peer {
        set(headers, "x-forwarded-for", &ip.to_string());
        let shown = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        set(headers, "forwarded", &format!("for={ip};by={};host={shown}", dapr.app_id()));
    }
    if let Some(host) = host {
        headers.insert(HeaderName::from_static("x-forwarded-host"), host);
    }
    if !headers.contains_key("traceparent") {
        set(headers, "traceparent", &ids::trace_parent());
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
