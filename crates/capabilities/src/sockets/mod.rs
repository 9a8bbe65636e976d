//! Sockets: where a guest may connect, on which ports it may listen, which names it may look up.
//!
//! Every socket call of every interface asks this module first; there is no other way to a socket.

pub(crate) mod host;

use crate::{Explain, GrantError};
use sampan_app::{Grants, Protocol};
use std::net::{IpAddr, SocketAddr};
use wasmtime_wasi::WasiCtxBuilder;

/// The network grants of one guest. Cloning shares them.
#[derive(Clone, Default)]
pub struct Sockets {}

/// Why a name was not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// No grant names it.
    Refused,
    /// It is neither a name nor an address.
    Invalid,
    /// The resolver knows no address.
    NotFound,
}

impl Sockets {
    /// Takes the grants, and reserves the host ports of `-p` so that a port in use is said before the
    /// guest starts.
    pub fn new(_grants: &Grants, _wasi: &mut WasiCtxBuilder, _explain: &Explain) -> Result<Self, GrantError> {
        Ok(Sockets {})
    }

    /// Whether the guest may connect (TCP) or send (UDP) to this address: an address rule allows it, or a
    /// name rule does and [`Sockets::resolve`] returned the address for such a name.
    /// A refusal is explained.
    pub fn may_connect(&self, _protocol: Protocol, _remote: SocketAddr) -> bool {
        false
    }

    /// Where on the host a guest's bind to `local` lands, or `None` if that is refused (and explained).
    /// Port 0 is for clients: it is allowed where some connection of the protocol is, and never listens.
    pub fn bind_address(&self, _protocol: Protocol, _local: SocketAddr) -> Option<SocketAddr> {
        None
    }

    /// Whether the guest may listen on a socket that is bound to the host address `bound`.
    pub fn may_listen(&self, _bound: SocketAddr) -> bool {
        false
    }

    /// The guest's view of a host address that a socket is bound to: the port of the `-p` mapping back.
    pub fn guest_address(&self, _protocol: Protocol, bound: SocketAddr) -> SocketAddr {
        bound
    }

    /// Looks up a name, if some grant allows connecting to it, and remembers the addresses for
    /// [`Sockets::may_connect`]. Addresses in text form need no grant here: they are checked on use.
    pub async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, LookupError> {
        Err(LookupError::Refused)
    }
}
