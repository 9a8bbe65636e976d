//! The life of an exchange with a filter.

use super::body::{Broken, Frames, Tail, frames};
use super::head::{Fields, RequestHead, ResponseHead};
use super::local::{Details, LocalResponse};
use super::plugin::ProxyWasm;
use super::slot::Lost;
use super::state::{About, State, Stream};
use super::stream::{Diversion, Handle, Woken};
use super::values::{HeadersAction, Side};
use super::vm::Step;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode, request, response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame};
use sampan_app::OnFailure;
use sampan_service::{
    Body, BodyError, Depth, Handler, Handshake, Matched, Peer, RequestId, Unanswered, Via, empty, is_reset,
    reset,
};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Instant, SystemTime};

/// What the request side leads to.
enum Front {
    On(Request<Body>),
    Diverted(Diversion),
    /// It took too long, perhaps with a part of the body.
    Late(Option<Body>),
    /// The filter failed; nothing of the body was read.
    Failed(Body),
    /// It failed with a part of the body.
    Broken,
}

/// What the response side leads to.
enum Back {
    On(Response<Body>),
    Diverted(Diversion),
    Late(Option<Body>),
    Failed(Option<Body>),
}

/// What a callback on headers led to.
struct Seen<T> {
    action: HeadersAction,
    diverted: bool,
    /// How often the side had been resumed before.
    since: u32,
    /// Where it goes on at once.
    head: Option<T>,
}

impl ProxyWasm {
    pub async fn exchange(self: Arc<Self>, next: Arc<dyn Handler>, request: Request<Body>) -> Response<Body> {
        let code = &self.facts.code;
        code.metrics.exchanges.inc();
        let to_grpc = is_grpc(request.headers());
        let open = code.spec.on_failure == OnFailure::Open;
        let refused = |status| refused(status, to_grpc);
        let unavailable = || refused(StatusCode::SERVICE_UNAVAILABLE);
        // 1. A filter that crashes in a loop is left alone for a while.
        if !code.health.admits() {
            return if open { next.handle(request).await } else { unavailable() };
        }
        // 2. A VM of this worker.
        let lease = match self.vms.lease(&self.facts).await {
            Ok(lease) => lease,
            Err(lost) => {
                if lost == Lost::Ended {
                    code.health.failed();
                }
                return if open { next.handle(request).await } else { unavailable() };
            }
        };
        let handle = Handle::new(Arc::clone(&self), lease);
        // 3. The request's headers, and perhaps its body, before anybody else sees them.
        let (parts, body) = boxed(request.into_parts());
        let spare = open.then(|| parts.clone());
        let response = match self.front(&handle, parts, body).await {
            Front::On(request) => {
                // 4. The next handler, unless the filter answers while that works.
                match self.hand_over(&handle, &*next, request).await {
                    Some(response) => response,
                    None => in_its_place(handle.diversion().await, to_grpc),
                }
            }
            // What the filter answers passes its own response side, as in Envoy.
            Front::Diverted(diversion) => in_its_place(diversion, to_grpc),
            Front::Broken => return unavailable(),
            Front::Late(body) => {
                return match spare.zip(body) {
                    Some((parts, body)) => next.handle(Request::from_parts(*parts, body)).await,
                    None => refused(StatusCode::GATEWAY_TIMEOUT),
                };
            }
            Front::Failed(body) => {
                return match spare {
                    Some(parts) => next.handle(Request::from_parts(*parts, body)).await,
                    None => unavailable(),
                };
            }
        };
        // Of what is not sent, nobody sees anything.
        if is_reset(&response) {
            return response;
        }
        if handle.is_lost() && !open {
            return unavailable();
        }
        // 5. The response's headers; its body passes while it is read.
        let (parts, body) = boxed(response.into_parts());
        let spare = open.then(|| parts.clone());
        match self.back(&handle, parts, body).await {
            Back::On(response) => {
                code.health.succeeded();
                response
            }
            Back::Diverted(diversion) => in_its_place(diversion, to_grpc),
            Back::Late(body) => match spare.zip(body) {
                Some((parts, body)) => Response::from_parts(*parts, body),
                None => refused(StatusCode::GATEWAY_TIMEOUT),
            },
            Back::Failed(body) => match spare.zip(body) {
                Some((parts, body)) => Response::from_parts(*parts, body),
                None => unavailable(),
            },
        }
    }

