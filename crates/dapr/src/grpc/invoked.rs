//! Service invocation of an app that speaks gRPC: a request of HTTP becomes `AppCallback.OnInvoke`, and its answer
//! one of HTTP, as in dapr/dapr `pkg/channel/grpc` and `pkg/messaging/v1/util.go`.

use super::is_grpc;
use crate::app::{App, CallError, Grpc, Protocol, To};
use crate::http::answer::{self, collect};
use crate::proto::common::v1::http_extension::Verb;
use crate::proto::common::v1::{HttpExtension, InvokeRequest, InvokeResponse};
use crate::proto::runtime::v1::app_callback_client::AppCallbackClient;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sampan_service::{Answer, Body, Handler};
use serde_json::json;
use std::sync::Arc;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::{Code, Status};

/// The type of a message between two that speak gRPC: of a request's data, or of an answer's.
#[derive(Clone)]
pub struct TypeUrl(pub String);

impl TypeUrl {
    /// Empty where there is none.
    pub fn of(extensions: &Extensions) -> String {
        extensions.get::<TypeUrl>().map_or_else(String::new, |url| url.0.clone())
    }
}

/// What a message is that has a type.
const PROTOBUF: &str = "application/x-protobuf";

/// Headers of HTTP that gRPC has of its own; the app finds them with this before their names.
const PREFIX: &str = "dapr-";
const OWN: [&str; 14] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "origin",
    "user-agent",
];

/// Whoever answers for an app that is invoked.
pub fn handler(app: &App) -> Result<Arc<dyn Handler>, CallError> {
    let beside = app.handler(To::App)?;
    if app.protocol == Protocol::Http {
        return Ok(beside);
    }
    Ok(Arc::new(Invoked { client: app.grpc()?, beside, body_bytes_max: app.body_bytes_max }))
}

struct Invoked {
    client: AppCallbackClient<Grpc>,
    /// For requests that are gRPC's own: they are for another service of the app.
    beside: Arc<dyn Handler>,
    body_bytes_max: usize,
}

impl Handler for Invoked {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        if is_grpc(request.headers()) {
            return self.beside.handle(request);
        }
        Box::pin(async move {
            let call = match call(request, self.body_bytes_max).await {
                Ok(call) => call,
                Err(response) => return response,
            };
            match self.client.clone().on_invoke(call).await {
                Ok(answer) => answered(answer),
                Err(status) => refused(&status),
            }
        })
    }
}

async fn call(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<tonic::Request<InvokeRequest>, Response<Body>> {
    let (parts, body) = request.into_parts();
    let value = collect(body, bytes_max).await.map_err(|problem| answer::problem(&problem))?;
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let type_url = TypeUrl::of(&parts.extensions);
    let querystring = parts.uri.query().unwrap_or_default().to_owned();
    let message = InvokeRequest {
        method: parts.uri.path().trim_start_matches('/').to_owned(),
        data: Some(prost_types::Any { type_url, value: value.into() }),
        content_type: content_type.to_owned(),
        http_extension: Some(HttpExtension { verb: verb(&parts.method).into(), querystring }),
    };
    let mut call = tonic::Request::new(message);
    *call.metadata_mut() = MetadataMap::from_headers(metadata(&parts.headers));
    Ok(call)
}

/// What the app sees of the headers.
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut seen = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let text = name.as_str();
        // Of the connection before this one; and gRPC's own, which would be read as such.
        if matches!(text, "connection" | "te" | "transfer-encoding" | "upgrade") || text.starts_with("grpc-")
        {
            continue;
        }
        // Such a value is base64 in gRPC, and nobody says that it is.
        if text.ends_with("-bin") {
            continue;
        }
        if !OWN.contains(&text) {
            seen.append(name.clone(), value.clone());
        } else if let Ok(name) = http::HeaderName::try_from(format!("{PREFIX}{text}")) {
            seen.append(name, value.clone());
        }
    }
    seen
}

fn answered(answer: tonic::Response<InvokeResponse>) -> Response<Body> {
    let (metadata, InvokeResponse { data, content_type }, _) = answer.into_parts();
    let data = data.unwrap_or_default();
    let mut response = answer::status(StatusCode::OK, sampan_service::full(data.value));
    for entry in metadata.iter() {
        if let KeyAndValueRef::Ascii(name, value) = entry
            && !matches!(name.as_str(), "content-type" | "date")
            && let Ok(value) = HeaderValue::from_bytes(value.as_encoded_bytes())
        {
            answer::put(response.headers_mut(), name.as_str(), value.to_str().unwrap_or_default());
        }
    }
    let content_type = if data.type_url.is_empty() { content_type } else { PROTOBUF.to_owned() };
    if !content_type.is_empty() {
        answer::put(response.headers_mut(), CONTENT_TYPE.as_str(), &content_type);
    }
    if !data.type_url.is_empty() {
        response.extensions_mut().insert(TypeUrl(data.type_url));
    }
    response
}

/// The app's error: its code as a status of HTTP, and both of it in the body.
fn refused(status: &Status) -> Response<Body> {
    let mut response = answer::json(&json!({ "code": status.code() as i32, "message": status.message() }));
    *response.status_mut() = http_status(status.code());
    response
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::GET => Verb::Get,
        Method::HEAD => Verb::Head,
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::DELETE => Verb::Delete,
        Method::CONNECT => Verb::Connect,
        Method::OPTIONS => Verb::Options,
        Method::TRACE => Verb::Trace,
        Method::PATCH => Verb::Patch,
        _ => Verb::None,
    }
}
