//! The output binding of HTTP: a request to the component's url, as Dapr's `bindings.http` (dapr/components-contrib,
//! bindings/http/http.go).
//!
//! It goes out by the one door for HTTP, which was granted the url's origin and nothing else: neither a `path` of
//! the caller nor a redirect of the server leads to another one.

use super::{BindingError, HttpError, Invoked, no_such_operation};
use crate::http::redirect::{self, Resendable};
use crate::http::{Body, Door, Timeouts};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::BodyExt;
use sampan_app::Secret;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

pub const OPERATIONS: &[&str] =
    &["create", "get", "head", "post", "put", "patch", "delete", "options", "trace"];

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// Metadata in small letters that are headers all the same.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

pub struct Http {
    pub door: Door,
    pub url: String,
    pub error_if_not_2xx: bool,
    /// For the whole exchange.
    pub response_timeout: Option<Duration>,
    pub response_bytes_max: usize,
    /// A header for every request.
    pub token: Option<(HeaderName, Secret)>,
}

impl Http {
    pub async fn invoke(
        &self,
        operation: &str,
        data: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Invoked, BindingError> {
        let request = self.request(operation, data, metadata)?;
        let exchange = self.exchange(request);
        let invoked = match self.response_timeout {
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .map_err(|_| BindingError::Unavailable(format!("there was no response within {limit:?}")))?,
            None => exchange.await,
        };
        let (code, invoked) = invoked?;
        let strict = match metadata.get("errorIfNot2XX").filter(|text| !text.is_empty()) {
            Some(text) => is_truthy(text),
            None => self.error_if_not_2xx,
        };
        match strict && !(200..300).contains(&code) {
            true => Err(BindingError::Status { code, invoked: Box::new(invoked) }),
            false => Ok(invoked),
        }
    }

    fn request(
        &self,
        operation: &str,
        data: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Resendable, BindingError> {
        let lower = operation.to_ascii_lowercase();
        let method = match lower.as_str() {
            "create" => Method::POST,
            known if OPERATIONS.contains(&known) => Method::from_bytes(lower.to_ascii_uppercase().as_bytes())
                .map_err(|_| no_such_operation(operation, OPERATIONS))?,
            _ => return Err(no_such_operation(operation, OPERATIONS)),
        };
        let text = match metadata.get("path").filter(|path| !path.is_empty()) {
            Some(path) => format!("{}/{}", self.url.trim_end_matches('/'), path.trim_start_matches('/')),
            None => self.url.clone(),
        };
        let url = Url::parse(&text);
        let url =
            url.map_err(|_| BindingError::Metadata("the metadata's path is none of a URL".to_owned()))?;
        let has_body = [Method::PUT, Method::POST, Method::PATCH].contains(&method);
        let body = if has_body { Bytes::copy_from_slice(data) } else { Bytes::new() };
        Ok(Resendable { url, method, headers: self.headers(metadata, has_body)?, body })
    }

    fn headers(
        &self,
        metadata: &BTreeMap<String, String>,
        has_body: bool,
    ) -> Result<HeaderMap, BindingError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, JSON);
        if has_body {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if let Some((name, token)) = &self.token {
            let value = HeaderValue::from_str(token.reveal());
            let wrong =
                |_| BindingError::Other("the component's securityToken is no header's value".to_owned());
            headers.insert(name.clone(), value.map_err(wrong)?);
        }
        // Those in small letters come last: a trace is not the caller's to choose.
        let is_header = |name: &str| name.starts_with(|letter: char| letter.is_ascii_uppercase());
        let of_caller = metadata.iter().filter(|(name, _)| is_header(name));
        let of_trace = TRACE_HEADERS.iter().filter_map(|name| metadata.get_key_value(*name));
        for (name, value) in of_caller.chain(of_trace.filter(|(_, value)| !value.is_empty())) {
            let wrong = || BindingError::Metadata(format!("the metadata's `{name}` is no header"));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            headers.insert(header, HeaderValue::from_str(value).map_err(|_| wrong())?);
        }
        Ok(headers)
    }

    async fn exchange(&self, request: Resendable) -> Result<(u16, Invoked), BindingError> {
        let timeouts = Timeouts { connect: CONNECT_TIMEOUT, ..Timeouts::default() };
        let response = redirect::send(&self.door, request, timeouts).await.map_err(failed)?;
        let status = response.status();
        let mut metadata = header_texts(response.headers());
        metadata.insert("statusCode".to_owned(), status.as_str().to_owned());
        let reason = status.canonical_reason().unwrap_or_default();
        metadata.insert("status".to_owned(), format!("{} {reason}", status.as_str()).trim_end().to_owned());
        let data = Some(read(response, self.response_bytes_max).await?);
        Ok((status.as_u16(), Invoked { data, metadata }))
    }
}

async fn read(response: Response<Body>, max: usize) -> Result<Vec<u8>, BindingError> {
    let (mut body, mut data) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(failed)?.into_data() else { continue };
        if data.len() + piece.len() > max {
            return Err(BindingError::TooLarge { what: "the response", max });
        }
        data.extend_from_slice(&piece);
    }
    Ok(data)
}

fn failed(error: HttpError) -> BindingError {
    match error {
        HttpError::Denied => {
            let text =
                "the server redirects to another origin than the component's url, which is not followed";
            BindingError::Other(text.to_owned())
        }
        other => BindingError::Http(other),
    }
}

/// Headers as Go writes them (`Content-Type`); those of one name become one.
fn header_texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(canonical(name.as_str()))
            .and_modify(|text| *text = format!("{text}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    texts
}

/// `net/textproto`'s `CanonicalMIMEHeaderKey`.
fn canonical(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    parts.collect::<Vec<_>>().join("-")
}

/// dapr/kit, strings: `IsTruthy`.
fn is_truthy(text: &str) -> bool {
    ["y", "yes", "true", "t", "on", "1"].contains(&text.to_ascii_lowercase().as_str())
}