    async fn front(&self, handle: &Arc<Handle>, parts: Box<request::Parts>, body: Body) -> Front {
        let end = body.is_end_stream();
        let seen = match self.begin(handle, parts, end).await {
            Ok(seen) => seen,
            Err(_) => return Front::Failed(body),
        };
        if seen.diverted {
            return Front::Diverted(handle.diversion().await);
        }
        let callbacks = self.vms.callbacks;
        let seen_body = (callbacks.request_body || callbacks.request_trailers) && !end;
        if let Some(parts) = seen.head {
            let body = match seen.action {
                HeadersAction::ContinueAndEnd => empty(),
                _ if !seen_body => body,
                _ => body_of(frames(handle, Side::Request, body, length(&parts.headers))),
            };
            return Front::On(Request::from_parts(*parts, body));
        }
        if seen.action == HeadersAction::Stop && self.facts.code.spec.body_while_paused && seen_body {
            return Box::pin(self.front_with_body(handle, body, seen.since)).await;
        }
        match Box::pin(self.paused(handle, Side::Request, seen.since)).await {
            Err(Pause::Late) => return Front::Late(Some(body)),
            Err(Pause::Lost(lost)) => {
                handle.lose(lost);
                return Front::Failed(body);
            }
            Ok(Woken::Diverted) => return Front::Diverted(handle.diversion().await),
            Ok(Woken::Resumed) => {}
        }
        let Some(parts) = self.release_request(handle).await else { return Front::Failed(body) };
        let body = match seen_body {
            true => body_of(frames(handle, Side::Request, body, length(&parts.headers))),
            false => body,
        };
        Front::On(Request::from_parts(*parts, body))
    }

    /// The filter stopped at the headers and wants to see the body nevertheless.
    async fn front_with_body(&self, handle: &Arc<Handle>, body: Body, since: u32) -> Front {
        let mut frames = frames(handle, Side::Request, body, None);
        match self.fed(handle, Side::Request, since, &mut frames).await {
            Err(Pause::Late) => Front::Late(None),
            Err(Pause::Lost(lost)) => {
                handle.lose(lost);
                Front::Broken
            }
            Ok(Fed::Diverted) => Front::Diverted(handle.diversion().await),
            Ok(Fed::On(first)) => {
                let Some(mut parts) = self.release_request(handle).await else { return Front::Broken };
                // The filter has had its hands on the body.
                parts.headers.remove(CONTENT_LENGTH);
                Front::On(Request::from_parts(*parts, after(first, frames)))
            }
        }
    }

    async fn begin(
        &self,
        handle: &Arc<Handle>,
        parts: Box<request::Parts>,
        end: bool,
    ) -> Result<Seen<Box<request::Parts>>, Lost> {
        let facts = &self.facts;
        let step = |state: &mut State, _| {
            let head = RequestHead::new(parts);
            let about = about(&head.parts);
            let count = head.count();
            let id = state.new_context();
            // Its root is found, or made, when the context is.
            state.streams.insert(id, Box::new(Stream::new(0, facts, head, about)));
            handle.begins(id);
            Step::Begin { stream: id, facts: Arc::clone(facts), count, end }
        };
        let look_back = self.vms.callbacks.look_back();
        let release = |stream: &mut Stream| release_request(stream, look_back);
        handle.call(step, |stream, action| seen(stream, action, 0, release)).await
    }

    async fn release_request(&self, handle: &Handle) -> Option<Box<request::Parts>> {
        let look_back = self.vms.callbacks.look_back();
        handle.look(|stream| release_request(stream, look_back)).await.ok().flatten()
    }

