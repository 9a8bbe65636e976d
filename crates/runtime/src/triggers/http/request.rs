//! The request as the guest sees it: its URL made whole, Spin's headers, and a body with a limit.

use crate::serve::Unit;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme, Uri};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{Body, Matched, Peer};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// Headers of Spin begin with this; those of a client are not believed (spinframework/spin,
/// crates/trigger-http/src/headers.rs names them).
const SPIN: &str = "spin-";
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
const PATH_MATCH: &str = "spin-path-match-";

/// Makes the URI absolute, adds headers, and bounds the body.
///
/// # Errors
///
/// The status to answer with.
pub(super) fn prepare(unit: &Unit, request: Request<Body>) -> Result<Request<WasiBody>, StatusCode> {
    let limit = unit.component.serving.body_bytes;
    let (mut parts, body) = request.into_parts();
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        unit.metrics.refused("body_too_large");
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let peer = parts.extensions.get::<Peer>().copied();
    parts.uri = absolute(&parts.uri, &parts.headers, peer.as_ref())?;
    if parts.headers.keys().any(|name| name.as_str().starts_with(SPIN)) {
        remove_spoofed(&mut parts.headers);
    }
    if unit.component.serving.spin_headers
        && let Some(matched) = parts.extensions.get::<Matched>()
    {
        add_spin_headers(&mut parts.headers, &parts.uri, matched, peer.as_ref());
    }
    let body = if body.is_end_stream() {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        Inbound { body, left: limit }.boxed_unsync()
    };
    Ok(Request::from_parts(parts, body))
}

/// Scheme and authority from the URI, else from the connection and the `Host` header.
fn absolute(uri: &Uri, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Uri, StatusCode> {
    let mut parts = uri.clone().into_parts();
    if parts.authority.is_none() {
        let authority = match headers.get(HOST).map(HeaderValue::as_bytes) {
            Some(host) if !host.is_empty() => {
                Authority::try_from(host).map_err(|_| StatusCode::BAD_REQUEST)?
            }
            // HTTP/1.0 may leave it out.
            _ => local_authority(peer),
        };
        parts.authority = Some(authority);
    }
    if parts.scheme.is_none() {
        let tls = peer.is_some_and(|peer| peer.tls);
        parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    }
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).map_err(|_| StatusCode::BAD_REQUEST)
}

fn local_authority(peer: Option<&Peer>) -> Authority {
    let address = peer.map(|peer| peer.local.to_string());
    address
        .and_then(|address| Authority::try_from(address).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"))
}

fn remove_spoofed(headers: &mut HeaderMap) {
    let known =
        [PATH_INFO, FULL_URL, MATCHED_ROUTE, BASE_PATH, COMPONENT_ROUTE, RAW_COMPONENT_ROUTE, CLIENT_ADDR];
    let spoofed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| known.contains(name) || name.as_str().starts_with(PATH_MATCH))
        .cloned()
        .collect();
    for name in spoofed {
        headers.remove(name);
    }
}

fn add_spin_headers(headers: &mut HeaderMap, uri: &Uri, matched: &Matched, peer: Option<&Peer>) {
    let mut add = |name: HeaderName, text: &str| {
        // What is no header value is left out: better than a request that fails.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    add(PATH_INFO, &matched.rest);
    add(FULL_URL, &uri.to_string());
    add(MATCHED_ROUTE, &matched.route);
    add(BASE_PATH, "/");
    add(COMPONENT_ROUTE, &matched.base);
    add(RAW_COMPONENT_ROUTE, &matched.route);
    if let Some(peer) = peer {
        add(CLIENT_ADDR, &peer.address.to_string());
    }
    for (name, value) in &matched.names {
        if let Ok(name) = HeaderName::try_from(format!("{PATH_MATCH}{}", name.to_ascii_lowercase())) {
            add(name, value);
        }
    }
}

/// The client's body on its way to the guest, which sees an error when it is too long.
struct Inbound {
    body: Body,
    left: u64,
}

impl hyper::body::Body for Inbound {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(WasiError::HttpRequestBodySize(None))),
                }
            }
            Some(Err(error)) => Some(Err(WasiError::InternalError(Some(error.to_string())))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer { address: "192.0.2.7:5000".parse().unwrap(), local: "127.0.0.1:80".parse().unwrap(), tls: true }
    }

    #[test]
    fn a_url_is_made_whole() {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/a?b=c");
        assert_eq!(absolute(&uri, &headers, None).unwrap(), "http://localhost/a?b=c");
        assert_eq!(absolute(&uri, &headers, Some(&peer())).unwrap(), "https://127.0.0.1:80/a?b=c");
        headers.insert(HOST, HeaderValue::from_static("shop.example:8080"));
        assert_eq!(absolute(&uri, &headers, Some(&peer())).unwrap(), "https://shop.example:8080/a?b=c");
        headers.insert(HOST, HeaderValue::from_static("not a host"));
        assert_eq!(absolute(&uri, &headers, None), Err(StatusCode::BAD_REQUEST));
        let whole = Uri::from_static("http://other/x");
        assert_eq!(absolute(&whole, &headers, None).unwrap(), "http://other/x");
    }

    #[test]
    fn spins_headers_are_sampans_alone() {
        let mut headers = HeaderMap::new();
        for name in ["spin-client-addr", "spin-path-match-id", "spin-mine"] {
            headers.insert(name, HeaderValue::from_static("spoofed"));
        }
        remove_spoofed(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["spin-mine"]);
        let matched = Matched {
            route: "/users/:id/...".into(),
            base: "/users/:id".into(),
            rest: "/posts".into(),
            names: vec![("Id".into(), "7".into()), ("bad".into(), "line\nbreak".into())],
        };
        add_spin_headers(
            &mut headers,
            &Uri::from_static("http://h/users/7/posts?q"),
            &matched,
            Some(&peer()),
        );
        for (name, value) in [
            ("spin-path-info", "/posts"),
            ("spin-full-url", "http://h/users/7/posts?q"),
            ("spin-matched-route", "/users/:id/..."),
            ("spin-base-path", "/"),
            ("spin-component-route", "/users/:id"),
            ("spin-raw-component-route", "/users/:id/..."),
            ("spin-client-addr", "192.0.2.7:5000"),
            ("spin-path-match-id", "7"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert!(!headers.contains_key("spin-path-match-bad"));
    }
}
