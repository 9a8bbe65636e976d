//! The ports of `-p`: reserved on the host before the guest starts, mapped when it binds.

use super::lock;
use crate::GrantError;
use sampan_app::{PortMap, Protocol};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;

#[derive(Default)]
pub struct Ports {
    mapped: Vec<Port>,
    /// Every other port is where the guest says: the network is its own.
    open: bool,
}

struct Port {
    protocol: Protocol,
    guest_port: u16,
    /// With the port that the system chose.
    host: SocketAddr,
    chosen_by_system: bool,
    /// Holds the host port until the guest binds. Bound and never listening: a client that comes before
    /// the guest listens is refused, as it should be.
    reservation: Mutex<Option<Socket>>,
}

impl Ports {
    /// Binds every host port. `open` leaves all others to the guest.
    pub fn reserve(maps: &[PortMap], open: bool) -> Result<Self, GrantError> {
        let mut ports: Vec<Port> = Vec::with_capacity(maps.len());
        for map in maps {
            let name = super::protocol_name(map.protocol);
            if ports.iter().any(|port| (port.protocol, port.guest_port) == (map.protocol, map.guest_port)) {
                return Err(GrantError {
                    what: format!("guest port {}/{name} is mapped twice", map.guest_port),
                    help: Some("keep one of the -p flags; a guest port appears at one place".to_owned()),
                });
            }
            let wanted = SocketAddr::new(map.host_address, map.host_port);
            let (socket, host) =
                bind(map.protocol, wanted).map_err(|error| cannot_bind(map, wanted, &error))?;
            ports.push(Port {
                protocol: map.protocol,
                guest_port: map.guest_port,
                host,
                chosen_by_system: map.host_port == 0,
                reservation: Mutex::new(Some(socket)),
            });
        }
        Ok(Ports { mapped: ports, open })
    }

    /// Protocol, guest port and host address of all mappings.
    pub fn all(&self) -> impl Iterator<Item = (Protocol, u16, SocketAddr)> {
        self.mapped.iter().map(|port| (port.protocol, port.guest_port, port.host))
    }

    /// The same of the mappings for which the user named no host port.
    pub fn chosen_by_system(&self) -> impl Iterator<Item = (Protocol, u16, SocketAddr)> {
        let chosen = self.mapped.iter().filter(|port| port.chosen_by_system);
        chosen.map(|port| (port.protocol, port.guest_port, port.host))
    }

    pub fn any(&self, protocol: Protocol) -> bool {
        self.open || self.mapped.iter().any(|port| port.protocol == protocol)
    }

    /// The host address for a guest's bind to `local`, and the end of its reservation.
    pub fn take(&self, protocol: Protocol, local: SocketAddr) -> Option<SocketAddr> {
        let same = |port: &&Port| (port.protocol, port.guest_port) == (protocol, local.port());
        let Some(port) = self.mapped.iter().find(same) else { return self.open.then_some(local) };
        let ip = local.ip().to_canonical();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == port.host.ip().to_canonical()) {
            return None;
        }
        drop(lock(&port.reservation).take());
        Some(port.host)
    }

    /// The guest port behind a host address that a socket is bound to.
    pub fn by_host(&self, protocol: Protocol, bound: SocketAddr) -> Option<u16> {
        let ip = bound.ip().to_canonical();
        let mapped = self
            .mapped
            .iter()
            .find(|port| {
                port.protocol == protocol
                    && port.host.port() == bound.port()
                    // A connection that arrived at an unspecified address has a specific one.
                    && (port.host.ip().is_unspecified() || port.host.ip().to_canonical() == ip)
            })
            .map(|port| port.guest_port);
        mapped.or_else(|| self.open.then_some(bound.port()))
    }
}

pub fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn bind(protocol: Protocol, wanted: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(wanted), kind, None)?;
    if protocol == Protocol::Tcp && wanted.port() != 0 {
        // A restart must not wait for the connections of the last run to time out. For UDP the option
        // would let two programs share the port; and so it would where the system chooses one, because
        // what others have only reserved counts as free for whoever shares.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(wanted))?;
    let host = socket.local_addr()?.as_socket().unwrap_or(wanted);
    Ok((socket, host))
}

fn cannot_bind(map: &PortMap, wanted: SocketAddr, error: &io::Error) -> GrantError {
    let name = super::protocol_name(map.protocol);
    let flag = |host: &str| {
        let suffix = if map.protocol == Protocol::Udp { "/udp" } else { "" };
        format!("-p {host}:{}{suffix}", map.guest_port)
    };
    let (what, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("host port {} ({name}) is in use at {}", wanted.port(), wanted.ip()),
            format!(
                "stop the program that has it, or choose another: {}, or {} to let the system choose",
                flag(&wanted.port().checked_add(1).unwrap_or(8080).to_string()),
                flag("0")
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("the system does not let this user bind port {}", wanted.port()),
            format!("choose a host port above 1023: {}", flag("8080")),
        ),
        io::ErrorKind::AddrNotAvailable => (
            format!("{} is not an address of this machine", wanted.ip()),
            format!(
                "leave the address out ({}) or name one of this machine",
                flag(&wanted.port().to_string())
            ),
        ),
        _ => (format!("cannot bind {wanted} ({name}): {error}"), format!("check the flag {}", flag("HOST"))),
    };
    GrantError { what, help: Some(help) }
}
