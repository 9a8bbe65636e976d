//! Which request goes where, and what needs no guest: files, redirects, fixed responses.
//!
//! [`Router`] is the handler that stands before an app. It holds no lock and no state that a request could
//! change: an app that was loaded anew gets a new one.

mod destination;
mod files;
mod path;
mod policy;
mod respond;
mod router;
mod routes;
mod split;
mod tcp;
mod template;
mod upstream;

pub use destination::Handlers;
pub use policy::{Buckets, Counters};
pub use router::{AppRoutes, RouteError, Router};
pub use tcp::{TcpHandlers, TcpProxy};
pub use upstream::{Lookup, TcpLink, Upstream, UpstreamError, system_lookup};
