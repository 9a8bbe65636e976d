//! Connections that wait for the next request of the same guest.
//!
//! A pool belongs to one door: its connections were made under that door's grants, and are found again only
//! under the same scheme, host and port.

use super::policy::Target;
use super::{Body, Error};
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A connection that was not used for so long is closed.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// Unused HTTP/1.1 connections kept for one target.
const MAX_IDLE_PER_TARGET: usize = 32;
/// HTTP/1.1 connections kept for all targets, and as many of HTTP/2.
const MAX_IDLE_TOTAL: usize = 256;
/// How long a connection may take to become usable again after its response was read.
const SETTLE: Duration = Duration::from_secs(5);

/// The sending half of a connection; a task of its own drives the rest.
pub enum Sender {
    Http1(http1::SendRequest<Body>),
    /// Shared: any number of requests at once.
    Http2(http2::SendRequest<Body>),
}

/// What came of handing a request to a connection.
pub enum Sent {
    Response(Response<Incoming>),
    /// The connection was dead before it took the request, which is as good as new.
    Unsent(Request<Body>, Error),
    Failed(Error),
}

#[derive(Default)]
pub struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    http1: HashMap<Target, Vec<(http1::SendRequest<Body>, Instant)>>,
    http1_total: usize,
    http2: HashMap<Target, (http2::SendRequest<Body>, Instant)>,
    /// Who is about to make the first TLS connection to a target, and who waits to share it.
    gates: HashMap<Target, Weak<Semaphore>>,
    /// Whether a task is there to close what nobody uses.
    swept: bool,
}

/// A connection in use. Dropping it closes the connection (HTTP/1.1) or leaves it shared (HTTP/2).
pub struct Lease {
    sender: Sender,
    target: Target,
    pool: Weak<Pool>,
}

impl Pool {
    /// A connection that another request left behind.
    pub fn take(self: &Arc<Self>, target: &Target) -> Option<Lease> {
        let mut idle = self.lock();
        if let Some((sender, used)) = idle.http2.get_mut(target) {
            if !sender.is_closed() {
                *used = Instant::now();
                let sender = Sender::Http2(sender.clone());
                return Some(Lease { sender, target: target.clone(), pool: Arc::downgrade(self) });
            }
            idle.http2.remove(target);
        }
        // The last one returned is the least likely to have been closed by the server.
        while let Some((sender, _)) = idle.http1.get_mut(target).and_then(Vec::pop) {
            idle.http1_total -= 1;
            if sender.is_ready() {
                let sender = Sender::Http1(sender);
                return Some(Lease { sender, target: target.clone(), pool: Arc::downgrade(self) });
            }
        }
        None
    }

    /// A new connection, in use. One of HTTP/2 can be shared from now on.
    pub fn lease(self: &Arc<Self>, target: &Target, sender: Sender) -> Lease {
        if let Sender::Http2(shared) = &sender {
            let mut idle = self.lock();
            idle.http2.retain(|_, (sender, _)| !sender.is_closed());
            if idle.http2.len() < MAX_IDLE_TOTAL {
                idle.http2.insert(target.clone(), (shared.clone(), Instant::now()));
                self.ensure_swept(&mut idle);
            }
        }
        Lease { sender, target: target.clone(), pool: Arc::downgrade(self) }
    }

    /// For requests that start at once and do not know yet whether the server speaks HTTP/2: one connects, the
    /// others wait for a permit and then look into the pool. Once it is closed, everybody connects.
    pub fn gate(&self, target: &Target) -> Arc<Semaphore> {
        let mut idle = self.lock();
        if let Some(gate) = idle.gates.get(target).and_then(Weak::upgrade) {
            return gate;
        }
        idle.gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(1));
        idle.gates.insert(target.clone(), Arc::downgrade(&gate));
        gate
    }

    /// Stops sharing an HTTP/2 connection that did not take a request.
    fn forget_http2(&self, target: &Target) {
        self.lock().http2.remove(target);
    }

    fn keep(self: &Arc<Self>, target: Target, sender: http1::SendRequest<Body>) {
        let mut idle = self.lock();
        if idle.http1_total >= MAX_IDLE_TOTAL {
            return;
        }
        let list = idle.http1.entry(target).or_default();
        if list.len() >= MAX_IDLE_PER_TARGET {
            return;
        }
        list.push((sender, Instant::now()));
        idle.http1_total += 1;
        self.ensure_swept(&mut idle);
    }

    fn ensure_swept(self: &Arc<Self>, idle: &mut Idle) {
        if idle.swept {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Drops what is closed or was not used since `since`. Returns whether nothing is left.
    fn drop_unused(&mut self, since: Instant) -> bool {
        self.http1.retain(|_, list| {
            list.retain(|(sender, used)| *used > since && sender.is_ready());
            !list.is_empty()
        });
        self.http1_total = self.http1.values().map(Vec::len).sum();
        self.http2.retain(|_, (sender, used)| *used > since && !sender.is_closed());
        self.http1.is_empty() && self.http2.is_empty()
    }
}

/// Closes unused connections until none is left or the pool is gone.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(MAX_IDLE / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.lock();
        let Some(since) = Instant::now().checked_sub(MAX_IDLE) else { continue };
        if idle.drop_unused(since) {
            idle.swept = false;
            return;
        }
    }
}

impl Lease {
    pub fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request whose URI is absolute and whose `Host` header is for this function to set.
    /// Dropping the future cancels the request.
    pub async fn send(&mut self, mut request: Request<Body>) -> Sent {
        match &mut self.sender {
            Sender::Http1(sender) => {
                let absolute = request.uri().clone();
                let path = absolute.path_and_query().map_or("/", |path| path.as_str());
                *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
                *request.version_mut() = Version::HTTP_11;
                if let Ok(host) = HeaderValue::try_from(self.target.authority()) {
                    request.headers_mut().insert(HOST, host);
                }
                sent(sender.try_send_request(request).await, |request| *request.uri_mut() = absolute)
            }
            Sender::Http2(sender) => {
                // The authority travels in the pseudo-header.
                request.headers_mut().remove(HOST);
                *request.version_mut() = Version::HTTP_2;
                let sent = sent(sender.try_send_request(request).await, |_| ());
                if let (Sent::Unsent(..), Some(pool)) = (&sent, self.pool.upgrade()) {
                    pool.forget_http2(&self.target);
                }
                sent
            }
        }
    }

    /// Gives the connection back after the response was read to its end.
    pub fn release(self) {
        let Lease { sender: Sender::Http1(mut sender), target, pool } = self else { return };
        if sender.is_ready() {
            if let Some(pool) = pool.upgrade() {
                pool.keep(target, sender);
            }
            return;
        }
        // The rest of the request's body may still be on its way.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let settled = tokio::time::timeout(SETTLE, sender.ready()).await;
            if let (Ok(Ok(())), Some(pool)) = (settled, pool.upgrade()) {
                pool.keep(target, sender);
            }
        });
    }
}

fn sent(
    result: Result<Response<Incoming>, TrySendError<Request<Body>>>,
    restore: impl FnOnce(&mut Request<Body>),
) -> Sent {
    match result {
        Ok(response) => Sent::Response(response),
        Err(mut failed) => {
            let request = failed.take_message();
            let error = Error::from_exchange(failed.error());
            match request {
                Some(mut request) => {
                    restore(&mut request);
                    Sent::Unsent(request, error)
                }
                None => Sent::Failed(error),
            }
        }
    }
}
