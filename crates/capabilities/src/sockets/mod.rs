//! Sockets: where a guest may connect, on which ports it may listen, which names it may look up.
//!
//! Every socket call of every interface asks this module first; there is no other way to a socket.

mod bounded;
pub(crate) mod host;
mod options;
mod poller;
mod ports;
mod socket;
mod transfer;

use crate::{Explain, GrantError};
use bounded::Bounded;
pub(crate) use poller::{Happened, Poller, Trigger, Waiter, Wanted};
use ports::Ports;
use sampan_app::{Grants, HostPattern, NetRule, Protocol};
use sampan_service::Traffic;
pub(crate) use socket::Socket;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Semaphore, watch};
pub(crate) use transfer::{ReceiveFlags, Received};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Addresses that look-ups returned, remembered for each guest. The oldest is forgotten first.
const MAX_RESOLVED: usize = 4096;
/// Senders of datagrams to whom a guest may reply, remembered for each guest.
const MAX_PEERS: usize = 4096;
/// Look-ups that one guest may have under way: each holds a thread of the resolver.
const MAX_LOOKUPS: usize = 8;
/// Addresses of one name that are used.
const MAX_ADDRESSES: usize = 64;

/// The network grants of one guest. Cloning shares them.
#[derive(Clone, Default)]
pub struct Sockets {
    policy: Arc<Policy>,
}

struct Policy {
    tcp: Vec<NetRule>,
    udp: Vec<NetRule>,
    ports: Ports,
    /// Which name rules led to an address: indexes into `tcp` and `udp`.
    resolved: Mutex<Bounded<IpAddr, BTreeSet<(Rules, usize)>>>,
    peers: Mutex<Bounded<SocketAddr, ()>>,
    lookups: Semaphore,
    /// The guest's ports on which it has begun to listen.
    listening: watch::Sender<Vec<u16>>,
    explain: Explain,
    /// Where the guest's bytes are counted, if anybody asks for it.
    traffic: OnceLock<Arc<Traffic>>,
}

/// Which of the two lists a rule is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rules {
    Tcp,
    Udp,
}

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

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tcp: Vec::new(),
            udp: Vec::new(),
            ports: Ports::default(),
            resolved: Mutex::new(Bounded::new(MAX_RESOLVED)),
            peers: Mutex::new(Bounded::new(MAX_PEERS)),
            lookups: Semaphore::new(MAX_LOOKUPS),
            listening: watch::Sender::default(),
            explain: Explain::default(),
            traffic: OnceLock::new(),
        }
    }
}

impl Sockets {
    /// Takes the grants, and reserves the host ports of `-p` so that a port in use is said before the
    /// guest starts.
    ///
    /// The hooks of wasmtime-wasi get the same answers as everybody else, so that an interface that
    /// forgot to ask reaches nothing more.
    pub fn new(grants: &Grants, wasi: &mut WasiCtxBuilder, explain: &Explain) -> Result<Self, GrantError> {
        let policy = Policy {
            tcp: grants.tcp.clone(),
            udp: grants.udp.clone(),
            ports: Ports::reserve(&grants.ports, grants.own_network)?,
            explain: explain.clone(),
            ..Policy::default()
        };
        let sockets = Sockets { policy: Arc::new(policy) };
        sockets.allow(wasi);
        Ok(sockets)
    }

    /// Tells wasmtime-wasi what is granted; for each further guest that shares these grants.
    pub fn allow(&self, wasi: &mut WasiCtxBuilder) {
        let (tcp, udp) = (self.any(Protocol::Tcp), self.any(Protocol::Udp));
        wasi.allow_tcp(tcp).allow_udp(udp);
        if !tcp && !udp {
            // The crate refuses every address by itself.
            return;
        }
        let hook = self.clone();
        wasi.socket_addr_check(move |address, reason| {
            let allowed = hook.check(address, reason);
            Box::pin(async move { allowed })
        });
    }

    /// Counts the bytes of all guests that share these grants.
    pub fn count(&self, traffic: &Arc<Traffic>) {
        self.policy.traffic.get_or_init(|| Arc::clone(traffic));
    }

    fn traffic(&self) -> Option<&Arc<Traffic>> {
        self.policy.traffic.get()
    }

    /// Where the ports of `-p` are: protocol, the guest's port, the host's address.
    pub fn mapped_ports(&self) -> Vec<(Protocol, u16, SocketAddr)> {
        self.policy.ports.all().collect()
    }

    /// Tells on standard error where the ports are for which the user named no host port.
    pub fn print_chosen_ports(&self) {
        for (protocol, guest_port, host) in self.policy.ports.chosen_by_system() {
            eprintln!("sampan: guest port {guest_port}/{} is at {host}", protocol_name(protocol));
        }
    }

