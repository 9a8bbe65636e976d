//! The handler behind a listener: the present version of its apps, exchanged as a whole.

use super::site::Site;
use arc_swap::ArcSwap;
use http::{Request, StatusCode};
use sampan_app::Listen;
use sampan_runtime::serve::failure_response;
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;

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
