//! One request and its response: a server is picked, asked, and asked again, or another, where that is safe.
//!
//! What most requests do not need (a queue, a new connection, a body that is kept) is in boxes of its own, so that
//! the future of all others is small.

use super::Inner;
use super::body::{Flow, Held};
use super::expect::Continue;
use super::failure::Failure;
use super::gate::Permit;
use super::headers::{self, Prepared};
use super::lease::{Carrier, Lease, lease};
use super::outlier::{self, Shown};
use super::server::Server;
use super::trace::Trace;
use super::tunnel;
use super::wait::{Upload, Wait, watched};
use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use sampan_app::RetryOn;
use sampan_service::{Body, BodyTimeout, empty, full};
use sampan_telemetry::Outcome;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// A body of a known length that is no longer is kept, so that it can be sent once more.
const REPLAY_BYTES_MAX: u64 = 64 << 10;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2 { tls: bool },
}

/// Answers a request with what a server says.
pub async fn run(
    inner: &Arc<Inner>,
    mut request: Request<Body>,
    trace: &mut Trace,
) -> Result<Response<Body>, Failure> {
    let total = inner.spec.timeouts.total.map(|total| Instant::now() + total);
    // 1. A place among the requests that the upstream may have.
    let permit = match inner.gate.try_enter() {
        Some(permit) => permit,
        None => Box::pin(inner.gate.enter()).await?,
    };
    // 2. A request for a server.
    let key = inner.key(&request);
    let prepared = headers::prepare(&mut request, &inner.spec);
    let (task, request) = Task::new(inner, key, request, &prepared).await?;
    trace.upload.clone_from(&task.upload);
    // 3. A server's response.
    let (response, lease) = match total {
        None => task.run(request, trace).await?,
        Some(total) => {
            let answered = Box::pin(timeout_at(total, task.run(request, trace)));
            match answered.await {
                Ok(answered) => answered?,
                Err(_) => {
                    trace.overdue(inner);
                    return Err(Failure::Total);
                }
            }
        }
    };
    // 4. The client's.
    answer(inner, response, Held { lease, permit }, prepared, total)
}

/// A request under way.
struct Task<'a> {
    inner: &'a Arc<Inner>,
    /// Its place on the ring.
    key: Option<u64>,
    /// Of a body that is still with the client.
    upload: Option<Arc<Upload>>,
    /// What can be sent once more.
    replay: Option<Replay>,
    expects: Option<Arc<Continue>>,
}

/// Why an attempt failed, and what is left of the request.
struct Lost {
    failure: Failure,
    request: Option<Box<Request<Body>>>,
    reused: bool,
}

impl<'a> Task<'a> {
    async fn new(
        inner: &'a Arc<Inner>,
        key: Option<u64>,
        mut request: Request<Body>,
        prepared: &Prepared,
    ) -> Result<(Self, Box<Request<Body>>), Failure> {
        let mut task = Task { inner, key, upload: None, replay: None, expects: None };
        let repeatable = prepared.client.is_none() && idempotent(request.method());
        if request.body().is_end_stream() {
            task.replay = repeatable.then(|| Replay::of(&request, Bytes::new()));
        } else if repeatable && !prepared.expects && inner.retries_late && short(request.body()) {
            let (head, body) = request.into_parts();
            let collected =
                Box::pin(body.collect()).await.map_err(|error| match error.is::<BodyTimeout>() {
                    true => Failure::ClientSlow,
                    false => Failure::ClientBody,
                })?;
            // A body with trailers has no length beforehand.
            let bytes = collected.to_bytes();
            request = Request::from_parts(head, full(bytes.clone()));
            task.replay = Some(Replay::of(&request, bytes));
        } else {
            let upload = Arc::new(Upload::default());
            request = request.map(|body| watched(body, &upload));
            task.upload = Some(upload);
            if prepared.expects {
                let expects = Arc::new(Continue::default());
                request = request.map(|body| expects.hold(body));
                task.expects = Some(expects);
            }
        }
        Ok((task, Box::new(request)))
    }