    /// The guest's ports on which it has begun to listen, now and as it goes on. For a component this is said
    /// just before its socket listens: a client may still be refused for a moment.
    pub fn listening(&self) -> watch::Receiver<Vec<u16>> {
        self.policy.listening.subscribe()
    }

    /// The guest listens on a socket that is bound to the host address `bound`.
    fn listens(&self, bound: SocketAddr) {
        if let Some(port) = self.policy.ports.by_host(Protocol::Tcp, bound) {
            self.policy.listening.send_if_modified(|ports| {
                let new = !ports.contains(&port);
                if new {
                    ports.push(port);
                }
                new
            });
        }
    }

    /// Whether anything at all is granted for the protocol.
    pub fn any(&self, protocol: Protocol) -> bool {
        !self.rules(protocol).1.is_empty() || self.policy.ports.any(protocol)
    }

    /// Whether the guest may have a socket at all; a refusal is explained.
    pub fn may_open(&self, protocol: Protocol) -> bool {
        let any = self.any(protocol);
        if !any {
            let name = protocol_name(protocol);
            let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
            self.policy.explain.refused(
                &format!("open a {} socket", name.to_ascii_uppercase()),
                &format!("--allow-{name} HOST:PORT or -p HOST:GUEST{suffix}"),
            );
        }
        any
    }

    /// Whether the guest may connect (TCP) or send (UDP) to this address: an address rule allows it, or a
    /// name rule does and [`Sockets::resolve`] returned the address for such a name.
    /// A refusal is explained.
    pub fn may_connect(&self, protocol: Protocol, remote: SocketAddr) -> bool {
        let allowed = self.allows(protocol, remote);
        if !allowed {
            let name = protocol_name(protocol);
            let verb = if protocol == Protocol::Tcp { "connect" } else { "send" };
            self.policy.explain.refused(
                &format!("{verb} to {remote} by {}", name.to_ascii_uppercase()),
                &format!("--allow-{name} {}", canonical(remote)),
            );
        }
        allowed
    }

    /// As [`Sockets::may_connect`] for a datagram: one that answers a sender needs no grant of its own.
    pub fn may_send(&self, remote: SocketAddr) -> bool {
        lock(&self.policy.peers).get(&canonical(remote)).is_some() || self.may_connect(Protocol::Udp, remote)
    }

    /// Whether a datagram from `remote` may reach the guest on a socket that is bound to the host address
    /// `bound`. On a port of `-p` anyone may send, and may be answered; on any other port only those may
    /// to whom the guest may send.
    pub fn may_receive(&self, bound: SocketAddr, remote: SocketAddr) -> bool {
        if self.policy.ports.by_host(Protocol::Udp, bound).is_some() {
            lock(&self.policy.peers).entry(canonical(remote));
            return true;
        }
        self.allows(Protocol::Udp, remote)
    }

    /// Where on the host a guest's bind to `local` lands, or `None` if that is refused (and explained).
    /// Port 0 is for clients: it is allowed where some connection of the protocol is, and never listens.
    ///
    /// The answer is of the same family as `local`. The host port's reservation ends here.
    pub fn bind_address(&self, protocol: Protocol, local: SocketAddr) -> Option<SocketAddr> {
        let host = self.bind_address_any_family(protocol, local)?;
        let same_family = if host.is_ipv4() == local.is_ipv4() {
            Some(host)
        } else if host.ip().is_unspecified() {
            Some(SocketAddr::new(ports::unspecified(local.is_ipv4()), host.port()))
        } else {
            None
        };
        if same_family.is_none() {
            let address = if local.is_ipv4() { "127.0.0.1" } else { "[::1]" };
            self.refuse_bind(protocol, local, &format!("{address}:{}", host.port()));
        }
        same_family
    }

    /// As [`Sockets::bind_address`], for a caller that makes its socket only now: the answer is the
    /// mapping's own address, whatever its family.
    pub fn bind_address_any_family(&self, protocol: Protocol, local: SocketAddr) -> Option<SocketAddr> {
        if local.port() == 0 {
            let allowed = !self.rules(protocol).1.is_empty();
            if !allowed {
                let name = protocol_name(protocol);
                self.policy.explain.refused(
                    &format!("use a {} socket", name.to_ascii_uppercase()),
                    &format!("--allow-{name} HOST:PORT"),
                );
            }
            return allowed.then_some(local);
        }
        let host = self.policy.ports.take(protocol, local);
        if host.is_none() {
            self.refuse_bind(protocol, local, &local.port().to_string());
        }
        host
    }

