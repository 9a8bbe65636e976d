//! TCP routes: a client's connection is carried to a server of an upstream, through filters if there are any.

mod chain;
mod idle;
mod pump;

use crate::Upstream;
use chain::Chain;
use futures::future::{BoxFuture, Either, select};
use idle::Idle;
use sampan_app::TcpRoute;
use sampan_service::{TcpConnection, TcpEntry, TcpFilter, TcpHandler};
use sampan_telemetry::{TcpMetrics, metrics};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

/// Bytes that may wait in each direction, beside what the kernel keeps.
const BUFFER: usize = 16 << 10;

/// What TCP routes may name.
#[derive(Clone, Default)]
pub struct TcpHandlers {
    pub upstreams: HashMap<String, Arc<Upstream>>,
    pub filters: HashMap<String, Arc<dyn TcpFilter>>,
}

/// A TCP route, ready to serve.
pub struct TcpProxy {
    /// Connections at a time, of which whoever accepts them takes care.
    pub connections: u32,
    upstream: Arc<Upstream>,
    filters: Vec<Arc<dyn TcpEntry>>,
    idle: Duration,
    metrics: TcpMetrics,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides have ended.
    Done,
    /// Nothing has moved for too long.
    Idle,
    /// A filter closed it.
    Filter,
    /// One side broke off.
    Broken,
    /// No server could be reached.
    Unreachable,
}

impl TcpProxy {
    /// The error says what cannot be served, for a person.
    pub fn new(app: &str, route: &TcpRoute, handlers: &TcpHandlers) -> Result<TcpProxy, String> {
        let upstream = handlers.upstreams.get(&route.upstream).cloned();
        let filters = route.filters.iter().map(|one| {
            let filter = handlers.filters.get(&one.filter);
            let filter = filter.ok_or_else(|| format!("the filter `{}` is none for TCP", one.filter))?;
            filter.configured(one.config.as_deref())
        });
        Ok(TcpProxy {
            connections: route.connections,
            upstream: upstream.ok_or_else(|| format!("there is no upstream `{}`", route.upstream))?,
            filters: filters.collect::<Result<_, _>>()?,
            idle: route.idle,
            metrics: metrics().tcp(app, &route.listen.address.to_string(), &route.upstream),
        })
    }

    async fn carry(&self, client: TcpConnection) -> End {
        let peer = client.peer;
        let Some(mut chain) = Chain::connect(&self.filters, &client).await else { return End::Filter };
        // Why it cannot, the upstream has counted.
        let Ok(mut link) = self.upstream.connect_tcp(Some(peer.address.ip())).await else {
            chain.closed_by_us().await;
            return End::Unreachable;
        };
        if chain.is_empty() {
            return self.copy(client, &mut link.stream).await;
        }
        chain.connected(link.address);
        pump::run(client, &mut link.stream, &mut chain, self.idle, &self.metrics).await
    }

    /// Without filters: both directions at once, each as fast as its receiver takes it. A side that ends is passed
    /// on as such, and the other direction goes on.
    async fn copy(&self, client: TcpConnection, server: &mut TcpStream) -> End {
        let mut client = Idle::new(client, &self.metrics);
        let rests = pin!(client.watch(self.idle));
        let copied = pin!(copy_bidirectional_with_sizes(&mut client, server, BUFFER, BUFFER));
        match select(copied, rests).await {
            Either::Left((Ok(_), _)) => End::Done,
            Either::Left((Err(_), _)) => End::Broken,
            Either::Right(_) => End::Idle,
        }
    }
}

impl TcpHandler for TcpProxy {
    fn serve(&self, connection: TcpConnection) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let open = self.metrics.begin();
            let end = self.carry(connection).await;
            open.end(match end {
                End::Done => "done",
                End::Idle => "idle",
                End::Filter => "filter",
                End::Broken => "broken",
                End::Unreachable => "unreachable",
            });
        })
    }
}
