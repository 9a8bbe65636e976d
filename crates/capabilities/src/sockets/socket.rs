//! One socket of a guest: its state, and the operating system's socket behind it, which is made when the
//! guest's intention is known, because a port mapping may be of another family.

use super::options::{self, Options};
use super::poller::{OsSocket, Readiness, Waiter};
use super::{Sockets, canonical};
use rustix::net::SocketFlags;
use sampan_app::Protocol;
use socket2::{Domain, SockAddr, Type};
use std::io;
use std::net::{Ipv6Addr, Shutdown, SocketAddr};
use std::sync::Arc;

/// Connections that wait for the guest's accept. Programs ask for 128 out of habit; where the queue is full,
/// a client's next attempt is a second later. The system has its own limit.
const MIN_BACKLOG: u32 = 1024;
const MAX_BACKLOG: u32 = 4096;

pub struct Socket {
    pub protocol: Protocol,
    /// The guest asked for an IPv6 socket.
    pub ipv6: bool,
    /// A call that cannot go on says so instead of waiting.
    pub nonblocking: bool,
    pub(super) options: Options,
    os: Option<Arc<OsSocket>>,
    /// Where the guest believes that it is bound.
    bound_by_guest: Option<SocketAddr>,
    listening: bool,
}

impl Socket {
    pub fn new(protocol: Protocol, ipv6: bool) -> Self {
        Socket {
            protocol,
            ipv6,
            nonblocking: false,
            options: Options::default(),
            os: None,
            bound_by_guest: None,
            listening: false,
        }
    }

