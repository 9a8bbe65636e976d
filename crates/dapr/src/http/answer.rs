//! A request as the routes see it, and the answers that they give.

use crate::error::Problem;
use crate::runtime::Caller;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use percent_encoding::percent_decode_str;
use sampan_service::{Body, empty, full};
use serde::Serialize;
use std::collections::BTreeMap;
use tonic::Code;

/// Query parameters with this prefix are metadata of the request.
const METADATA: &str = "metadata.";

/// One request.
pub struct Call<'a> {
    pub caller: &'a Caller,
    pub parts: &'a Parts,
    /// Taken by whoever needs it first.
    body: Body,
    pub body_bytes_max: usize,
    /// Decoded, in order.
    query: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    pub fn new(caller: &'a Caller, parts: &'a Parts, body: Body, body_bytes_max: usize) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Call { caller, parts, body, body_bytes_max, query }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The first value of a parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.query.iter().filter(|(one, _)| one == name).map(|(_, value)| value.clone()).collect()
    }

    /// The metadata of the request: `metadata.NAME=VALUE` in the query.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let named = self.query.iter().filter_map(|(name, value)| {
            let (start, rest) = name.split_at_checked(METADATA.len())?;
            start.eq_ignore_ascii_case(METADATA).then(|| (rest.to_owned(), value.clone()))
        });
        named.collect()
    }

    /// The whole body, within the limit. It is there once.
    pub async fn body(&mut self) -> Result<Bytes, Problem> {
        collect(self.take_body(), self.body_bytes_max).await
    }

    pub fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, empty())
    }
}

/// The whole of a body of at most so many bytes.
pub async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("the body ended early: {error}");
            Problem::new(StatusCode::BAD_REQUEST, Code::Aborted, "ERR_BODY_READ", message)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > bytes_max {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::ResourceExhausted,
                "ERR_BODY_READ",
                format!("the body is larger than {bytes_max} bytes"),
            ));
        }
        // Most bodies are one piece, which is not copied.
        if all.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// A part of a path, decoded as Go's `url.QueryUnescape` does, which Dapr uses there too; `None` if it is no text.
pub fn decode(part: &str) -> Option<String> {
    let spaces = part.replace('+', " ");
    percent_decode_str(&spaces).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

pub fn status(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

pub fn no_content() -> Response<Body> {
    status(StatusCode::NO_CONTENT, empty())
}

pub fn bytes(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => bytes("application/json", text),
        Err(error) => problem(&Problem::internal("ERR_INTERNAL", error.to_string())),
    }
}

pub fn problem(problem: &Problem) -> Response<Body> {
    let mut response = bytes("application/json", problem.body());
    *response.status_mut() = problem.status;
    response
}

/// Sets a header, unless a backend's text cannot be one.
pub fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
