//! The seam between TCP routes and filters of their connections.

use crate::handler::Peer;
use crate::handshake::Handshake;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;

/// A filter that may stand on a TCP route.
pub trait TcpFilter: Send + Sync {
    /// The filter with the configuration of a route or, without one, its own. Called when routes are compiled.
    ///
    /// # Errors
    ///
    /// Why it cannot, for a person.
    fn configured(&self, config: Option<&str>) -> Result<Arc<dyn TcpEntry>, String>;
}

/// A filter on a route.
pub trait TcpEntry: Send + Sync {
    /// A client has connected, and no server has been chosen. What is returned sees the rest of the connection;
    /// `None` closes it.
    fn connect(
        &self,
        peer: Peer,
        handshake: Option<Arc<Handshake>>,
    ) -> BoxFuture<'_, Option<Box<dyn TcpPass>>>;
}

/// A filter's part of one connection. Its calls are made one after the other, on the connection's worker.
pub trait TcpPass: Send {
    /// A server has been connected to.
    fn connected(&mut self, _server: SocketAddr) {}

    /// Bytes came from one side, or its end; the answer is what goes on to the other side now. What is to wait, the
    /// filter keeps: it is not given again. Bytes of the other direction wait until the answer is there, so the call
    /// must not wait for them.
    fn data(&mut self, from: Side, data: Bytes, end: bool) -> BoxFuture<'_, Flow>;

    /// Waits until the filter lets something go on its own: for the bytes that it kept of a side, after a timer or
    /// the answer of a call. It is dropped and asked again whenever something else happens, and must not lose
    /// anything by that. Most filters never do.
    fn next(&mut self) -> BoxFuture<'_, (Side, Flow)> {
        Box::pin(std::future::pending())
    }

    /// One side of the connection is closed. Called once for each side, at the end.
    fn closed(&mut self, side: Side, by: ClosedBy) -> BoxFuture<'_, ()>;
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Downstream.
    Client,
    /// Upstream.
    Server,
}

/// What a filter lets go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    Pass {
        data: Bytes,
        /// The side has ended, and nothing of it is kept.
        end: bool,
    },
    /// The connection ends, on both sides.
    Close,
}

impl Flow {
    /// Nothing goes on yet.
    pub const HOLD: Flow = Flow::Pass { data: Bytes::new(), end: false };
}

/// Who ended one side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// We did.
    Local,
    /// The client or the server did.
    Remote,
}
