//! A rate limit in front of a route: 429 with `Retry-After`, and the `RateLimit-*` headers on every response
//! (draft-ietf-httpapi-ratelimit-headers-07).

use super::buckets::{Local, Verdict};
use super::shared::{Down, Shared};
use crate::{Handlers, respond};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use ring::digest::{SHA256, digest};
use sampan_app::{OnFailure, RateKey, RateLimit, Route};
use sampan_service::{Answer, Body, Handler, Peer};
use sampan_telemetry::metrics;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Keys are kept as hashes that no client can foresee, and that all versions of a route have in common.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

pub struct RateLimited {
    limit: HeaderValue,
    key: Key,
    counts: Counts,
    on_failure: OnFailure,
    next: Arc<dyn Handler>,
}

enum Key {
    SourceIp,
    Header(HeaderName),
    Route,
}

enum Counts {
    Local(Arc<Local>),
    /// With what stands before the keys of the route in the store.
    Shared(Box<Shared>, String),
}

impl RateLimited {
    pub fn new(
        app: &str,
        route: &Route,
        limit: &RateLimit,
        handlers: &Handlers,
        next: Arc<dyn Handler>,
    ) -> Result<Self, String> {
        let Route { path, host, methods, headers, query, .. } = route;
        let identity = format!("{app} {host:?} {path} {methods:?} {headers:?} {query:?}");
        let counts = match &limit.store {
            None => Counts::Local(handlers.buckets.of(&identity, limit)),
            Some(store) => {
                let counters = handlers.counters.get(store).cloned();
                let counters = counters.ok_or_else(|| format!("there is no key-value store `{store}`"))?;
                let identity = format!("{identity} {:?} {:?}", limit.per, limit.key);
                let prefix = format!("sampan:rate:{}", hex(identity.as_bytes()));
                Counts::Shared(Box::new(Shared::new(counters, limit)), prefix)
            }
        };
        let key = match &limit.key {
            RateKey::SourceIp => Key::SourceIp,
            RateKey::Route => Key::Route,
            RateKey::Header(name) => {
                Key::Header(name.parse().map_err(|_| format!("`{name}` is no header's name"))?)
            }
        };
        Ok(RateLimited { limit: limit.requests.into(), key, counts, on_failure: limit.on_failure, next })
    }

    fn hash(&self, request: &Request<Body>) -> u64 {
        match &self.key {
            Key::Route => 0,
            Key::SourceIp => HASHER.hash_one(client(request)),
            Key::Header(name) => HASHER.hash_one(request.headers().get(name)),
        }
    }

    /// What the store knows a client by. Values of headers may be secrets, so the store gets a digest of them.
    fn text(&self, prefix: &str, request: &Request<Body>) -> String {
        match &self.key {
            Key::Route => prefix.to_owned(),
            Key::SourceIp => match client(request) {
                Some(address) => format!("{prefix}:{address}"),
                None => format!("{prefix}:-"),
            },
            Key::Header(name) => match request.headers().get(name) {
                Some(value) => format!("{prefix}:{}", hex(value.as_bytes())),
                None => format!("{prefix}:-"),
            },
        }
    }

    fn tell(&self, headers: &mut HeaderMap, verdict: &Verdict) {
        headers.insert(LIMIT, self.limit.clone());
        headers.insert(REMAINING, verdict.remaining.into());
        headers.insert(RESET, seconds(verdict.reset).into());
    }

    fn too_many(&self, verdict: &Verdict) -> Response<Body> {
        let mut response = respond::text(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
        self.tell(response.headers_mut(), verdict);
        response.headers_mut().insert(RETRY_AFTER, seconds(verdict.retry).max(1).into());
        response
    }
}

impl Handler for RateLimited {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let hash = self.hash(&request);
        match &self.counts {
            Counts::Local(local) => {
                let verdict = local.take(hash);
                if !verdict.allowed {
                    return Box::pin(std::future::ready(self.too_many(&verdict)));
                }
                let answer = self.next.handle(request);
                Box::pin(async move {
                    let mut response = answer.await;
                    self.tell(response.headers_mut(), &verdict);
                    response
                })
            }
            Counts::Shared(shared, prefix) => {
                let key = self.text(prefix, &request);
                Box::pin(async move {
                    match shared.take(&key, hash).await {
                        Ok(verdict) if !verdict.allowed => self.too_many(&verdict),
                        Ok(verdict) => {
                            let mut response = self.next.handle(request).await;
                            self.tell(response.headers_mut(), &verdict);
                            response
                        }
                        Err(Down) => {
                            metrics().requests_uncounted.inc();
                            if self.on_failure == OnFailure::Open {
                                return self.next.handle(request).await;
                            }
                            let why = "requests cannot be counted at the moment\n";
                            let mut response = respond::text(StatusCode::SERVICE_UNAVAILABLE, why);
                            response.headers_mut().insert(RETRY_AFTER, 1.into());
                            response
                        }
                    }
                })
            }
        }
    }
}

/// The client's address, or the network in which it has as many as it likes. `None`: a guest of this process.
fn client(request: &Request<Body>) -> Option<IpAddr> {
    let address = request.extensions().get::<Peer>()?.address.ip().to_canonical();
    Some(match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    })
}

/// Rounded up, so that who waits so long has waited long enough.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Half of a digest is enough to tell texts apart.
fn hex(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a string fails never.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
