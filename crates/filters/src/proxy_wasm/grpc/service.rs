//! Whom a call is for, and the request that makes it (gRPC over HTTP/2, "Requests").

use super::Asked;
use crate::code::Destinations;
use crate::proxy_wasm::head::Fields;
use crate::proxy_wasm::map;
use crate::proxy_wasm::protobuf::{Value, bytes_of, fields};
use http::header::{CONTENT_TYPE, HOST, HeaderName, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use sampan_service::{Body, Depth, Handler};
use std::sync::Arc;
use std::time::Duration;

pub struct Service {
    pub handler: Arc<dyn Handler>,
    authority: String,
    /// What the message that names it has as metadata.
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// By name, or by Envoy's message `GrpcService` (envoy/config/core/v3/grpc_service.proto): of that, the fields
/// `envoy_grpc.cluster_name`, `envoy_grpc.authority` and `initial_metadata`.
pub fn find(destinations: &Destinations, upstream: &[u8]) -> Option<Service> {
    if let Some((name, handler)) = named(destinations, upstream) {
        return Some(Service { handler, authority: name, metadata: Vec::new() });
    }
    let service = fields(upstream)?;
    let envoy_grpc = fields(bytes_of(&service, 1))?;
    let (name, handler) = named(destinations, bytes_of(&envoy_grpc, 1))?;
    let authority = match bytes_of(&envoy_grpc, 2) {
        [] => name,
        authority => str::from_utf8(authority).ok()?.to_owned(),
    };
    let mut metadata = Vec::new();
    for (number, value) in &service {
        if let (5, Value::Bytes(pair)) = (number, value) {
            let pair = fields(pair)?;
            metadata.push((bytes_of(&pair, 1).to_vec(), bytes_of(&pair, 2).to_vec()));
        }
    }
    Some(Service { handler, authority, metadata })
}

fn named(destinations: &Destinations, name: &[u8]) -> Option<(String, Arc<dyn Handler>)> {
    let name = str::from_utf8(name).ok()?;
    Some((name.to_owned(), destinations.find(name)?))
}

/// `None` where something cannot be said in HTTP.
pub fn request(
    service: &Service,
    asked: &Asked<'_>,
    timeout: Option<Duration>,
    depth: Depth,
    body: Body,
) -> Option<Request<Body>> {
    let path = [b"/", asked.service, b"/", asked.method].concat();
    let mut headers = HeaderMap::new();
    for (name, value) in &service.metadata {
        headers.add(name, value).ok()?;
    }
    for (name, value) in map::decode(asked.metadata)?.iter().filter(|(name, _)| !name.starts_with(b":")) {
        headers.add(name, value).ok()?;
    }
    headers.insert(HOST, HeaderValue::from_str(&service.authority).ok()?);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(timeout) = timeout {
        headers.insert(HeaderName::from_static("grpc-timeout"), timeout_value(timeout)?);
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::try_from(path).ok()?;
    *request.headers_mut() = headers;
    request.extensions_mut().insert(Depth(depth.0.saturating_add(1)));
    Some(request)
}

/// At most eight digits and a unit.
fn timeout_value(timeout: Duration) -> Option<HeaderValue> {
    let text = match timeout.as_millis() {
        ms @ ..100_000_000 => format!("{ms}m"),
        ms => format!("{}S", (ms / 1000).min(99_999_999)),
    };
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_wasm::protobuf::put_bytes;
    use http::Response;
    use sampan_service::{Answer, empty};

    struct Nobody;

    impl Handler for Nobody {
        fn handle(&self, _: Request<Body>) -> Answer<'_> {
            Box::pin(async { Response::new(empty()) })
        }
    }

    fn message(parts: &[(u32, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        parts.iter().for_each(|(number, bytes)| put_bytes(&mut message, *number, bytes));
        message
    }

    #[test]
    fn a_service_is_named_in_two_ways() {
        let nobody: Arc<dyn Handler> = Arc::new(Nobody);
        let destinations = Destinations::default();
        destinations.set("greeter", &nobody);
        let plain = message(&[(1, &message(&[(1, b"greeter")]))]);
        let pair = message(&[(1, b"x-key"), (2, b"secret")]);
        let full = message(&[(1, &message(&[(1, b"greeter"), (2, b"other.example")])), (5, &pair)]);
        for (upstream, authority, metadata) in
            [(&b"greeter"[..], "greeter", 0), (&plain, "greeter", 0), (&full, "other.example", 1)]
        {
            let found = find(&destinations, upstream).unwrap();
            assert_eq!((&found.authority[..], found.metadata.len()), (authority, metadata));
        }
        let google = message(&[(2, b"x")]);
        let missing = message(&[(1, &message(&[(1, b"missing")]))]);
        for upstream in [&b""[..], b"missing", b"\xff", &google, &missing] {
            assert!(find(&destinations, upstream).is_none(), "{upstream:x?}");
        }
    }

    #[test]
    fn timeouts_have_eight_digits() {
        for (timeout, value) in [
            (Duration::from_millis(1), "1m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_secs(100_000), "100000S"),
        ] {
            assert_eq!(timeout_value(timeout).unwrap(), value);
        }
    }
}
