//! Where a guest's requests may go: by origin first, then by the address that the name led to.
//!
//! The rule for addresses, in one sentence: *public addresses need the origin alone; loopback and private
//! networks need a grant that names the host exactly or contains the address; everything else that is not
//! the public Internet (link-local with its cloud metadata services, unspecified, multicast, reserved) needs
//! a grant that contains the address.* So `http://localhost:3500` and `http://db.internal` mean what their
//! user meant, while `*` and `*.example.com` cannot be turned inwards by whoever runs a name server, nor by
//! whoever feeds a URL to the guest: they do not reach private space even by an address in text form.
//!
//! Trusting an exact name trusts its name server, but only for the granted scheme and port.

use super::Error;
use crate::Explain;
use http::Uri;
use sampan_app::{HostPattern, Origin};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clients of Dapr look for it, over HTTP and over gRPC.
pub const DAPR_PORTS: [u16; 2] = [3500, 50001];

/// Scheme, host and port of a request. Also what a connection is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub tls: bool,
    /// In lower case; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl Target {
    /// Refuses what is not `http` or `https`, has no host, or carries a user name or password.
    pub fn of(uri: &Uri) -> Result<Target, Error> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Error::BadUri),
        };
        let authority = uri.authority().ok_or(Error::BadUri)?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // What follows the host is nothing or a port; `:` alone and `:99999` are neither.
        let rest = authority.as_str().strip_prefix(authority.host()).ok_or(Error::BadUri)?;
        let port = match rest.strip_prefix(':') {
            Some(_) => authority.port_u16().ok_or(Error::BadUri)?,
            None if rest.is_empty() => Target::default_port(tls),
            None => return Err(Error::BadUri),
        };
        if host.is_empty() || port == 0 {
            return Err(Error::BadUri);
        }
        Ok(Target { tls, host: host.to_ascii_lowercase(), port })
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host as an address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether it is a plain server of this machine.
    pub fn is_this_machine(&self) -> bool {
        !self.tls && matches!(self.host.as_str(), "127.0.0.1" | "localhost" | "::1")
    }

    fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }

    /// Host and port as in a `Host` header: brackets around IPv6, no port that the scheme implies.
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        if self.port == Target::default_port(self.tls) {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

/// What kind of network an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Public,
    /// This machine, or the networks that organisations number for themselves.
    Private,
    /// Link-local, unspecified, multicast, reserved: no name should lead there.
    Special,
}

impl Space {
    /// By the registries of special-purpose addresses (RFC 6890 and its updates).
    pub fn of(address: IpAddr) -> Space {
        match address {
            IpAddr::V4(v4) => Space::of_v4(v4),
            IpAddr::V6(v6) => Space::of_v6(v6),
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Space {
        let [a, b, c, _] = v4.octets();
        match (a, b, c) {
            (127, ..) | (10, ..) | (192, 168, _) => Space::Private,
            (172, 16..=31, _) => Space::Private,
            // Carrier-grade NAT (RFC 6598) and benchmarks (RFC 2544), which some local proxies answer on.
            (100, 64..=127, _) | (198, 18..=19, _) => Space::Private,
            (0, ..) | (169, 254, _) | (192, 0, 0) | (224..=255, ..) => Space::Special,
            // Documentation (RFC 5737) and the retired 6to4 relays.
            (192, 0, 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => Space::Special,
            _ => Space::Public,
        }
    }

    fn of_v6(v6: Ipv6Addr) -> Space {
        if v6 == Ipv6Addr::LOCALHOST {
            return Space::Private;
        }
        if let Some(v4) = embedded_v4(v6) {
            return Space::of_v4(v4);
        }
        match v6.segments() {
            // Unique local (RFC 4193), the older site-local, and local-use NAT64 (RFC 8215).
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Space::Private,
            // Global unicast is 2000::/3; of it, Teredo and others of 2001::/23 and documentation are not.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Space::Special,
            [0x2000..=0x3fff, ..] => Space::Public,
            _ => Space::Special,
        }
    }
}

/// The IPv4 address to which an IPv6 address leads: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = v6.octets();
    let at =
        |start: usize| Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(12)),
        // `::` itself stays what it is: 0.0.0.0 is special as well.
        [0, 0, 0, 0, 0, 0, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

/// The grants of one guest.
pub struct Policy {
    origins: Vec<Origin>,
    explain: Explain,
}

impl Policy {
    pub fn new(origins: &[Origin], explain: &Explain) -> Self {
        Policy { origins: origins.to_vec(), explain: explain.clone() }
    }

    /// Whether some grant allows the origin. Nothing may be looked up or connected to before this.
    pub fn check(&self, target: &Target) -> Result<(), Error> {
        let allowed =
            self.origins.iter().any(|origin| origin.allows(target.scheme(), &target.host, target.port));
        if allowed {
            return Ok(());
        }
        let mut flag = format!("--allow-http {target}");
        if target.is_this_machine() && DAPR_PORTS.contains(&target.port) {
            flag.insert_str(0, "--dapr, or, for another server there, ");
        }
        self.explain.refused(&format!("send a request to {target}"), &flag);
        Err(Error::Denied)
    }

    /// Which of the addresses that the host of `target` led to may be connected to, in their order.
    /// Call [`Policy::check`] first.
    pub fn permitted(&self, target: &Target, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let permitted: Vec<IpAddr> =
            addresses.iter().copied().filter(|address| self.may_connect(target, *address)).collect();
        let Some(first) = addresses.first().filter(|_| permitted.is_empty()) else { return Ok(permitted) };
        let (what, flag) = advice(target, *first);
        self.explain.refused(&what, &flag);
        Err(Error::AddressProhibited)
    }

    fn may_connect(&self, target: &Target, address: IpAddr) -> bool {
        let space = Space::of(address);
        if space == Space::Public {
            return true;
        }
        let name = target.host.trim_end_matches('.');
        self.origins.iter().filter(|origin| covers(origin, target)).any(|origin| match &origin.host {
            HostPattern::Any | HostPattern::Below(_) | HostPattern::Pattern(_) => false,
            HostPattern::Network(_) => origin.host.matches_address(address),
            HostPattern::Name(one) => space == Space::Private && one == name,
        })
    }
}

/// What was refused because of the address, and the flag that would grant it.
pub fn advice(target: &Target, address: IpAddr) -> (String, String) {
    let by_address = Target { host: address.to_canonical().to_string(), ..target.clone() };
    if target.address().is_some() {
        let what = format!("send a request to {target}, which is not a public address");
        return (what, format!("--allow-http {by_address}"));
    }
    let what = format!("send a request to {target}, which leads to the address {address}");
    match Space::of(address) {
        Space::Special => (what, format!("--allow-http {by_address}")),
        Space::Private | Space::Public => (what, format!("--allow-http {target}")),
    }
}

/// Whether scheme and port of the grant match, whatever the host.
fn covers(origin: &Origin, target: &Target) -> bool {
    origin.scheme.as_deref().is_none_or(|scheme| scheme == target.scheme())
        && origin.port.matches(target.port)
}
