//! One request handed on to a server guest: the headers that belong to a connection stay behind, bodies
//! stream both ways, and an upgrade joins the two connections.

use super::pool::{Lease, Pool, Sent};
use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sampan_service::{Body, BodyError, Peer, remove_named_by_connection};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Why there is no response of the guest.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("it takes no connection: {0}")]
    Connect(std::io::Error),
    #[error("it ended the connection without a whole answer: {0}")]
    Broken(hyper::Error),
    #[error("it ended before it took the request")]
    Gone,
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    #[error("the request's body is larger than {0} bytes (limits.body)")]
    TooLarge(u64),
    #[error("it switched to another protocol, which nobody had asked for")]
    Switched,
}

impl ProxyError {
    pub fn status(&self) -> StatusCode {
        match self {
            ProxyError::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
            ProxyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The label in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            ProxyError::Silent(_) => "timeout",
            ProxyError::TooLarge(_) => "body",
            _ => "connection",
        }
    }
}

/// What came back.
pub enum Answered {
    Response(Response<Incoming>),
    /// The head that the client gets, and what then carries bytes both ways until both sides have ended.
    Upgraded(Response<Body>, Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Sends a request and returns the head of the response, with its body still to come. `silence` is how long
/// nothing may happen before it.
pub async fn exchange(
    pool: &Arc<Pool>,
    mut request: Request<Body>,
    body_bytes: u64,
    silence: Duration,
) -> Result<Answered, ProxyError> {
    let upgrade = prepare(&mut request);
    if request.body().size_hint().lower() > body_bytes {
        return Err(ProxyError::TooLarge(body_bytes));
    }
    let upload = Arc::new(Upload::default());
    let request = request.map(|body| watched(body, &upload, body_bytes));
    let response = until_silent(send(pool, request), &upload, silence).await;
    if upload.too_large.load(Ordering::Relaxed) {
        return Err(ProxyError::TooLarge(body_bytes));
    }
    let mut response = response?;

    // The two connections become one, where guest and client agree on it.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let client = upgrade.ok_or(ProxyError::Switched)?;
        let guest = hyper::upgrade::on(&mut response);
        let tunnel = Box::pin(join(client, guest));
        return Ok(Answered::Upgraded(response.map(|_| sampan_service::empty()), tunnel));
    }
    strip(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    Ok(Answered::Response(response))
}

/// Sends on an unused connection or a new one; once more where the request was certainly not served.
async fn send(pool: &Arc<Pool>, request: Request<Body>) -> Result<Response<Incoming>, ProxyError> {
    let lease = pool.lease().await.map_err(ProxyError::Connect)?;
    // A server closes unused connections, and our request may cross with that. Asking twice changes nothing
    // for these (RFC 9110 §9.2.2), and there is no body that would be gone.
    let again = lease.reused
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && request.body().is_end_stream()
        && request.headers().get(UPGRADE).is_none();
    let copy = again.then(|| head_of(&request));
    let request = match (pool.send(lease, request).await, copy) {
        (Sent::Response(response), _) => return Ok(response),
        (Sent::Unsent(request), _) => request,
        (Sent::Failed(error), Some(copy)) if error.is_incomplete_message() => copy,
        (Sent::Failed(error), _) => return Err(ProxyError::Broken(error)),
    };
    let lease: Lease = pool.connect().await.map_err(ProxyError::Connect)?;
    match pool.send(lease, request).await {
        Sent::Response(response) => Ok(response),
        Sent::Unsent(_) => Err(ProxyError::Gone),
        Sent::Failed(error) => Err(ProxyError::Broken(error)),
    }
}

fn head_of(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(sampan_service::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Makes a client's request one for the guest. Returns the client's side of an upgrade, where it wants one.
fn prepare(request: &mut Request<Body>) -> Option<OnUpgrade> {
    let peer = request.extensions().get::<Peer>().copied();
    let authority = request.uri().authority().cloned();
    let wants = wants_upgrade(request.headers(), request.version());
    let protocol = request.headers().get(UPGRADE).cloned();
    let client = request.extensions_mut().remove::<OnUpgrade>();
    let trailers = request.headers().get(TE).is_some_and(|te| te.as_bytes() == b"trailers");
    strip(request.headers_mut());
    let upgrade = match (wants, protocol, client) {
        (true, Some(protocol), Some(client)) => {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocol);
            Some(client)
        }
        _ => None,
    };
    if trailers {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }

    // Origin form, and the host in its header, as HTTP/1.1 wants it (RFC 9112 §3.2).
    let path = request.uri().path_and_query().cloned();
    let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host.clone());
    }
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
    forwarded(request.headers_mut(), peer);
    // A body's headers are made anew from what is known of it.
    request.extensions_mut().clear();
    upgrade
}

/// Tells the guest who asks: it sees a connection from this process.
fn forwarded(headers: &mut HeaderMap, peer: Option<Peer>) {
    let Some(peer) = peer else { return };
    let mut chain: Vec<u8> = Vec::new();
    for earlier in headers.get_all("x-forwarded-for") {
        chain.extend_from_slice(earlier.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(peer.address.ip().to_canonical().to_string().as_bytes());
    let mut set = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set("x-forwarded-for", HeaderValue::from_bytes(&chain).ok());
    set("x-forwarded-proto", Some(HeaderValue::from_static(if peer.tls { "https" } else { "http" })));
    let host = headers.get(HOST).cloned();
    if let (Some(host), false) = (host, headers.contains_key("x-forwarded-host")) {
        headers.insert("x-forwarded-host", host);
    }
}

fn wants_upgrade(headers: &HeaderMap, version: Version) -> bool {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrade =
        named.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("upgrade"));
    upgrade && version == Version::HTTP_11 && headers.contains_key(UPGRADE)
}

/// Removes what belongs to one connection: RFC 9110 §7.6.1. `Trailer` stays, because the trailers do.
fn strip(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// Waits for a response for as long as anything happens.
async fn until_silent<T>(
    response: impl Future<Output = Result<T, ProxyError>>,
    upload: &Upload,
    silence: Duration,
) -> Result<T, ProxyError> {
    let mut response = std::pin::pin!(response);
    loop {
        match tokio::time::timeout(silence, response.as_mut()).await {
            Ok(result) => return result,
            Err(_) if upload.moved.swap(false, Ordering::Relaxed) => {}
            Err(_) => return Err(ProxyError::Silent(silence)),
        }
    }
}

/// What is known of a request's body while it is sent.
#[derive(Default)]
struct Upload {
    moved: AtomicBool,
    too_large: AtomicBool,
}

/// A request's body that tells that it is being read, and ends where it becomes too large.
fn watched(body: Body, upload: &Arc<Upload>, left: u64) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Watched { body, upload: upload.clone(), left }.boxed_unsync()
}

struct Watched {
    body: Body,
    upload: Arc<Upload>,
    left: u64,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.upload.moved.store(true, Ordering::Relaxed);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                self.upload.too_large.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the body is too large".into())));
            };
            self.left = left;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body that keeps what it needs alive.
pub struct Kept<K> {
    pub body: Incoming,
    pub _keep: K,
}

impl<K: Unpin> hyper::body::Body for Kept<K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(BodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Carries bytes both ways until both sides have ended, or one breaks.
async fn join(client: OnUpgrade, guest: OnUpgrade) {
    if let Ok((client, guest)) = futures::future::try_join(client, guest).await {
        // A connection that breaks is nobody's error here: both sides see it.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(guest)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().uri("http://example.com/a?b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(sampan_service::empty()).unwrap()
    }

    #[test]
    fn a_request_for_the_guest() {
        let mut request = request(&[
            ("host", "other"),
            ("connection", "keep-alive, x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "x"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-kept", "1"),
        ]);
        request.extensions_mut().insert(Peer {
            address: "[::ffff:192.0.2.7]:1".parse().unwrap(),
            local: "127.0.0.1:2".parse().unwrap(),
            tls: true,
        });
        *request.version_mut() = Version::HTTP_2;
        assert!(prepare(&mut request).is_none());
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "host: example.com",
                "te: trailers",
                "trailer: x-sum",
                "x-forwarded-for: 192.0.2.1, 192.0.2.7",
                "x-forwarded-host: example.com",
                "x-forwarded-proto: https",
                "x-kept: 1",
            ]
        );
        assert_eq!((request.uri().to_string(), request.version()), ("/a?b".to_owned(), Version::HTTP_11));
    }

    #[test]
    fn an_upgrade_is_only_asked_for_where_the_client_can() {
        let headers = [("connection", "Upgrade"), ("upgrade", "websocket")];
        let asked = request(&headers);
        assert!(wants_upgrade(asked.headers(), Version::HTTP_11));
        assert!(!wants_upgrade(asked.headers(), Version::HTTP_2));
        assert!(!wants_upgrade(request(&headers[..1]).headers(), Version::HTTP_11));
        // Nobody who could hand over the client's connection.
        let mut request = request(&headers);
        assert!(prepare(&mut request).is_none());
        assert!(!request.headers().contains_key(UPGRADE));
    }
}
