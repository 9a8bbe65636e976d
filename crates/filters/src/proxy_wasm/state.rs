//! What the host functions of one VM work on: its contexts, and what they ask for.
//!
//! It lives in the VM's store. While a guest runs, only host functions touch it; between calls the streams do.

use super::calls::{Carried, Pending, Reply};
use super::chunks::Chunks;
use super::facts::Facts;
use super::foreign::expressions::Expressions;
use super::grpc::Grpc;
use super::head::{Fields, RequestHead, ResponseHead};
use super::ids::Ids;
use super::local::LocalResponse;
use super::slot::Slot;
use super::values::{Buffer, Map, Side};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use sampan_service::{Depth, Handshake, Peer, Via};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::AbortHandle;
use wasmtime::{Memory, TypedFunc};

pub struct State {
    /// The filter for which the VM was made; others of the same `vm_id` may share it.
    pub facts: Arc<Facts>,
    /// Where the VM is.
    pub slot: Weak<Slot>,
    /// Looked up once; before that the guest's start section may have called.
    pub memory: Option<Memory>,
    pub allocate: Option<TypedFunc<u32, u32>>,
    pub roots: Ids<Root>,
    pub streams: Ids<Box<Stream>>,
    next_context: u32,
    next_call: u32,
    /// The context that the guest's calls mean.
    pub effective: u32,
    /// What is done when the guest has returned.
    pub after: After,
    /// The answer that a callback is about.
    pub reply: Option<Reply>,
    /// What `proxy_get_status` says.
    pub status: (u32, Vec<u8>),
    /// It is in `on_vm_start`, for 0.1.0, which has one function for both configurations.
    pub starting: bool,
    /// Calls under way.
    pub calls: HashMap<u32, AbortHandle>,
    pub carried: Carried,
    /// Those of gRPC.
    pub grpc: Grpc,
}

/// One filter with one configuration in this VM.
pub struct Root {
    pub facts: Arc<Facts>,
    pub ticker: Option<AbortHandle>,
    /// Properties that it declared, and whether each can be set only once.
    pub declared: HashMap<Vec<u8>, bool>,
    pub expressions: Expressions,
    /// `on_done` asked for time.
    pub leaving: bool,
}

/// One exchange in this VM.
pub struct Stream {
    pub root: u32,
    pub facts: Arc<Facts>,
    pub request: Option<RequestHead>,
    pub request_trailers: Option<HeaderMap>,
    pub response: Option<ResponseHead>,
    pub response_trailers: Option<HeaderMap>,
    /// What a callback on the body may see.
    pub request_body: Option<Chunks>,
    pub response_body: Option<Chunks>,
    pub local: Local,
    /// How often the guest said that a side may go on.
    pub request_resumed: u32,
    pub response_resumed: u32,
    /// The guest closed it.
    pub closed: bool,
    /// Whoever waits for one of the above.
    pub wakers: Vec<Waker>,
    /// It is a connection: its bodies are what comes from the client and from the server.
    pub tcp: bool,
    pub properties: Option<Properties>,
    pub about: About,
    /// `on_done` asked for time.
    pub leaving: bool,
    /// `on_delete` was called.
    pub over: bool,
}

/// Set by filters of a chain for each other.
pub type Properties = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// What properties say of an exchange beside its heads.
pub struct About {
    pub peer: Option<Peer>,
    pub id: Option<HeaderValue>,
    pub depth: Depth,
    pub route: Option<Arc<str>>,
    /// Of the client's connection, where TLS ended here.
    pub handshake: Option<Arc<Handshake>>,
    /// Which upstream answered, once one has.
    pub via: Option<Box<Via>>,
    /// The server of a TCP connection.
    pub upstream: Option<SocketAddr>,
    /// What the filter said of its own answer.
    pub details: Option<Vec<u8>>,
    pub time: SystemTime,
    pub began: Instant,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// The answer in the place of the next handler's.
#[derive(Default)]
pub enum Local {
    #[default]
    None,
    Asked(Box<LocalResponse>),
    /// Later ones are ignored.
    Taken,
}

#[derive(Default)]
pub struct After {
    pub wakers: Vec<Waker>,
    pub calls: Vec<Pending>,
    /// Contexts for which the guest said `proxy_done`.
    pub done: Vec<u32>,
    /// Roots, and how often they want to be called.
    pub ticks: Vec<(u32, Option<Duration>)>,
    /// Queues that others registered, and have something in them now.
    pub queues: Vec<(Weak<Slot>, u32, u32)>,
    /// Contexts whose `on_done` asked for time.
    pub leaving: Vec<u32>,
    /// Streams that are over.
    pub over: Vec<u32>,
}

impl After {
    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
            && self.calls.is_empty()
            && self.done.is_empty()
            && self.ticks.is_empty()
            && self.queues.is_empty()
            && self.leaving.is_empty()
            && self.over.is_empty()
    }
}