    /// `None`: the filter answers.
    async fn hand_over(
        &self,
        handle: &Arc<Handle>,
        next: &dyn Handler,
        request: Request<Body>,
    ) -> Option<Response<Body>> {
        let mut answer = next.handle(request);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            // Where the filter has cut the request's body off, the answer may only be about that.
            Poll::Ready(response) => match handle.poll_diverted(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => Poll::Ready(Some(response)),
            },
            Poll::Pending => handle.poll_diverted(cx).map(|()| None),
        })
        .await
    }

    async fn back(&self, handle: &Arc<Handle>, parts: Box<response::Parts>, body: Body) -> Back {
        let callbacks = self.vms.callbacks;
        let end = body.is_end_stream();
        let seen_body = (callbacks.response_body || callbacks.response_trailers) && !end;
        if !callbacks.response_headers && !seen_body {
            let body = if callbacks.end { self.tail(handle, body) } else { body };
            return Back::On(Response::from_parts(*parts, body));
        }
        let seen = match self.response_headers(handle, parts, end).await {
            Ok(seen) => seen,
            Err(_) => return Back::Failed(Some(body)),
        };
        if seen.diverted {
            return Back::Diverted(handle.diversion().await);
        }
        if let Some(parts) = seen.head {
            if seen.action == HeadersAction::ContinueAndEnd {
                return Back::On(Response::from_parts(*parts, empty()));
            }
            return Back::On(self.passing(handle, *parts, body, seen_body));
        }
        if seen.action == HeadersAction::Stop && self.facts.code.spec.body_while_paused && seen_body {
            return Box::pin(self.back_with_body(handle, body, seen.since)).await;
        }
        match Box::pin(self.paused(handle, Side::Response, seen.since)).await {
            Err(Pause::Late) => return Back::Late(Some(body)),
            Err(Pause::Lost(lost)) => {
                handle.lose(lost);
                return Back::Failed(Some(body));
            }
            Ok(Woken::Diverted) => return Back::Diverted(handle.diversion().await),
            Ok(Woken::Resumed) => {}
        }
        match handle.look(release_response).await {
            Ok(Some(parts)) => Back::On(self.passing(handle, *parts, body, seen_body)),
            _ => Back::Failed(Some(body)),
        }
    }

    async fn back_with_body(&self, handle: &Arc<Handle>, body: Body, since: u32) -> Back {
        let mut frames = frames(handle, Side::Response, body, None);
        match self.fed(handle, Side::Response, since, &mut frames).await {
            Err(Pause::Late) => Back::Late(None),
            Err(Pause::Lost(lost)) => {
                handle.lose(lost);
                Back::Failed(None)
            }
            Ok(Fed::Diverted) => Back::Diverted(handle.diversion().await),
            Ok(Fed::On(first)) => match handle.look(release_response).await {
                Ok(Some(mut parts)) => {
                    parts.headers.remove(CONTENT_LENGTH);
                    Back::On(Response::from_parts(*parts, after(first, frames)))
                }
                _ => Back::Failed(None),
            },
        }
    }

    fn passing(
        &self,
        handle: &Arc<Handle>,
        parts: response::Parts,
        body: Body,
        seen_body: bool,
    ) -> Response<Body> {
        let body = match seen_body {
            true => body_of(frames(handle, Side::Response, body, length(&parts.headers))),
            false => self.tail(handle, body),
        };
        Response::from_parts(parts, body)
    }

    fn tail(&self, handle: &Arc<Handle>, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Tail::new(body, handle).boxed_unsync()
    }

    async fn response_headers(
        &self,
        handle: &Arc<Handle>,
        parts: Box<response::Parts>,
        end: bool,
    ) -> Result<Seen<Box<response::Parts>>, Lost> {
        let since = AtomicU32::new(0);
        let step = |state: &mut State, id| {
            let head = ResponseHead { parts };
            let count = head.count();
            if let Some(stream) = state.streams.get_mut(&id) {
                since.store(stream.response_resumed, Relaxed);
                let extensions = &head.parts.extensions;
                stream.about.via = extensions.get::<Via>().cloned().map(Box::new);
                stream.about.details = extensions.get::<Details>().map(|details| details.0.clone());
                stream.response = Some(head);
            }
            Step::ResponseHeaders { stream: id, count, end, last: end }
        };
        handle.call(step, |stream, action| seen(stream, action, since.load(Relaxed), release_response)).await
    }

    /// Waits for the filter that stopped.
    async fn paused(&self, handle: &Handle, side: Side, since: u32) -> Result<Woken, Pause> {
        let woken = tokio::time::timeout(self.facts.code.spec.pause, handle.woken(side, since)).await;
        woken.map_err(|_| Pause::Late)?.map_err(Pause::Lost)
    }

    /// Has the filter see the body until it lets something pass.
    async fn fed(&self, handle: &Handle, side: Side, since: u32, frames: &mut Frames) -> Result<Fed, Pause> {
        let fed = poll_fn(|cx| {
            match handle.poll_woken(cx, side, since) {
                Poll::Ready(Ok(Woken::Diverted)) => return Poll::Ready(Ok(Fed::Diverted)),
                Poll::Ready(Err(lost)) => return Poll::Ready(Err(Pause::Lost(lost))),
                // The body is resumed too, and comes by itself.
                Poll::Ready(Ok(Woken::Resumed)) => return Poll::Ready(Ok(Fed::On(None))),
                Poll::Pending => {}
            }
            match frames.poll_next_unpin(cx) {
                Poll::Ready(Some(Err(error))) if matches!(error.downcast_ref(), Some(Broken::Late)) => {
                    Poll::Ready(Err(Pause::Late))
                }
                Poll::Ready(Some(Err(_))) if handle.is_lost() => Poll::Ready(Err(Pause::Lost(Lost::Gone))),
                Poll::Ready(Some(Err(_))) if handle.poll_diverted(cx).is_ready() => {
                    Poll::Ready(Ok(Fed::Diverted))
                }
                Poll::Ready(frame) => Poll::Ready(Ok(Fed::On(frame))),
                Poll::Pending => Poll::Pending,
            }
        });
        // Bounded by the body: by its sender's silence, and by the filter's once all is there.
        fed.await
    }
}

