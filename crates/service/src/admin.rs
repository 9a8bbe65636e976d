//! What an operator asks: is it alive, is it ready, what does it measure, load the manifest anew. For a
//! listener of its own, never the app's.

use crate::handler::{Answer, Body, Handler, Peer, full};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Whether the app can serve.
pub type Ready = Box<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>;

/// Loads anew; text for a person either way.
pub type Reload = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// The operator's handler. It trusts whoever can reach it: bind it to loopback.
pub struct Admin {
    /// Reasons why not, for `/readyz`.
    pub ready: Ready,
    /// For `POST /reload`; `None` where nothing can be loaded anew.
    pub reload: Option<Reload>,
    /// Asked for all other paths, under the same protection against browsers.
    pub more: Option<Arc<dyn Handler>>,
}

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

impl Handler for Admin {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let (head, body) = request.into_parts();
        Box::pin(async move {
            if !meant_for_us(&head) {
                let why = "this address answers only to localhost and 127.0.0.1\n";
                return text(StatusCode::MISDIRECTED_REQUEST, why);
            }
            let reading = matches!(head.method, Method::GET | Method::HEAD);
            match head.uri.path() {
                "/healthz" if reading => text(StatusCode::OK, "ok\n"),
                "/readyz" if reading => self.readiness(),
                "/metrics" if reading => {
                    answer(StatusCode::OK, METRICS_TYPE, sampan_telemetry::metrics().render())
                }
                "/reload" if head.method == Method::POST && !is_from_page(&head.headers) => {
                    self.reload().await
                }
                "/healthz" | "/readyz" | "/metrics" => not_allowed("GET, HEAD"),
                "/reload" if head.method == Method::POST => from_page(),
                "/reload" => not_allowed("POST"),
                _ => self.more(Request::from_parts(head, body)).await,
            }
        })
    }
}

impl Admin {
    fn readiness(&self) -> Response<Body> {
        let (status, reasons) = match (self.ready)() {
            Ok(()) => (StatusCode::OK, Vec::new()),
            Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
        };
        let body = json!({ "ready": status == StatusCode::OK, "reasons": reasons });
        answer(status, JSON, format!("{body}\n"))
    }

    async fn more(&self, request: Request<Body>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) && is_from_page(request.headers()) {
            return from_page();
        }
        match &self.more {
            Some(more) => more.handle(request).await,
            None => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz, /metrics and POST /reload\n"),
        }
    }

    async fn reload(&self) -> Response<Body> {
        let Some(reload) = &self.reload else {
            return text(StatusCode::NOT_FOUND, "there is nothing to load anew\n");
        };
        match reload().await {
            Ok(done) => text(StatusCode::OK, line(done)),
            Err(why) => text(StatusCode::CONFLICT, line(why)),
        }
    }
}

/// A page in a browser may send a request anywhere, and says so.
fn is_from_page(headers: &HeaderMap) -> bool {
    let site = HeaderName::from_static("sec-fetch-site");
    let foreign = headers.get(site).is_some_and(|site| site != "same-origin" && site != "none");
    foreign || headers.contains_key(ORIGIN)
}

fn from_page() -> Response<Body> {
    text(StatusCode::FORBIDDEN, "not from a page in a browser\n")
}

/// A name that someone else's DNS points at this machine lets a page in a browser reach it ("DNS rebinding").
/// On loopback only its own names are known.
fn meant_for_us(head: &Parts) -> bool {
    let local = head.extensions.get::<Peer>().is_none_or(|peer| peer.local.ip().is_loopback());
    let host = head.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| head.headers.get(HOST)?.to_str().ok());
    !local || host.is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn line(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    answer(status, TEXT, body.into())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_loopback() {
        for (host, local) in [
            ("localhost", true),
            ("LocalHost:9090", true),
            ("127.0.0.1:9090", true),
            ("127.1.2.3", true),
            ("[::1]:9090", true),
            ("[::1]", true),
            ("example.com:9090", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
            ("192.168.1.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), local, "{host}");
        }
    }
}
