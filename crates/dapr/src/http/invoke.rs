//! Service invocation: `/v1.0/invoke/APP/method/…`, or any path with the header `dapr-app-id`. The callee's answer
//! goes back unchanged.

use super::answer::{self, Call};
use crate::error::Problem;
use crate::invoke::{self, Callee};
use crate::runtime::Dapr;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode, Uri};
use sampan_service::Body;
use tonic::Code;

const PREFIX: &str = "/v1.0/invoke/";
const METHOD: &str = "/method";
pub const APP_ID: &str = "dapr-app-id";

pub async fn by_path(dapr: &Dapr, call: Call<'_>) -> Result<Response<Body>, Problem> {
    let path = call.parts.uri.path();
    let rest = path.find(PREFIX).map(|at| &path[at + PREFIX.len()..]);
    let split = rest.and_then(|rest| {
        let at = rest.find("/method/").or_else(|| rest.strip_suffix(METHOD).map(str::len))?;
        Some((&rest[..at], rest[at + METHOD.len()..].trim_start_matches('/')))
    });
    let Some((app, method)) = split.filter(|(app, _)| !app.is_empty()) else { return Err(no_app_id()) };
    let app = answer::decode(app).ok_or_else(no_app_id)?;
    // The path's cleaning may have taken one of the slashes of a URL.
    let app = match app.split_once(":/") {
        Some((scheme @ ("http" | "https"), rest)) => format!("{scheme}://{}", rest.trim_start_matches('/')),
        _ => app,
    };
    let method = format!("/{method}");
    send(dapr, call, &app, &method).await
}

/// A request for a path that is none of the API.
pub async fn by_header(dapr: &Dapr, call: Call<'_>, path: &str) -> Result<Response<Body>, Problem> {
    match app_of(call.headers()) {
        Some(app) => send(dapr, call, &app, path).await,
        None => Err(no_app_id()),
    }
}

/// The app that the headers name: `dapr-app-id`, or a user of Basic authentication of that name, whose password
/// is the app.
fn app_of(headers: &HeaderMap) -> Option<String> {
    if let Some(app) = headers.get(APP_ID) {
        return app.to_str().ok().map(str::to_owned);
    }
    let basic = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64.decode(basic).ok()?).ok()?;
    let (user, app) = decoded.split_once(':')?;
    (user == APP_ID).then(|| app.to_owned())
}

async fn send(dapr: &Dapr, mut call: Call<'_>, app: &str, path: &str) -> Result<Response<Body>, Problem> {
    let callee = invoke::find(dapr, call.caller, app)?;
    let mut headers = call.parts.headers.clone();
    if headers.remove(APP_ID).is_none() && matches!(callee, Callee::Here(_)) {
        // The password was the app's name, and says nothing to the app.
        if app_of(&headers).is_some() {
            headers.remove(AUTHORIZATION);
        }
    }
    let target = match call.parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let uri: Uri = target.parse().map_err(|_| {
        let message = "invalid method name";
        Problem::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "ERR_DIRECT_INVOKE", message)
    })?;
    let mut request = http::Request::new(call.take_body());
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = call.parts.version;
    *request.headers_mut() = headers;
    *request.extensions_mut() = call.parts.extensions.clone();
    invoke::send(dapr, callee, app, request).await
}

fn no_app_id() -> Problem {
    let message = "failed getting app id either from the URL path or the header dapr-app-id";
    Problem::new(StatusCode::NOT_FOUND, Code::NotFound, "ERR_DIRECT_INVOKE", message)
}