    async fn run(
        &self,
        mut request: Box<Request<Body>>,
        trace: &mut Trace,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let inner = self.inner;
        let mut server = inner.pick(self.key, None)?;
        let (mut attempt, mut fresh) = (1, false);
        // Kept until there is a response: the budget counts those that are under way.
        let mut _retrying = None;
        loop {
            let now = Instant::now();
            trace.asks(server.address, now);
            let (reason, left, kept) = match self.attempt(&server, request, fresh, now, trace).await {
                Ok((response, lease)) => {
                    let status = response.status();
                    inner.saw(&server, Shown::Status(outlier::status(status, response.headers())));
                    if status.as_u16() < 400 {
                        return Ok((response, lease));
                    }
                    (Some(RetryOn::Status(status.as_u16())), None, Ok((response, lease)))
                }
                Err(Lost { failure, request: left, reused }) => {
                    // A server closes unused connections, and our request may cross with that.
                    let crossed = reused && !fresh && matches!(failure, Failure::Gone | Failure::Reset(_));
                    if crossed && (left.is_some() || self.replay.is_some()) {
                        let Some(next) = self.copy(left) else { return Err(failure) };
                        (request, fresh) = (next, true);
                        trace.again(Outcome::Failed(failure.reason()));
                        inner.metrics.retries.inc();
                        continue;
                    }
                    if failure.of_server() {
                        inner.saw(&server, Shown::NoAnswer);
                    }
                    (failure.retry_on(), left, Err(failure))
                }
            };
            let retry = &inner.spec.retry;
            let wanted = attempt < retry.attempts && reason.is_some_and(|reason| retry.on.contains(&reason));
            if !wanted || (left.is_none() && self.replay.is_none()) {
                return kept;
            }
            let Some(permit) = inner.gate.retry(retry.budget_percent) else { return kept };
            let Some(next) = self.copy(left) else { return kept };
            (request, _retrying) = (next, Some(permit));
            (attempt, fresh) = (attempt + 1, false);
            trace.again(match &kept {
                Ok((response, _)) => Outcome::Status(response.status().as_u16()),
                Err(failure) => Outcome::Failed(failure.reason()),
            });
            inner.metrics.retries.inc();
            server = inner.pick(self.key, Some(&server))?;
        }
    }

    /// The request once more: itself, where no server has seen anything of it, or a copy.
    fn copy(&self, left: Option<Box<Request<Body>>>) -> Option<Box<Request<Body>>> {
        left.or_else(|| self.replay.as_ref().map(|replay| Box::new(replay.request())))
    }

    async fn attempt(
        &self,
        server: &Arc<Server>,
        mut request: Box<Request<Body>>,
        fresh: bool,
        now: Instant,
        trace: &mut Trace,
    ) -> Result<(Response<Incoming>, Lease), Lost> {
        let mut lease = match lease(self.inner, server, fresh, now).await {
            Ok(lease) => lease,
            Err(failure) => return Err(Lost { failure, request: Some(request), reused: false }),
        };
        let protocol = match &lease.carrier {
            Carrier::Http1(_) => Protocol::Http1,
            Carrier::Http2(_) => Protocol::Http2 { tls: server.tls.is_some() },
        };
        headers::dress(&mut request, protocol, &server.host, &self.inner.spec.host);
        if let Some(expects) = &self.expects {
            expects.arm(&mut request, protocol);
        }
        let silence = self.inner.silence;
        // Connecting took its own time.
        let begun = if lease.reused { now } else { Instant::now() };
        trace.connected(begun.saturating_duration_since(now), lease.about());
        let wait = Wait { deadline: begun + silence, silence, upload: self.upload.as_deref() };
        match lease.send(request, wait).await {
            Ok(response) => Ok((response, lease)),
            Err(unanswered) => {
                let reused = lease.reused;
                Err(Lost { failure: unanswered.failure, request: unanswered.request, reused })
            }
        }
    }
}

/// A request that can be made again.
struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Replay {
    fn of(request: &Request<Body>, body: Bytes) -> Replay {
        Replay {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body,
        }
    }

    fn request(&self) -> Request<Body> {
        let body = if self.body.is_empty() { empty() } else { full(self.body.clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// RFC 9110 §9.2.2.
fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

fn short(body: &Body) -> bool {
    body.size_hint().exact().is_some_and(|bytes| bytes <= REPLAY_BYTES_MAX)
}

fn answer(
    inner: &Arc<Inner>,
    mut response: Response<Incoming>,
    held: Held,
    prepared: Prepared,
    total: Option<Instant>,
) -> Result<Response<Body>, Failure> {
    let mut response = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let client = prepared.client.ok_or(Failure::Switched)?;
        let server = hyper::upgrade::on(&mut response);
        let Held { lease, permit } = held;
        tokio::spawn(tunnel::join(client, server, lease, permit, inner.spec.timeouts.tunnel));
        switched(response.headers_mut());
        response.map(|_| empty())
    } else {
        headers::response(response.headers_mut(), &inner.spec);
        if response.body().is_end_stream() {
            release(inner, held);
            response.map(|_| empty())
        } else {
            response.map(|incoming| Flow::new(incoming, held, inner.clone(), total).boxed_unsync())
        }
    };
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

fn release(inner: &Inner, held: Held) {
    let Held { lease, permit } = held;
    lease.release(inner);
    drop::<Permit>(permit);
}

/// A switch is between two neighbours, and we are the client's.
fn switched(headers: &mut HeaderMap) {
    let protocol = headers.get(UPGRADE).cloned();
    headers::strip(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
}
