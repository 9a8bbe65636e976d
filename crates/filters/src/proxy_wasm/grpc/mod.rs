//! `proxy_grpc_call` and `proxy_grpc_stream`: gRPC of filters to upstreams and components of the app.
//!
//! A call is a task on the VM's worker ([`run`]) and an entry in the VM's state. The entry is what the guest can
//! send to and cancel; the task ends with it.

mod messages;
mod run;
mod service;

use super::calls::{CALLS_MAX, CARRIED_BYTES_MAX};
use super::head::{Fields, ResponseHead};
use super::state::State;
use super::values::{BAD_ARGUMENT, INTERNAL, Map, NOT_FOUND, PARSE, Status};
use bytes::Bytes;
use futures::channel::mpsc;
use http::HeaderMap;
use run::Pending;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::AbortHandle;

/// What a guest may have queued for one stream: as much as gRPC's libraries take as one message by default.
const QUEUED_MAX: usize = 4 << 20;

/// The calls of one VM.
#[derive(Default)]
pub struct Grpc {
    open: HashMap<u32, Open>,
    /// What a callback is about.
    event: Option<Event>,
}

/// A call under way.
struct Open {
    root: u32,
    /// `None` where nothing was started, because the VM is only tried out, or where the task ends by itself.
    task: Option<AbortHandle>,
    /// `None`: a call with one message, which was sent with it.
    stream: Option<Sending>,
}

/// The guest's side of a stream.
struct Sending {
    /// `None`: it has ended.
    messages: Option<mpsc::UnboundedSender<Bytes>>,
    queued: Arc<AtomicUsize>,
}

/// What the guest is told of a call.
pub struct Delivery {
    pub root: u32,
    pub id: u32,
    pub event: Event,
}

pub enum Event {
    /// `None`: there was nothing before the end.
    Initial(Option<ResponseHead>),
    Message(Bytes),
    /// The message that a call was made for: its end too.
    Answer(Bytes),
    Trailing(HeaderMap),
    Close(Closed),
}

/// The end of a call, in gRPC's numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    pub code: u32,
    pub message: Vec<u8>,
}

/// What both functions were given.
pub struct Asked<'a> {
    pub upstream: &'a [u8],
    pub service: &'a [u8],
    pub method: &'a [u8],
    pub metadata: &'a [u8],
    pub kind: Kind<'a>,
}

pub enum Kind<'a> {
    Call { message: &'a [u8], timeout_ms: u32 },
    Stream,
}

impl Closed {
    fn new(code: u32, message: &str) -> Self {
        Closed { code, message: message.into() }
    }
}

impl Event {
    /// Whether nothing follows.
    pub fn ends(&self) -> bool {
        matches!(self, Event::Answer(_) | Event::Close(_))
    }

    /// The number that the callback gets: of fields, of bytes, or the status.
    pub fn number(&self) -> u32 {
        match self {
            Event::Initial(head) => head.as_ref().map_or(0, Fields::count),
            Event::Message(message) | Event::Answer(message) => message.len() as u32,
            Event::Trailing(trailers) => trailers.count(),
            Event::Close(closed) => closed.code,
        }
    }
}

