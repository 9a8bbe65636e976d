//! The seam between whoever accepts requests and whoever answers them.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use sampan_telemetry::Tried;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bodies in both directions: pulled frame by frame, so whoever reads slowly slows the other side.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A response to come. Dropping it cancels the request.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// Whatever answers requests: a component, a folder, the gateway in front of them.
///
/// What a handler may find in a request's extensions: [`Peer`], [`RequestId`], [`Depth`], an `Arc` of a
/// [`Handshake`](crate::Handshake), and hyper's `OnUpgrade` where the connection can become another protocol's.
pub trait Handler: Send + Sync {
    /// Answers a request whose URI may be in origin form. Errors are responses too.
    fn handle(&self, request: Request<Body>) -> Answer<'_>;
}

/// The connection on which a request came.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub local: SocketAddr,
    pub tls: bool,
}

/// Names a request in logs and in the header `x-request-id`.
#[derive(Clone, Debug)]
pub struct RequestId(pub http::HeaderValue);

/// How many components of this process have handed the request on to each other. A request that exceeds
/// [`Depth::MAX`] is answered with 508.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth(pub u8);

impl Depth {
    pub const MAX: u8 = 8;
}

/// What a guest of this process may do at the handler that it calls: the names of its grant. Whoever comes over
/// a socket has none of this.
#[derive(Clone, Debug)]
pub struct Granted(pub Arc<[String]>);

/// What the gateway found out about a request: the route that matched.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The route as written in the manifest.
    pub route: Arc<str>,
    /// The route without its trailing `/...`.
    pub base: Arc<str>,
    /// What stands for the trailing `/...`: empty or beginning with `/`.
    pub rest: String,
    /// The values of `:name` segments.
    pub names: Vec<(String, String)>,
}

/// The host that the client asked for, where its route has rewritten it.
#[derive(Clone, Debug)]
pub struct AskedHost(pub http::HeaderValue);

/// What an upstream puts into a response's extensions: how it came by it.
#[derive(Clone, Debug)]
pub struct Via {
    pub upstream: Arc<str>,
    /// The server that gave the response, or, where `failure` says why there is none, was asked last.
    pub server: Option<SocketAddr>,
    /// Why the response is the gateway's own, as metrics name it.
    pub failure: Option<&'static str>,
    /// How often a server was asked.
    pub attempts: u32,
    /// From the first asking to the response's head, or to giving up.
    pub waited: Duration,
    /// Of these, waiting for the connection: that of the last attempt.
    pub connecting: Duration,
    /// The attempts before the last.
    pub tried: Vec<Tried>,
    /// What went wrong with the connection to `server`, where that is why there is no response.
    pub transport_failure: Option<String>,
    /// How many servers the upstream has.
    pub servers: usize,
    /// The connection to `server`, where there was one.
    pub connection: Option<Arc<ViaConnection>>,
}

/// A connection to a server of an upstream.
#[derive(Debug)]
pub struct ViaConnection {
    /// Our side's address.
    pub local: Option<SocketAddr>,
    pub handshake: Option<Arc<crate::Handshake>>,
}

/// In a request's extensions, where there is an access log: what an upstream leaves for it when nobody waits for its
/// answer any more.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<OnceLock<Via>>);

impl Notes {
    pub fn leave(&self, via: Via) {
        // The first of several is as good as another.
        let _ = self.0.set(via);
    }

    pub fn via(&self) -> Option<&Via> {
        self.0.get()
    }
}

/// In a request's extensions: whether nobody waits for its answer any more because that took too long.
#[derive(Clone, Debug, Default)]
pub struct Overdue(Arc<AtomicBool>);

impl Overdue {
    pub fn set(&self) {
        self.0.store(true, Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// In a response's extensions: whoever should have answered did not, and this says so in its place.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered;

/// In a response's extensions: the client gets nothing of it.
#[derive(Clone, Copy, Debug)]
struct Reset;

/// What a handler returns where the client is to get no answer: its stream is reset, or, in HTTP/1, its connection
/// closed. To whoever knows nothing of this it says 503.
pub fn reset() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.extensions_mut().insert(Reset);
    response.extensions_mut().insert(Unanswered);
    response
}

/// Whether the client is to get nothing of a response.
pub fn is_reset(response: &Response<Body>) -> bool {
    response.extensions().get::<Reset>().is_some()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