    fn refuse_bind(&self, protocol: Protocol, local: SocketAddr, host: &str) {
        let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
        self.policy.explain.refused(
            &format!("bind to {local} by {}", protocol_name(protocol).to_ascii_uppercase()),
            &format!("-p {host}:{}{suffix}", local.port()),
        );
    }

    /// Whether the guest may listen on a socket that is bound to the host address `bound`.
    pub fn may_listen(&self, bound: SocketAddr) -> bool {
        let allowed = self.policy.ports.by_host(Protocol::Tcp, bound).is_some();
        if !allowed {
            self.policy.explain.refused("listen on a port that no -p maps", "-p HOST:GUEST");
        }
        allowed
    }

    /// The guest's view of a host address that a socket is bound to: the port of the `-p` mapping back.
    pub fn guest_address(&self, protocol: Protocol, bound: SocketAddr) -> SocketAddr {
        match self.policy.ports.by_host(protocol, bound) {
            Some(guest_port) => SocketAddr::new(bound.ip(), guest_port),
            None => bound,
        }
    }

    /// Looks up a name, if some grant allows connecting to it, and remembers the addresses for
    /// [`Sockets::may_connect`]. Addresses in text form need no grant here: they are checked on use.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        if !is_name(name) {
            return Err(LookupError::Invalid);
        }
        let rules = self.rules_that_name(name);
        if rules.is_empty() {
            self.policy.explain.refused(&format!("look up {name}"), &format!("--allow-tcp {name}:PORT"));
            return Err(LookupError::Refused);
        }
        let _permit = self.policy.lookups.acquire().await.map_err(|_| LookupError::NotFound)?;
        let found = tokio::net::lookup_host((name, 0)).await.map_err(|_| LookupError::NotFound)?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map(|found| found.ip()) {
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(LookupError::NotFound);
        }
        let mut resolved = lock(&self.policy.resolved);
        for address in &addresses {
            resolved.entry(address.to_canonical()).extend(rules.iter().copied());
        }
        Ok(addresses)
    }

    fn rules(&self, protocol: Protocol) -> (Rules, &[NetRule]) {
        match protocol {
            Protocol::Tcp => (Rules::Tcp, &self.policy.tcp),
            Protocol::Udp => (Rules::Udp, &self.policy.udp),
        }
    }

    fn rules_that_name(&self, name: &str) -> Vec<(Rules, usize)> {
        [Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .flat_map(|protocol| {
                let (list, rules) = self.rules(protocol);
                rules.iter().enumerate().map(move |(index, rule)| (list, index, rule))
            })
            .filter(|(_, _, rule)| rule.host.matches_name(name))
            .map(|(list, index, _)| (list, index))
            .collect()
    }

    fn allows(&self, protocol: Protocol, remote: SocketAddr) -> bool {
        let (list, rules) = self.rules(protocol);
        let address = remote.ip().to_canonical();
        let resolved = lock(&self.policy.resolved);
        let named = resolved.get(&address);
        rules.iter().enumerate().any(|(index, rule)| {
            rule.port.matches(remote.port())
                && (rule.host.matches_address(address)
                    || named.is_some_and(|rules| rules.contains(&(list, index)))
                    || (address.is_loopback() && is_localhost(&rule.host)))
        })
    }

    /// The answer for wasmtime-wasi's own hook, which sees host addresses.
    fn check(&self, address: SocketAddr, reason: SocketAddrUse) -> bool {
        let bind = |protocol| address.port() == 0 || self.policy.ports.by_host(protocol, address).is_some();
        match reason {
            SocketAddrUse::TcpBind => bind(Protocol::Tcp),
            SocketAddrUse::UdpBind => bind(Protocol::Udp),
            SocketAddrUse::TcpListen => {
                let allowed = self.may_listen(address);
                if allowed {
                    self.listens(address);
                }
                allowed
            }
            // A connection arrives only where listening was allowed.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.may_connect(Protocol::Tcp, address),
            SocketAddrUse::UdpSend => self.may_send(address),
            // The hook does not say on which socket it came; whoever knows asks `may_receive`. Whoever may
            // send to one port of the guest gains nothing by sending to another.
            SocketAddrUse::UdpReceive => {
                let mapped = self.policy.ports.any(Protocol::Udp);
                if mapped {
                    lock(&self.policy.peers).entry(canonical(address));
                }
                mapped || self.allows(Protocol::Udp, address)
            }
        }
    }
}

/// `localhost` is loopback by definition (RFC 6761), so it needs no look-up first.
fn is_localhost(host: &HostPattern) -> bool {
    matches!(host, HostPattern::Name(name) if name == "localhost")
}

fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        })
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// An IPv4 address inside an IPv6 one as the IPv4 address.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;
