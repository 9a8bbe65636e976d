//! The handler behind a listener: the present version of its apps, exchanged as a whole.

use super::listeners::TcpPlace;
use super::site::Site;
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use sampan_app::Listen;
use sampan_runtime::serve::failure_response;
use sampan_service::{Answer, Body, Handler, TcpConnection, TcpHandler};
use sampan_telemetry::metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What all listeners serve.
pub type Present = Arc<ArcSwap<Site>>;

pub struct Front {
    pub site: Present,
    pub listen: Listen,
}

impl Handler for Front {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        // A request keeps the version with which it began.
        let site = self.site.load_full();
        Box::pin(async move {
            match site.router(&self.listen) {
                Some(router) => router.handle(request).await,
                // The present manifests do not name this address any more; its listener is about to close.
                None => failure_response(StatusCode::SERVICE_UNAVAILABLE),
            }
        })
    }
}

/// The handler behind the listener of a TCP route.
pub struct TcpFront {
    pub site: Present,
    pub place: TcpPlace,
    /// Connections that are open, of all versions.
    pub open: AtomicUsize,
}

impl TcpHandler for TcpFront {
    fn serve(&self, connection: TcpConnection) -> BoxFuture<'_, ()> {
        // A connection keeps the route with which it began, and nothing else of its version.
        let proxy = self.site.load().tcp(&self.place).cloned();
        Box::pin(async move {
            let place = Place::take(&self.open);
            match proxy.filter(|proxy| place.0 < proxy.connections as usize) {
                Some(proxy) => proxy.serve(connection).await,
                None => drop(metrics().connections_refused.inc()),
            }
        })
    }
}

/// One of the connections of a route: how many there were before, and where they are counted.
struct Place<'a>(usize, &'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(open: &'a AtomicUsize) -> Self {
        Place(open.fetch_add(1, Relaxed), open)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}
