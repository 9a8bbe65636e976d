//! What a route does beside handing over: each a small handler in front of the next. A route that does not use
//! one does not have it in its path.
//!
//! The order is that in which a request meets them: changes to response headers (so that they see every
//! response of the route, whoever made it), CORS, the rate limit, the limit of the body, the time limit, the
//! filters, changes to the request, the target. Filters see the request as the client sent it, as Envoy's
//! filters do before its router.

mod buckets;
mod cors;
mod headers;
mod limits;
mod rate;
mod rewrite;
mod shared;
mod slots;

pub use buckets::Buckets;
pub use shared::Counters;

use crate::Handlers;
use sampan_app::Route;
use sampan_service::Handler;
use std::sync::Arc;

/// What stands between the filters and the target.
pub fn behind_filters(route: &Route, target: Arc<dyn Handler>) -> Result<Arc<dyn Handler>, String> {
    let policy = &route.policy;
    let mut next = target;
    if policy.rewrite.is_some() || policy.rewrite_host.is_some() {
        next = Arc::new(rewrite::Rewrite::new(policy, &route.path, next)?);
    }
    if !policy.request_headers.is_empty() {
        next = Arc::new(headers::OfRequest::new(&policy.request_headers, next)?);
    }
    Ok(next)
}

/// What stands before the filters.
pub fn before_filters(
    app: &str,
    route: &Route,
    handlers: &Handlers,
    filters: Arc<dyn Handler>,
) -> Result<Arc<dyn Handler>, String> {
    let policy = &route.policy;
    let mut next = filters;
    if let Some(timeout) = policy.timeout {
        next = Arc::new(limits::Timeout { timeout, next });
    }
    if let Some(bytes) = policy.body_bytes {
        next = Arc::new(limits::BodyLimit { bytes, next });
    }
    if let Some(limit) = &policy.rate_limit {
        next = Arc::new(rate::RateLimited::new(app, route, limit, handlers, next)?);
    }
    if let Some(cors) = &policy.cors {
        next = Arc::new(cors::CrossOrigin::new(cors, next)?);
    }
    if !policy.response_headers.is_empty() {
        next = Arc::new(headers::OfResponse::new(&policy.response_headers, next)?);
    }
    Ok(next)
}