impl Grpc {
    pub fn is_open(&self, id: u32) -> bool {
        self.open.contains_key(&id)
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The guest is called about it.
    pub fn tell(&mut self, id: u32, event: Event) {
        if event.ends()
            && let Some(mut open) = self.open.remove(&id)
        {
            // It is the task that calls the guest.
            open.task = None;
        }
        self.event = Some(event);
    }

    pub fn told(&mut self) {
        self.event = None;
    }

    /// The fields of what a callback is about.
    pub fn fields(&mut self, map: Map) -> Option<&mut dyn Fields> {
        match (map, &mut self.event) {
            (Map::GrpcInitial, Some(Event::Initial(Some(head)))) => Some(head),
            (Map::GrpcTrailing, Some(Event::Trailing(trailers))) => Some(trailers),
            _ => None,
        }
    }

    pub fn message(&self) -> Option<&Bytes> {
        match &self.event {
            Some(Event::Message(message) | Event::Answer(message)) => Some(message),
            _ => None,
        }
    }

    pub fn send(&mut self, id: u32, message: &[u8], end: bool) -> Result<(), Status> {
        let streams = self.open.values().filter_map(|open| open.stream.as_ref());
        let queued: usize = streams.map(|stream| stream.queued.load(Relaxed)).sum();
        let open = self.open.get_mut(&id).ok_or(NOT_FOUND)?;
        let stream = open.stream.as_mut().ok_or(BAD_ARGUMENT)?;
        let messages = stream.messages.as_ref().ok_or(BAD_ARGUMENT)?;
        let frame = messages::frame(message).ok_or(BAD_ARGUMENT)?;
        // Rust's SDK knows of no status that says "later".
        let full = stream.queued.load(Relaxed) + frame.len() > QUEUED_MAX + messages::HEAD;
        if full || queued + frame.len() > CARRIED_BYTES_MAX {
            return Err(BAD_ARGUMENT);
        }
        stream.queued.fetch_add(frame.len(), Relaxed);
        // Nobody listens where the server has ended already; the guest is about to be told.
        let _ = messages.unbounded_send(frame);
        if end {
            stream.messages = None;
        }
        Ok(())
    }

    /// The guest has nothing more to say. What the server says it still hears; a call's answer it does not want.
    pub fn close(&mut self, id: u32) -> Result<(), Status> {
        match &mut self.open.get_mut(&id).ok_or(NOT_FOUND)?.stream {
            Some(stream) => stream.messages = None,
            None => drop(self.open.remove(&id)),
        }
        Ok(())
    }

    /// The guest is told nothing more.
    pub fn cancel(&mut self, id: u32) -> Result<(), Status> {
        self.open.remove(&id).map(drop).ok_or(NOT_FOUND)
    }

    /// Nobody is left to be told.
    pub fn root_ended(&mut self, root: u32) {
        self.open.retain(|_, open| open.root != root);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl State {
    /// Starts a call; its number.
    pub fn grpc(&mut self, asked: &Asked<'_>) -> Result<u32, Status> {
        let calling = Arc::clone(self.calling());
        let found = service::find(&calling.code.destinations, asked.upstream);
        let Some(service) = found else {
            let name = String::from_utf8_lossy(asked.upstream);
            calling
                .code
                .log(&format!("gRPC: the app has no upstream or component `{}`", name.escape_debug()));
            return Err(PARSE);
        };
        let (timeout, stream, body) = match asked.kind {
            Kind::Call { message, timeout_ms } => {
                // 0 has no meaning in the specification; the longest pause bounds it all the same.
                let longest = calling.code.spec.pause;
                let timeout = match timeout_ms {
                    0 => longest,
                    given => longest.min(Duration::from_millis(given.into())),
                };
                (Some(timeout), None, sampan_service::full(messages::frame(message).ok_or(PARSE)?))
            }
            Kind::Stream => {
                let (messages, body, queued) = messages::queue();
                (None, Some(Sending { messages: Some(messages), queued }), body)
            }
        };
        let depth = self.stream().map(|stream| stream.about.depth).unwrap_or_default();
        let request = service::request(&service, asked, timeout, depth, body).ok_or(PARSE)?;
        if self.calls.len() + self.after.calls.len() + self.grpc.len() >= CALLS_MAX {
            return Err(INTERNAL);
        }
        let carries = match asked.kind {
            Kind::Call { message, .. } => message.len(),
            Kind::Stream => 0,
        };
        let load = self.carried.take(carries).ok_or(INTERNAL)?;
        let (id, root) = (self.new_call(), self.effective_root());
        let pending = Pending { id, root, to: service.handler, request, timeout, load };
        let task = self.slot.upgrade().map(|slot| {
            let task = slot.runtime.spawn(run::run(Arc::downgrade(&slot), pending));
            task.abort_handle()
        });
        self.grpc.open.insert(id, Open { root, task, stream });
        Ok(id)
    }
}
