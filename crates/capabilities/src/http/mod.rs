//! Outbound HTTP: the one door through which every interface sends requests.
//!
//! A request passes when an [`Origin`] of the guest's grants matches its scheme, host and port, and when the
//! address that is connected to is public or named by a grant ([`policy`] has the rule). The check comes
//! before anything else happens, connections are kept per guest, and no interface has another way out.

mod body;
pub(crate) mod connect;
mod door;
mod error;
pub mod host;
mod local;
pub(crate) mod policy;
mod pool;
pub(crate) mod redirect;

#[cfg(test)]
mod tests;

pub use door::Door;
pub use error::Error;
pub use local::Local;
pub use policy::DAPR_PORTS;
pub(crate) use policy::Space;

use crate::Explain;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use sampan_app::Origin;
use sampan_service::Depth;
use std::sync::Arc;
use std::time::Duration;

/// Bodies in both directions: pulled frame by frame, so whoever reads slowly slows the other side.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// The longest status line and headers of a response that are read, in bytes.
pub const MAX_RESPONSE_HEAD_BYTES: usize = 128 * 1024;

/// How long each stage of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A free place, the name look-up, the connection and its TLS together.
    pub connect: Duration,
    /// From sending the request to the response's headers.
    pub first_byte: Duration,
    /// Between two pieces of the response's body.
    pub between_bytes: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let long = Duration::from_secs(600);
        Timeouts { connect: Duration::from_secs(10), first_byte: long, between_bytes: long }
    }
}

/// The HTTP grants of one guest, its connections, and what its interfaces remember.
pub struct Http {
    pub(crate) door: Arc<Door>,
    pub(crate) guest: host::GuestState,
    /// To be put into the extensions of every request that goes to the door.
    pub(crate) depth: Depth,
}

impl Http {
    /// Nothing is started, loaded or connected until the first request.
    pub fn new(origins: &[Origin], explain: &Explain) -> Self {
        Http::behind(Arc::new(Door::new(origins, explain)))
    }

    /// A guest behind an existing door. Guests that share a door share its grants and its connections.
    pub fn behind(door: Arc<Door>) -> Self {
        Http { guest: host::GuestState::new(&door), door, depth: Depth::default() }
    }

    /// Says how deep in calls between components the request is that the guest serves now.
    pub fn set_depth(&mut self, depth: Depth) {
        self.depth = depth;
        self.guest.hooks.depth = depth;
    }
}