    /// The system's socket, made now if need be.
    pub fn os(&mut self) -> io::Result<Arc<OsSocket>> {
        if let Some(os) = &self.os {
            return Ok(os.clone());
        }
        let os = match self.make(self.ipv6) {
            // A machine without IPv6: the guest's socket may still serve a mapping of IPv4.
            Err(error) if self.ipv6 && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                self.make(false)?
            }
            result => result?,
        };
        Ok(self.os.insert(os).clone())
    }

    fn make(&self, ipv6: bool) -> io::Result<Arc<OsSocket>> {
        let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
        let kind = match self.protocol {
            Protocol::Tcp => Type::STREAM,
            Protocol::Udp => Type::DGRAM,
        };
        let os = OsSocket::new(socket2::Socket::new(domain, kind, None)?)?;
        self.options.apply(&os)?;
        Ok(os)
    }

    /// Binds to where the grants put `local`.
    pub fn bind(&mut self, policy: &Sockets, local: SocketAddr) -> io::Result<()> {
        if self.bound_by_guest.is_some() {
            return Err(error(libc::EINVAL));
        }
        let host = policy.bind_address_any_family(self.protocol, local).ok_or_else(|| error(libc::EACCES))?;
        let mut os = self.os()?;
        if self.is_ipv6(&os) != host.is_ipv6() {
            os = self.make(host.is_ipv6())?;
        }
        if self.protocol == Protocol::Tcp {
            os.set_reuse_address(true)?;
        }
        os.bind(&SockAddr::from(host))?;
        self.os = Some(os);
        self.bound_by_guest = (local.port() != 0).then_some(local);
        if self.bound_by_guest.is_none() {
            self.bound_by_guest = Some(self.local_address(policy)?);
        }
        Ok(())
    }

    fn is_ipv6(&self, os: &OsSocket) -> bool {
        os.local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .map_or(self.ipv6, |address| address.is_ipv6())
    }

    pub fn listen(&mut self, policy: &Sockets, backlog: u32) -> io::Result<()> {
        if self.protocol != Protocol::Tcp {
            return Err(error(libc::EOPNOTSUPP));
        }
        let os = self.os()?;
        let bound = os.local_addr()?.as_socket().ok_or_else(|| error(libc::EINVAL))?;
        if !policy.may_listen(bound) {
            return Err(error(libc::EACCES));
        }
        os.listen(backlog.clamp(MIN_BACKLOG, MAX_BACKLOG) as i32)?;
        self.listening = true;
        policy.listens(bound);
        Ok(())
    }

    /// Connects, or sets the peer of a datagram socket.
    pub async fn connect(
        &mut self,
        policy: &Sockets,
        waiter: &mut Waiter,
        remote: SocketAddr,
    ) -> io::Result<()> {
        let allowed = match self.protocol {
            Protocol::Tcp => policy.may_connect(Protocol::Tcp, remote),
            Protocol::Udp => policy.may_send(remote),
        };
        if !allowed {
            return Err(error(libc::EACCES));
        }
        let os = self.os()?;
        let remote = self.address_for(&os, remote)?;
        match os.connect(&SockAddr::from(remote)) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) || self.nonblocking => {
                return Err(error);
            }
            Err(_) => {}
        }
        let writable = Readiness { read: false, write: true };
        if !waiter.wait(&os, writable, self.options.send_timeout()).await? {
            // As Linux does when SO_SNDTIMEO ends a connect.
            return Err(error(libc::EINPROGRESS));
        }
        os.take_error()?.map_or(Ok(()), Err)
    }

    /// The next connection; waits for it, unless the socket is non-blocking.
    pub async fn accept(&mut self, waiter: &mut Waiter) -> io::Result<Socket> {
        if self.protocol != Protocol::Tcp {
            return Err(error(libc::EOPNOTSUPP));
        }
        let os = self.os()?;
        loop {
            match rustix::net::accept_with(&os, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(accepted) => {
                    return Ok(Socket {
                        os: Some(OsSocket::new(accepted.into())?),
                        ..Socket::new(Protocol::Tcp, self.ipv6)
                    });
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(rustix::io::Errno::AGAIN) if !self.nonblocking => {
                    let readable = Readiness { read: true, write: false };
                    if !waiter.wait(&os, readable, self.options.receive_timeout()).await? {
                        return Err(error(libc::EAGAIN));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `read` and `write` say which directions end.
    pub fn shutdown(&mut self, read: bool, write: bool) -> io::Result<()> {
        let how = match (read, write) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            (false, true) => Shutdown::Write,
            (false, false) => return Err(error(libc::EINVAL)),
        };
        self.os()?.shutdown(how)
    }

    /// Where the socket is bound, as the guest sees it.
    pub fn local_address(&mut self, policy: &Sockets) -> io::Result<SocketAddr> {
        if let Some(local) = self.bound_by_guest {
            return Ok(local);
        }
        let host = self.os()?.local_addr()?.as_socket().ok_or_else(|| error(libc::EINVAL))?;
        Ok(self.as_guest_family(policy.guest_address(self.protocol, host)))
    }

    pub fn peer_address(&mut self) -> io::Result<SocketAddr> {
        let peer = self.os()?.peer_addr()?.as_socket().ok_or_else(|| error(libc::ENOTCONN))?;
        Ok(self.as_guest_family(peer))
    }

    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// An address in the form of the guest's family, where it has one.
    pub fn as_guest_family(&self, address: SocketAddr) -> SocketAddr {
        match canonical(address) {
            SocketAddr::V4(v4) if self.ipv6 => as_ipv6(v4.ip().to_ipv6_mapped(), v4.port()),
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(_) => address,
        }
    }

    /// An address in the form of the system's socket.
    pub(super) fn address_for(&self, os: &OsSocket, address: SocketAddr) -> io::Result<SocketAddr> {
        match (self.is_ipv6(os), canonical(address)) {
            (false, SocketAddr::V6(_)) => Err(error(libc::EAFNOSUPPORT)),
            (false, v4) => Ok(v4),
            (true, SocketAddr::V4(v4)) => Ok(as_ipv6(v4.ip().to_ipv6_mapped(), v4.port())),
            (true, _) => Ok(address),
        }
    }

    pub fn set_option(&mut self, name: u32, value: &[u8]) -> io::Result<()> {
        options::set(self, name, value)
    }

    /// The value's bytes, at most `max_len`.
    pub fn option(&mut self, name: u32, max_len: usize) -> io::Result<Vec<u8>> {
        options::get(self, name, max_len)
    }
}

fn as_ipv6(address: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

pub(super) fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}