impl State {
    pub fn new(facts: Arc<Facts>, slot: Weak<Slot>) -> Self {
        State {
            facts,
            slot,
            memory: None,
            allocate: None,
            roots: Ids::default(),
            streams: Ids::default(),
            next_context: 1,
            next_call: 1,
            effective: 0,
            after: After::default(),
            reply: None,
            status: (0, Vec::new()),
            starting: false,
            calls: HashMap::new(),
            carried: Carried::default(),
            grpc: Grpc::default(),
        }
    }

    /// The number of a context to come: of none that lives.
    pub fn new_context(&mut self) -> u32 {
        loop {
            let id = self.next_context;
            self.next_context = id.checked_add(1).unwrap_or(1);
            if !self.roots.contains_key(&id) && !self.streams.contains_key(&id) {
                return id;
            }
        }
    }

    /// The number of a call to come: of none that is under way.
    pub fn new_call(&mut self) -> u32 {
        loop {
            let id = self.next_call;
            self.next_call = id.checked_add(1).unwrap_or(1);
            let pending = self.after.calls.iter().any(|call| call.id == id);
            if !pending && !self.calls.contains_key(&id) && !self.grpc.is_open(id) {
                return id;
            }
        }
    }

    pub fn root_of(&self, facts: &Facts) -> Option<u32> {
        self.roots.iter().find(|(_, root)| root.facts.number == facts.number).map(|(id, _)| *id)
    }

    /// The stream that the guest's calls mean.
    pub fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.effective).map(Box::as_mut)
    }

    /// Whether a stream can end after a callback that is its last: everything passes. The guest's calls mean it now.
    pub fn may_end(&mut self, stream: u32, action: u32) -> bool {
        self.effective = stream;
        let there = |stream: &Stream| !stream.over && !stream.diverted();
        matches!(action, 0 | 2) && self.streams.get(&stream).is_some_and(|stream| there(stream))
    }

    /// The root of the context that the guest's calls mean.
    pub fn effective_root(&self) -> u32 {
        self.streams.get(&self.effective).map_or(self.effective, |stream| stream.root)
    }

    /// The filter that is calling.
    pub fn calling(&self) -> &Arc<Facts> {
        match (self.streams.get(&self.effective), self.roots.get(&self.effective)) {
            (Some(stream), _) => &stream.facts,
            (None, Some(root)) => &root.facts,
            (None, None) => &self.facts,
        }
    }

    /// The fields of a map, where they exist now.
    pub fn fields(&mut self, map: Map) -> Option<&mut dyn Fields> {
        match map {
            Map::CallHeaders => self.reply.as_mut().map(|reply| &mut reply.headers as &mut dyn Fields),
            Map::CallTrailers => self.reply.as_mut().map(|reply| &mut reply.trailers as &mut dyn Fields),
            Map::GrpcInitial | Map::GrpcTrailing => self.grpc.fields(map),
            _ => self.stream()?.fields(map),
        }
    }

    /// A copy of bytes of a buffer; `None` where it does not exist now.
    pub fn buffer(&mut self, buffer: Buffer, start: usize, max: usize) -> Option<Vec<u8>> {
        let cut = |bytes: &[u8]| {
            let rest = bytes.get(start..).unwrap_or_default();
            rest[..rest.len().min(max)].to_vec()
        };
        match buffer {
            Buffer::VmConfig => Some(cut(self.facts.code.spec.vm_config.as_bytes())),
            Buffer::PluginConfig => Some(cut(self.calling().config.as_bytes())),
            Buffer::CallBody => self.reply.as_ref().map(|reply| cut(&reply.body)),
            Buffer::GrpcMessage => self.grpc.message().map(|message| cut(message)),
            _ => Some(self.body(buffer)?.copy(start, max)),
        }
    }

    pub fn buffer_len(&mut self, buffer: Buffer) -> Option<usize> {
        match buffer {
            Buffer::VmConfig => Some(self.facts.code.spec.vm_config.len()),
            Buffer::PluginConfig => Some(self.calling().config.len()),
            Buffer::CallBody => self.reply.as_ref().map(|reply| reply.body.len()),
            Buffer::GrpcMessage => self.grpc.message().map(|message| message.len()),
            _ => Some(self.body(buffer)?.len()),
        }
    }

    /// A buffer that can be written to.
    pub fn body(&mut self, buffer: Buffer) -> Option<&mut Chunks> {
        let stream = self.stream()?;
        match buffer {
            Buffer::RequestBody if !stream.tcp => stream.request_body.as_mut(),
            Buffer::ResponseBody if !stream.tcp => stream.response_body.as_mut(),
            Buffer::Downstream if stream.tcp => stream.request_body.as_mut(),
            Buffer::Upstream if stream.tcp => stream.response_body.as_mut(),
            _ => None,
        }
    }
}

