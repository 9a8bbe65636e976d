//! The filters of one connection, one behind the other: what the client sends passes them in their order, what
//! the server sends in the opposite one.

use bytes::Bytes;
use futures::future::select_all;
use sampan_service::{ClosedBy, Flow, Side, TcpConnection, TcpEntry, TcpPass};
use std::net::SocketAddr;
use std::sync::Arc;

pub struct Chain(Vec<Box<dyn TcpPass>>);

/// What a filter let go on its own.
pub struct Released {
    index: usize,
    pub side: Side,
    flow: Flow,
}

impl Chain {
    /// `None`: a filter does not want the connection.
    pub async fn connect(filters: &[Arc<dyn TcpEntry>], client: &TcpConnection) -> Option<Chain> {
        let mut chain = Chain(Vec::with_capacity(filters.len()));
        for filter in filters {
            match filter.connect(client.peer, client.handshake.clone()).await {
                Some(pass) => chain.0.push(pass),
                None => {
                    chain.closed_by_us().await;
                    return None;
                }
            }
        }
        Some(chain)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn connected(&mut self, server: SocketAddr) {
        self.0.iter_mut().for_each(|pass| pass.connected(server));
    }

    /// What becomes of bytes from one side on their way to the other.
    pub async fn data(&mut self, side: Side, data: Bytes, end: bool) -> Flow {
        self.pass(side, Flow::Pass { data, end }, None).await
    }

    /// Waits for a filter that lets something go on its own. May be dropped.
    pub async fn next(&mut self) -> Released {
        let waiting = self.0.iter_mut().map(|pass| pass.next());
        let ((side, flow), index, _) = select_all(waiting).await;
        Released { index, side, flow }
    }

    /// What becomes of it in the filters behind that one.
    pub async fn release(&mut self, released: Released) -> Flow {
        self.pass(released.side, released.flow, Some(released.index)).await
    }

    /// Through the filters behind `behind`, or through all.
    async fn pass(&mut self, side: Side, mut flow: Flow, behind: Option<usize>) -> Flow {
        let last = self.0.len();
        let mut place = match (side, behind) {
            (Side::Client, behind) => behind.map_or(0, |index| index + 1),
            (Side::Server, behind) => behind.unwrap_or(last),
        };
        loop {
            // Nothing for the next one to see.
            let Flow::Pass { data, end } = flow else { return Flow::Close };
            let at = match side {
                Side::Client if place < last => place,
                Side::Server if place > 0 => place - 1,
                _ => return Flow::Pass { data, end },
            };
            if data.is_empty() && !end {
                return Flow::HOLD;
            }
            flow = self.0[at].data(side, data, end).await;
            place = match side {
                Side::Client => at + 1,
                Side::Server => at,
            };
        }
    }

    /// Both sides are closed.
    pub async fn closed(&mut self, client: ClosedBy, server: ClosedBy) {
        for pass in &mut self.0 {
            pass.closed(Side::Client, client).await;
            pass.closed(Side::Server, server).await;
        }
    }

    pub async fn closed_by_us(&mut self) {
        self.closed(ClosedBy::Local, ClosedBy::Local).await;
    }
}
