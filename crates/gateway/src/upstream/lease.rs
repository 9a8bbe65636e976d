//! A connection in use by one request: an unused one if there is, else a new one.

use super::Inner;
use super::connect::Connected;
use super::failure::Failure;
use super::http2::{Share, Shared};
use super::link::{Link, Unanswered};
use super::server::{InFlight, Server, speaks};
use super::wait::Wait;
use http::{Request, Response};
use hyper::body::Incoming;
use sampan_app::UpstreamProtocol;
use sampan_service::{Body, ViaConnection};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

pub enum Carrier {
    Http1(Box<Link>),
    Http2(Share),
}

pub struct Lease {
    pub carrier: Carrier,
    pub server: InFlight,
    /// Another request has used it before.
    pub reused: bool,
}

impl Lease {
    pub fn about(&self) -> &Arc<ViaConnection> {
        match &self.carrier {
            Carrier::Http1(link) => &link.about,
            Carrier::Http2(share) => &share.about,
        }
    }

    pub async fn send(
        &mut self,
        request: Box<Request<Body>>,
        wait: Wait<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        match &mut self.carrier {
            Carrier::Http1(link) => link.send(request, wait).await,
            Carrier::Http2(share) => share.send(request, wait).await,
        }
    }

    /// Gives an HTTP/1.1 connection back after its response; closes it where it cannot be used again.
    pub fn release(self, inner: &Inner) {
        let Carrier::Http1(mut link) = self.carrier else { return };
        let keep = &inner.connector.keep_alive;
        if keep.requests.is_some_and(|most| link.requests >= most) || !link.settled() {
            return;
        }
        let mut idle = self.server.0.idle.own();
        if idle.len() < keep.connections as usize {
            link.since = Instant::now();
            idle.push(link);
        }
    }
}

/// A connection to a server. `fresh` passes over those that wait unused.
pub async fn lease(inner: &Inner, server: &Arc<Server>, fresh: bool, now: Instant) -> Result<Lease, Failure> {
    let in_flight = server.enter();
    let http1 = match inner.connector.protocol {
        UpstreamProtocol::Http1 => true,
        UpstreamProtocol::H2 => false,
        UpstreamProtocol::Auto => server.tls.is_none() || server.speaks.load(Relaxed) == speaks::HTTP1,
    };
    if !http1 {
        return Box::pin(shared(inner, in_flight, now)).await;
    }
    if !fresh && let Some(link) = unused(inner, server, now) {
        return Ok(Lease { carrier: Carrier::Http1(link), server: in_flight, reused: true });
    }
    make_room(inner, server)?;
    let connected = Box::pin(inner.connector.connect(server)).await?;
    Ok(first_use(connected, in_flight, now))
}

fn first_use(connected: Connected, server: InFlight, now: Instant) -> Lease {
    let carrier = match connected {
        Connected::Http1(link) => Carrier::Http1(link),
        Connected::Http2(shared) => Carrier::Http2(keep(&server.0, shared, now)),
    };
    Lease { carrier, server, reused: false }
}

fn keep(server: &Server, shared: Shared, now: Instant) -> Share {
    let mut shared = shared;
    shared.since = now;
    let share = shared.share_anyway();
    let mut all = server.shared.own();
    all.retain(|one| !one.closed());
    all.push(shared);
    share
}

/// The last one that was given back is the least likely to have been closed by the server.
fn unused(inner: &Inner, server: &Server, now: Instant) -> Option<Box<Link>> {
    let mut idle = server.idle.own();
    while let Some(link) = idle.pop() {
        if now.saturating_duration_since(link.since) < inner.connector.keep_alive.idle {
            return Some(link);
        }
    }
    None
}

/// A place on a connection that speaks HTTP/2: one makes the first connection, the others wait to share it.
async fn shared(inner: &Inner, in_flight: InFlight, now: Instant) -> Result<Lease, Failure> {
    let place = |server: &Server| server.shared.own().iter_mut().find_map(|one| one.share(now));
    let reuse = |share, server| Lease { carrier: Carrier::Http2(share), server, reused: true };
    if let Some(share) = place(&in_flight.0) {
        return Ok(reuse(share, in_flight));
    }
    let server = in_flight.0.clone();
    // The semaphore is never closed.
    let _first = server.first.acquire().await;
    if let Some(share) = place(&server) {
        return Ok(reuse(share, in_flight));
    }
    if let Err(full) = make_room(inner, &server) {
        let all = server.shared.own();
        let any = all.iter().find(|one| !one.closed()).map(Shared::share_anyway);
        return any.map(|share| reuse(share, in_flight)).ok_or(full);
    }
    let connected = inner.connector.connect(&server).await?;
    Ok(first_use(connected, in_flight, now))
}

/// Where an upstream has all its connections, closes one that nobody uses.
fn make_room(inner: &Inner, wanting: &Server) -> Result<(), Failure> {
    if inner.connector.open.count() < inner.spec.limits.connections {
        return Ok(());
    }
    let cluster = inner.cluster.load();
    let others = cluster.servers.iter().map(|server| &**server);
    for server in std::iter::once(wanting).chain(others) {
        let link = server.idle.each().find_map(|mut idle| (!idle.is_empty()).then(|| idle.remove(0)));
        if link.is_some() {
            return Ok(());
        }
        for mut all in server.shared.each() {
            if let Some(index) = all.iter().position(Shared::unused) {
                all.swap_remove(index);
                return Ok(());
            }
        }
    }
    Err(Failure::Connections)
}
