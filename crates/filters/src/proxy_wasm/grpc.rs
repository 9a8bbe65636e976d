//! gRPC of filters to upstreams and components of the app: calls with one message each way, and streams.
//!
//! The framing is that of gRPC over HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md); which callbacks come when is Envoy's:
//! a call ends with `on_grpc_receive` or, if it failed, with `on_grpc_close`.

use super::calls::ANSWER_MAX;
use super::head::Fields;
use super::local::grpc_status;
use super::map;
use super::slot::Slot;
use super::state::{After, State};
use super::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, PARSE, Status};
use super::vm::Step;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::channel::mpsc;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sampan_service::{Body, BodyError, Depth, Handler, full};
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;

/// So many calls and streams of one VM may be under way.
const CALLS_MAX: usize = 1024;
/// Messages of a stream that wait to be sent.
const QUEUED_MAX: usize = 256;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// gRPC's codes for what the host finds.
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const INTERNAL_ERROR: u32 = 13;
const UNAVAILABLE: u32 = 14;

type Sender = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A call or a stream that the guest began.
pub struct Open {
    task: Option<AbortHandle>,
    /// Streams have one until the guest closes its side.
    sender: Option<Sender>,
    stream: bool,
}

/// What starts when the guest has returned.
pub struct Pending {
    id: u32,
    root: u32,
    to: Arc<dyn Handler>,
    request: Request<Body>,
    /// Of a call; a stream has none.
    timeout: Option<Duration>,
}

/// What a callback is about; it can be read while that runs.
#[derive(Default)]
pub struct Received {
    pub initial: HeaderMap,
    pub message: Bytes,
    pub trailing: HeaderMap,
}

#[derive(Clone, Copy)]
pub enum Event {
    Initial { count: u32 },
    Message { len: u32 },
    Trailing { count: u32 },
    Close { code: u32 },
}

