//! The life of a TCP connection with a filter. Downstream, the client, is its request side; upstream, the server,
//! its response side.

use super::chunks::Chunks;
use super::plugin::ProxyWasm;
use super::slot::Lost;
use super::state::{About, State, Stream};
use super::stream::{Handle, Woken};
use super::values::Side;
use super::vm::{CONTINUE, Step};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use sampan_app::OnFailure;
use sampan_service::{ClosedBy, Depth, Flow, Handshake, Peer, Side as Tcp, TcpPass};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

/// Who closed a connection, in numbers of the specification.
const LOCAL: u32 = 1;
const REMOTE: u32 = 2;

/// A filter's part of a connection. A filter that stops waits for more, or for somebody else; how long it may is
/// the route's limit on connections on which nothing moves.
struct Connection {
    /// `None`: the filter failed, and everything passes without it.
    handle: Option<Arc<Handle>>,
    /// Until the filter's state has it.
    server: Option<SocketAddr>,
    client: Way,
    from_server: Way,
    /// `on_new_connection` stopped, and the client's side has not gone on since. So long the server's waits too: in
    /// Envoy, no server has been chosen by then.
    held_up: bool,
}

/// What comes from one side.
struct Way {
    /// Whether the filter is asked.
    asked: bool,
    /// While it is stopped: how often it had been resumed.
    stopped: Option<u32>,
    ended: bool,
    /// What waits without the filter seeing it again.
    held: Chunks,
    /// Something, or the end, waits only because the connection is held up.
    waits: bool,
}

impl Way {
    fn new(asked: bool) -> Self {
        Way { asked, stopped: None, ended: false, held: Chunks::default(), waits: false }
    }
}

/// What a callback led to.
enum Seen {
    Closed,
    Passes(Chunks),
    /// And has so many bytes in its buffer.
    Stops(usize),
}

impl ProxyWasm {
    /// `None`: the client is not wanted.
    pub async fn connection(
        self: Arc<Self>,
        peer: Peer,
        handshake: Option<Arc<Handshake>>,
    ) -> Option<Box<dyn TcpPass>> {
        let code = &self.facts.code;
        code.metrics.exchanges.inc();
        let callbacks = self.vms.callbacks;
        let (client, from_server) = (Way::new(callbacks.downstream_data), Way::new(callbacks.upstream_data));
        let mut connection = Connection { handle: None, server: None, client, from_server, held_up: false };
        let open = code.spec.on_failure == OnFailure::Open;
        if !code.health.admits() {
            return open.then(|| Box::new(connection) as Box<dyn TcpPass>);
        }
        let lease = match self.vms.lease(&self.facts).await {
            Ok(lease) => lease,
            Err(lost) => {
                if lost == Lost::Ended {
                    code.health.failed();
                }
                return open.then(|| Box::new(connection) as Box<dyn TcpPass>);
            }
        };
        let handle = Handle::new(Arc::clone(&self), lease);
        let step = |state: &mut State, _| {
            let id = state.new_context();
            // Its root is found, or made, when the context is.
            state.streams.insert(id, Box::new(Stream::of_tcp(0, &self.facts, about(peer, handshake))));
            handle.begins(id);
            Step::Connect { stream: id, facts: Arc::clone(&self.facts) }
        };
        let read = |stream: Option<&mut Stream>, action| {
            let wanted = stream.is_some_and(|stream| !stream.diverted());
            wanted.then_some(action)
        };
        match handle.call(step, read).await {
            Ok(None) => return None,
            Ok(Some(action)) => {
                code.health.succeeded();
                connection.held_up = action != CONTINUE;
                // It may have been resumed in this very callback.
                connection.client.stopped = connection.held_up.then_some(0);
                connection.handle = Some(handle);
            }
            Err(_) if open => {}
            Err(_) => return None,
        }
        Some(Box::new(connection))
    }
}