/// The answer where the filter failed, or took too long.
fn refused(status: StatusCode, to_grpc: bool) -> Response<Body> {
    let mut response = LocalResponse::plain(status).into_response(to_grpc);
    response.extensions_mut().insert(Unanswered);
    response
}

/// What the client gets in the place of what would have come.
fn in_its_place(diversion: Diversion, to_grpc: bool) -> Response<Body> {
    match diversion {
        Diversion::Answer(local) => local.into_response(to_grpc),
        Diversion::Closed => reset(),
        Diversion::Gone => refused(StatusCode::SERVICE_UNAVAILABLE, to_grpc),
    }
}

/// Heads are large, and moved often on their way.
fn boxed<P>((parts, body): (P, Body)) -> (Box<P>, Body) {
    (Box::new(parts), body)
}

enum Pause {
    Late,
    Lost(Lost),
}

enum Fed {
    /// The first frame that passed, if one did.
    On(Option<Result<Frame<Bytes>, BodyError>>),
    Diverted,
}

fn seen<T>(
    stream: Option<&mut Stream>,
    action: u32,
    since: u32,
    release: impl FnOnce(&mut Stream) -> Option<T>,
) -> Seen<T> {
    let action = HeadersAction::of(action);
    let Some(stream) = stream else { return Seen { action, diverted: true, since, head: None } };
    let diverted = stream.diverted();
    let passes = matches!(action, HeadersAction::Continue | HeadersAction::ContinueAndEnd) && !diverted;
    Seen { action, diverted, since, head: passes.then(|| release(stream)).flatten() }
}

fn release_request(stream: &mut Stream, look_back: bool) -> Option<Box<request::Parts>> {
    let mut head = stream.request.take()?;
    if look_back {
        stream.request = Some(head.copy());
    }
    if let Some(properties) = &stream.properties {
        head.parts.extensions.insert(Arc::clone(properties));
    }
    Some(head.parts)
}

fn release_response(stream: &mut Stream) -> Option<Box<response::Parts>> {
    let head = stream.response.take()?;
    stream.response = Some(head.copy());
    Some(head.parts)
}

fn about(parts: &request::Parts) -> About {
    About {
        peer: parts.extensions.get::<Peer>().copied(),
        id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
        depth: parts.extensions.get::<Depth>().copied().unwrap_or_default(),
        route: parts.extensions.get::<Matched>().map(|matched| Arc::clone(&matched.route)),
        handshake: parts.extensions.get::<Arc<Handshake>>().cloned(),
        via: None,
        upstream: None,
        details: None,
        time: SystemTime::now(),
        began: Instant::now(),
        request_bytes: 0,
        response_bytes: 0,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The length that a head promises.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn body_of(frames: Frames) -> Body {
    StreamBody::new(frames).boxed_unsync()
}

fn after(first: Option<Result<Frame<Bytes>, BodyError>>, frames: Frames) -> Body {
    body_of(futures::stream::iter(first).chain(frames).boxed())
}
