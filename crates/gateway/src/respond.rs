//! Responses that need neither a guest nor a file: redirects, fixed texts, and the gateway's own errors.

use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, Response, StatusCode};
use sampan_service::{Body, empty, full};

/// A response that is the same for every request.
#[derive(Debug)]
pub struct Fixed {
    status: StatusCode,
    headers: HeaderMap,
    body: bytes::Bytes,
}

impl Fixed {
    pub fn redirect(status: u16, location: &str) -> Result<Fixed, String> {
        let status = StatusCode::from_u16(status).ok().filter(StatusCode::is_redirection);
        let status = status.ok_or("a redirect's status is 301, 302, 303, 307 or 308")?;
        let location =
            HeaderValue::from_str(location).map_err(|_| "the location holds control characters")?;
        let headers = HeaderMap::from_iter([(LOCATION, location)]);
        Ok(Fixed { status, headers, body: bytes::Bytes::new() })
    }

    pub fn new(status: u16, headers: &[(String, String)], body: &str) -> Result<Fixed, String> {
        let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
        let status = status.ok_or("a response's status is between 200 and 999")?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no header's name"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot have that value"))?;
            map.append(key, value);
        }
        let body = bytes::Bytes::copy_from_slice(body.as_bytes());
        if !body.is_empty() {
            map.entry(CONTENT_TYPE).or_insert(TEXT);
        }
        Ok(Fixed { status, headers: map, body })
    }

    pub fn respond(&self) -> Response<Body> {
        let mut response = Response::new(full(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A status with one line of text.
pub fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

pub fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// 405, or 204 where the client only asks what is allowed.
pub fn other_methods(method: &Method, mut allowed: Vec<Method>) -> Response<Body> {
    if allowed.contains(&Method::GET) && !allowed.contains(&Method::HEAD) {
        allowed.push(Method::HEAD);
    }
    if !allowed.contains(&Method::OPTIONS) {
        allowed.push(Method::OPTIONS);
    }
    let names = Vec::from_iter(allowed.iter().map(Method::as_str)).join(", ");
    let mut response = match *method {
        Method::OPTIONS => no_content(),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
    };
    // Names of methods are tokens, which are valid values.
    response.headers_mut().extend(HeaderValue::try_from(names).ok().map(|names| (ALLOW, names)));
    response
}

pub fn no_content() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