impl Connection {
    fn way(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Request => &mut self.client,
            Side::Response => &mut self.from_server,
        }
    }

    async fn came(&mut self, side: Side, data: Bytes, end: bool) -> Flow {
        let Some(handle) = self.handle.clone() else { return Flow::Pass { data, end } };
        let way = self.way(side);
        way.ended |= end;
        if !way.asked {
            let mut data_alone = Chunks::default();
            data_alone.push(data);
            if way.stopped.is_none() {
                return self.pass(side, data_alone);
            }
            way.held.append(data_alone);
            let held = way.held.len();
            return self.bounded(held);
        }
        let (mut since, spare, server) = (0, data.clone(), self.server.take());
        let step = |state: &mut State, id| {
            let mut len = 0;
            if let Some(stream) = state.streams.get_mut(&id) {
                since = stream.resumed(side);
                stream.about.upstream = stream.about.upstream.or(server);
                stream.count(side, &data);
                let body = stream.body_mut(side).get_or_insert_default();
                body.push(data);
                len = body.len();
            }
            Step::Data { side, stream: id, len: len as u32, end }
        };
        match handle.call(step, |stream, action| seen(stream, side, action)).await {
            Ok(Seen::Closed) => Flow::Close,
            Ok(Seen::Passes(data)) => self.pass(side, data),
            Ok(Seen::Stops(buffered)) => {
                let way = self.way(side);
                way.stopped = Some(since);
                let held = way.held.len();
                self.bounded(held + buffered)
            }
            // What it had buffered is gone with it.
            Err(_) if handle.fails_open() && !self.is_stopped() => {
                self.handle = None;
                let mut passed = Chunks::default();
                passed.push(spare);
                self.pass(side, passed)
            }
            Err(_) => Flow::Close,
        }
    }

    fn is_stopped(&self) -> bool {
        self.client.stopped.is_some() || self.from_server.stopped.is_some()
    }

    /// The filter lets a side go on.
    fn pass(&mut self, side: Side, data: Chunks) -> Flow {
        if side == Side::Request {
            self.held_up = false;
        }
        let held_up = self.held_up;
        let way = self.way(side);
        way.stopped = None;
        way.held.append(data);
        way.waits = held_up;
        if held_up {
            let held = way.held.len();
            return self.bounded(held);
        }
        Flow::Pass { data: joined(std::mem::take(&mut way.held)), end: way.ended }
    }

    /// Whoever has more wait than may be is cut off: there is no other way to tell.
    fn bounded(&self, waiting: usize) -> Flow {
        let Some(handle) = &self.handle else { return Flow::HOLD };
        if waiting as u64 <= handle.plugin.facts.code.spec.buffer_bytes {
            return Flow::HOLD;
        }
        handle.plugin.facts.code.log("it has more of a connection buffered than it may (buffer)");
        Flow::Close
    }

    /// What the filter lets go on outside of a callback about it.
    fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<(Tcp, Flow)> {
        if self.from_server.waits && !self.held_up {
            return Poll::Ready((Tcp::Server, self.pass(Side::Response, Chunks::default())));
        }
        let Some(handle) = &self.handle else { return Poll::Pending };
        for (side, stopped) in
            [(Side::Request, self.client.stopped), (Side::Response, self.from_server.stopped)]
        {
            let Some(since) = stopped else { continue };
            let tcp = if side == Side::Request { Tcp::Client } else { Tcp::Server };
            match handle.poll_woken(cx, side, since) {
                Poll::Pending => {}
                Poll::Ready(Ok(Woken::Resumed)) => {
                    let id = handle.id();
                    let body = ready!(handle.slot().peek(cx, |state| {
                        state.streams.get_mut(&id).and_then(|stream| stream.body_mut(side).take())
                    }));
                    return Poll::Ready(match body {
                        Ok(body) => (tcp, self.pass(side, body.unwrap_or_default())),
                        Err(_) => (tcp, Flow::Close),
                    });
                }
                Poll::Ready(Ok(Woken::Diverted) | Err(_)) => return Poll::Ready((tcp, Flow::Close)),
            }
        }
        handle.poll_diverted(cx).map(|()| (Tcp::Client, Flow::Close))
    }
}

impl TcpPass for Connection {
    fn connected(&mut self, server: SocketAddr) {
        self.server = Some(server);
    }

    fn data(&mut self, from: Tcp, data: Bytes, end: bool) -> BoxFuture<'_, Flow> {
        Box::pin(self.came(side_of(from), data, end))
    }

    fn next(&mut self) -> BoxFuture<'_, (Tcp, Flow)> {
        Box::pin(poll_fn(|cx| self.poll_released(cx)))
    }

    fn closed(&mut self, side: Tcp, by: ClosedBy) -> BoxFuture<'_, ()> {
        let peer = match by {
            ClosedBy::Local => LOCAL,
            ClosedBy::Remote => REMOTE,
        };
        Box::pin(async move {
            if let Some(handle) = &self.handle {
                let step = |_: &mut State, id| Step::Closed { side: side_of(side), stream: id, peer };
                // A filter that is gone does not want to know.
                let _ = handle.call(step, |_, _| ()).await;
            }
        })
    }
}

fn side_of(tcp: Tcp) -> Side {
    match tcp {
        Tcp::Client => Side::Request,
        Tcp::Server => Side::Response,
    }
}

fn seen(stream: Option<&mut Stream>, side: Side, action: u32) -> Seen {
    let Some(stream) = stream.filter(|stream| !stream.diverted()) else { return Seen::Closed };
    let body = stream.body_mut(side);
    match action {
        CONTINUE => Seen::Passes(body.take().unwrap_or_default()),
        _ => Seen::Stops(body.as_ref().map_or(0, Chunks::len)),
    }
}

fn joined(chunks: Chunks) -> Bytes {
    let len = chunks.len();
    let mut pieces = chunks.into_pieces();
    match (pieces.next(), pieces.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let mut all = BytesMut::with_capacity(len);
            [first, second].into_iter().chain(pieces).for_each(|piece| all.extend_from_slice(&piece));
            all.freeze()
        }
    }
}

fn about(peer: Peer, handshake: Option<Arc<Handshake>>) -> About {
    About {
        peer: Some(peer),
        id: None,
        depth: Depth::default(),
        route: None,
        handshake,
        via: None,
        upstream: None,
        details: None,
        time: SystemTime::now(),
        began: Instant::now(),
        request_bytes: 0,
        response_bytes: 0,
    }
}