/// What `proxy_grpc_call` and `proxy_grpc_stream` were given.
pub struct Asked<'a> {
    pub upstream: &'a [u8],
    pub service: &'a [u8],
    pub method: &'a [u8],
    pub metadata: &'a [u8],
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl State {
    pub fn grpc_call(&mut self, asked: &Asked<'_>, message: &[u8], timeout_ms: u32) -> Result<u32, Status> {
        let longest = self.calling().code.spec.pause;
        let timeout = match timeout_ms {
            0 => longest,
            given => longest.min(Duration::from_millis(given.into())),
        };
        self.grpc_begin(asked, full(framed(message)), None, Some(timeout))
    }

    pub fn grpc_stream(&mut self, asked: &Asked<'_>) -> Result<u32, Status> {
        let (sender, messages) = mpsc::channel(QUEUED_MAX);
        let body = StreamBody::new(messages).map_err(|never| match never {}).boxed_unsync();
        self.grpc_begin(asked, body, Some(sender), None)
    }

    fn grpc_begin(
        &mut self,
        asked: &Asked<'_>,
        body: Body,
        sender: Option<Sender>,
        timeout: Option<Duration>,
    ) -> Result<u32, Status> {
        let calling = Arc::clone(self.calling());
        let name = str::from_utf8(asked.upstream).map_err(|_| PARSE)?;
        let Some(to) = calling.code.destinations.find(name) else {
            calling.code.log(&format!("gRPC: the app has no upstream or component `{name}`"));
            return Err(PARSE);
        };
        let mut request = request(asked, name, body).ok_or(INTERNAL)?;
        let depth = self.stream().map(|stream| stream.about.depth).unwrap_or_default();
        request.extensions_mut().insert(Depth(depth.0.saturating_add(1)));
        if self.grpc.len() >= CALLS_MAX {
            return Err(INTERNAL);
        }
        let (id, root) = (self.new_call(), self.effective_root());
        self.grpc.insert(id, Open { task: None, stream: sender.is_some(), sender });
        self.after.grpc.push(Pending { id, root, to, request, timeout });
        Ok(id)
    }

    pub fn grpc_send(&mut self, id: u32, message: &[u8], end: bool) -> Result<(), Status> {
        let open = self.grpc.get_mut(&id).ok_or(NOT_FOUND)?;
        let sender = open.sender.as_mut().ok_or(BAD_ARGUMENT)?;
        let sent = sender.try_send(Ok(Frame::data(framed(message))));
        if end {
            open.sender = None;
        }
        sent.map_err(|error| if error.is_full() { INTERNAL } else { NOT_FOUND })
    }

    /// A call is given up; of a stream, only the guest's side ends.
    pub fn grpc_close(&mut self, id: u32) -> Result<(), Status> {
        let open = self.grpc.get_mut(&id).ok_or(NOT_FOUND)?;
        open.sender = None;
        if !open.stream {
            return self.grpc_cancel(id);
        }
        Ok(())
    }

    pub fn grpc_cancel(&mut self, id: u32) -> Result<(), Status> {
        self.grpc.remove(&id).ok_or(NOT_FOUND)?;
        self.after.grpc.retain(|pending| pending.id != id);
        Ok(())
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

fn request(asked: &Asked<'_>, authority: &str, body: Body) -> Option<Request<Body>> {
    let (service, method) = (str::from_utf8(asked.service).ok()?, str::from_utf8(asked.method).ok()?);
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(format!("/{service}/{method}"))
        .build()
        .ok()?;
    let headers = request.headers_mut();
    for (name, value) in map::decode(asked.metadata)? {
        headers.add(name, value).ok()?;
    }
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    Some(request)
}

/// Starts what the guest asked for.
pub fn start(slot: &Arc<Slot>, state: &mut State, after: &mut After) {
    for pending in after.grpc.drain(..) {
        let id = pending.id;
        let task = slot.runtime.spawn(run(Arc::downgrade(slot), pending));
        match state.grpc.get_mut(&id) {
            Some(open) => open.task = Some(task.abort_handle()),
            None => task.abort(),
        }
    }
}

/// How a call or a stream ended.
struct Closed {
    code: u32,
    message: Vec<u8>,
}

async fn run(slot: Weak<Slot>, pending: Pending) {
    let Pending { id, root, to, request, timeout } = pending;
    let guest = Told { slot, id, root };
    let closed = match timeout {
        Some(timeout) => match tokio::time::timeout(timeout, call(&*to, request)).await {
            Ok(Ok(message)) => {
                let len = message.len() as u32;
                let received = Received { message, ..Received::default() };
                guest.tell(Event::Message { len }, received, Some(&Closed { code: 0, message: Vec::new() })).await;
                return;
            }
            Ok(Err(closed)) => closed,
            Err(_) => Closed { code: DEADLINE_EXCEEDED, message: b"the call took too long".to_vec() },
        },
        None => stream(&guest, &*to, request).await,
    };
    let code = closed.code;
    guest.tell(Event::Close { code }, Received::default(), Some(&closed)).await;
}

/// Whom a call tells what comes.
struct Told {
    slot: Weak<Slot>,
    id: u32,
    root: u32,
}

impl Told {
    /// `last`: the guest hears nothing more of it.
    async fn tell(&self, event: Event, received: Received, last: Option<&Closed>) -> bool {
        let Some(slot) = self.slot.upgrade() else { return false };
        let (id, root) = (self.id, self.root);
        let status = last.map(|closed| (closed.code, closed.message.clone()));
        let step = move |state: &mut State| {
            if let Some(status) = status {
                state.status = status;
                if let Some(mut open) = state.grpc.remove(&id) {
                    // This is the task, and about to end.
                    open.task = None;
                }
            }
            state.received = received;
            Step::Grpc { root, call: id, event }
        };
        slot.call_in_background(step, |state, _| state.received = Received::default()).await.is_ok()
    }
}

async fn call(to: &dyn Handler, request: Request<Body>) -> Result<Bytes, Closed> {
    let mut messages = Messages::of(to.handle(request).await)?;
    let mut only = None;
    while let Some(message) = messages.next().await? {
        only = Some(message);
    }
    let closed = messages.closed();
    match only {
        Some(message) if closed.code == 0 => Ok(message),
        _ if closed.code != 0 => Err(closed),
        _ => Err(Closed { code: INTERNAL_ERROR, message: b"the answer has no message".to_vec() }),
    }
}

async fn stream(guest: &Told, to: &dyn Handler, request: Request<Body>) -> Closed {
    let mut messages = match Messages::of(to.handle(request).await) {
        Ok(messages) => messages,
        Err(closed) => return closed,
    };
    let initial = std::mem::take(&mut messages.headers);
    let count = initial.len() as u32;
    guest.tell(Event::Initial { count }, Received { initial, ..Received::default() }, None).await;
    loop {
        match messages.next().await {
            Ok(Some(message)) => {
                let len = message.len() as u32;
                guest.tell(Event::Message { len }, Received { message, ..Received::default() }, None).await;
            }
            Ok(None) => break,
            Err(closed) => return closed,
        }
    }
    let trailing = messages.trailers.clone();
    let count = trailing.len() as u32;
    guest.tell(Event::Trailing { count }, Received { trailing, ..Received::default() }, None).await;
    messages.closed()
}

/// The messages of an answer.
struct Messages {
    headers: HeaderMap,
    body: Body,
    buffer: BytesMut,
    trailers: HeaderMap,
    /// Of an answer without messages.
    status_of_head: Option<Closed>,
}

impl Messages {
    fn of(response: Response<Body>) -> Result<Self, Closed> {
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            let message = format!("HTTP status {}", parts.status.as_u16()).into_bytes();
            return Err(Closed { code: grpc_status(parts.status), message });
        }
        let status_of_head = parts.headers.contains_key(&GRPC_STATUS).then(|| closed_by(&parts.headers));
        let (buffer, trailers) = (BytesMut::new(), HeaderMap::new());
        Ok(Messages { headers: parts.headers, body, buffer, trailers, status_of_head })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Closed> {
        let broken = |code, message: &str| Closed { code, message: message.as_bytes().to_vec() };
        loop {
            if let Some(head) = self.buffer.first_chunk::<5>() {
                let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if head[0] != 0 {
                    return Err(broken(INTERNAL_ERROR, "the answer is compressed, though nobody asked for that"));
                }
                if len > ANSWER_MAX {
                    return Err(broken(INTERNAL_ERROR, "the answer's message is too long"));
                }
                if self.buffer.len() >= 5 + len {
                    self.buffer.advance(5);
                    return Ok(Some(self.buffer.split_to(len).freeze()));
                }
            }
            match self.body.frame().await.transpose() {
                Err(error) => return Err(failed(&error)),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Err(broken(INTERNAL_ERROR, "the answer ends within a message")),
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(piece) => self.buffer.extend_from_slice(&piece),
                    Err(frame) => self.trailers = frame.into_trailers().unwrap_or_default(),
                },
            }
        }
    }

    fn closed(&mut self) -> Closed {
        match self.status_of_head.take() {
            Some(closed) if !self.trailers.contains_key(&GRPC_STATUS) => closed,
            _ => closed_by(&self.trailers),
        }
    }
}

fn failed(error: &BodyError) -> Closed {
    Closed { code: UNAVAILABLE, message: error.to_string().into_bytes() }
}

fn closed_by(headers: &HeaderMap) -> Closed {
    let code = headers.get(&GRPC_STATUS).and_then(|value| value.to_str().ok()?.parse().ok());
    let message = headers.get(&GRPC_MESSAGE).map(|value| value.as_bytes().to_vec());
    Closed { code: code.unwrap_or(UNKNOWN), message: message.unwrap_or_default() }
}