impl Stream {
    pub fn new(root: u32, facts: &Arc<Facts>, request: RequestHead, about: About) -> Self {
        Stream {
            properties: request.parts.extensions.get::<Properties>().cloned(),
            request: Some(request),
            tcp: false,
            ..Stream::of_tcp(root, facts, about)
        }
    }

    /// Of a connection, which has no heads.
    pub fn of_tcp(root: u32, facts: &Arc<Facts>, about: About) -> Self {
        Stream {
            root,
            facts: Arc::clone(facts),
            tcp: true,
            properties: None,
            request: None,
            request_trailers: None,
            response: None,
            response_trailers: None,
            request_body: None,
            response_body: None,
            local: Local::None,
            request_resumed: 0,
            response_resumed: 0,
            closed: false,
            wakers: Vec::new(),
            about,
            leaving: false,
            over: false,
        }
    }

    fn fields(&mut self, map: Map) -> Option<&mut dyn Fields> {
        match map {
            Map::RequestHeaders => self.request.as_mut().map(|head| head as &mut dyn Fields),
            Map::RequestTrailers => self.request_trailers.as_mut().map(|map| map as &mut dyn Fields),
            Map::ResponseHeaders => self.response.as_mut().map(|head| head as &mut dyn Fields),
            Map::ResponseTrailers => self.response_trailers.as_mut().map(|map| map as &mut dyn Fields),
            _ => None,
        }
    }

    pub fn resumed(&self, side: Side) -> u32 {
        match side {
            Side::Request => self.request_resumed,
            Side::Response => self.response_resumed,
        }
    }

    pub fn body_mut(&mut self, side: Side) -> &mut Option<Chunks> {
        match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        }
    }

    pub fn trailers_mut(&mut self, side: Side) -> &mut Option<HeaderMap> {
        match side {
            Side::Request => &mut self.request_trailers,
            Side::Response => &mut self.response_trailers,
        }
    }

    pub fn count(&mut self, side: Side, piece: &Bytes) {
        match side {
            Side::Request => self.about.request_bytes += piece.len() as u64,
            Side::Response => self.about.response_bytes += piece.len() as u64,
        }
    }

    /// Whether the exchange cannot go on as it was.
    pub fn diverted(&self) -> bool {
        self.closed || matches!(self.local, Local::Asked(_))
    }

    pub fn wait(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|one| one.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for root in self.roots.values_mut() {
            if let Some(ticker) = root.ticker.take() {
                ticker.abort();
            }
        }
        self.calls.values().for_each(AbortHandle::abort);
        // Whoever waits for one of these streams finds that the VM is gone.
        for stream in self.streams.values_mut() {
            stream.wakers.drain(..).for_each(Waker::wake);
        }
    }
}
