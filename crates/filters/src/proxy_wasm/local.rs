//! Answers of filters themselves, in the form that the client expects.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sampan_service::{Body, empty, full};

/// What `proxy_send_local_response` asked for.
pub struct LocalResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub details: Vec<u8>,
    /// `None`: not said.
    pub grpc: Option<u32>,
}

/// In the extensions of a response that a filter made: what it says of it.
#[derive(Clone)]
pub struct Details(pub Vec<u8>);

impl LocalResponse {
    pub fn plain(status: StatusCode) -> Self {
        LocalResponse { status, headers: HeaderMap::new(), body: Vec::new(), details: Vec::new(), grpc: None }
    }

    /// A client of gRPC gets its status in headers, as an answer without messages has it (gRPC over HTTP/2,
    /// "Trailers-Only").
    pub fn into_response(mut self, to_grpc: bool) -> Response<Body> {
        let details = std::mem::take(&mut self.details);
        let mut response = if to_grpc { self.into_grpc() } else { self.into_http() };
        if !details.is_empty() {
            response.extensions_mut().insert(Details(details));
        }
        response
    }

    fn into_http(self) -> Response<Body> {
        let plain = !self.body.is_empty() && !self.headers.contains_key(CONTENT_TYPE);
        let mut response = Response::new(if self.body.is_empty() { empty() } else { full(self.body) });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if plain {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        response
    }

    fn into_grpc(self) -> Response<Body> {
        let status = self.grpc.unwrap_or_else(|| grpc_status(self.status));
        let mut response = Response::new(empty());
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(HeaderName::from_static("grpc-status"), status.into());
        if !self.body.is_empty() {
            let message = HeaderValue::from_str(&percent_encoded(&self.body));
            headers.extend(message.ok().map(|message| (HeaderName::from_static("grpc-message"), message)));
        }
        response
    }
}

/// As gRPC's specification percent-encodes messages.
fn percent_encoded(message: &[u8]) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message {
        match byte {
            b'%' => text.push_str("%25"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// gRPC's own mapping (doc/http-grpc-status-mapping.md).
pub fn grpc_status(status: StatusCode) -> u32 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_grpc_gets_a_status_of_grpc() {
        for (grpc, status, expected) in [(None, 403, "7"), (Some(9), 403, "9"), (None, 500, "2")] {
            let status = StatusCode::from_u16(status).unwrap();
            let local = LocalResponse { grpc, body: b"50% of it\n".to_vec(), ..LocalResponse::plain(status) };
            let response = local.into_response(true);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], expected);
            assert_eq!(response.headers()["grpc-message"], "50%25 of it%0A");
        }
    }
}
