//! Bytes in and out of a guest's socket.

use super::Sockets;
use super::poller::{Readiness, Waiter};
use super::socket::{Socket, error};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use sampan_app::Protocol;
use std::io;
use std::net::SocketAddr;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveFlags {
    /// Leave the bytes in the queue.
    pub peek: bool,
    /// Wait until the buffer is full, or nothing more comes.
    pub wait_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub len: usize,
    /// The rest of the datagram did not fit and is lost.
    pub truncated: bool,
    pub from: Option<SocketAddr>,
}

impl Socket {
    /// Receives into `buffer`. Datagrams from those who may not send to this socket are dropped.
    pub async fn receive(
        &mut self,
        policy: &Sockets,
        waiter: &mut Waiter,
        buffer: &mut [u8],
        flags: ReceiveFlags,
    ) -> io::Result<Received> {
        let deadline = self.options.receive_timeout().map(|timeout| Instant::now() + timeout);
        let mut received = self.receive_some(policy, waiter, buffer, flags, deadline).await?;
        let fill = flags.wait_all && !flags.peek && !self.nonblocking && self.protocol == Protocol::Tcp;
        while fill && received.len > 0 && received.len < buffer.len() {
            let rest = &mut buffer[received.len..];
            match self.receive_some(policy, waiter, rest, flags, deadline).await {
                Ok(more) if more.len > 0 => received.len += more.len,
                // What came counts; the error comes again with the next call.
                Ok(_) | Err(_) => break,
            }
        }
        if let Some(traffic) = policy.traffic()
            && !flags.peek
        {
            traffic.received(received.len);
        }
        Ok(received)
    }

    async fn receive_some(
        &mut self,
        policy: &Sockets,
        waiter: &mut Waiter,
        buffer: &mut [u8],
        flags: ReceiveFlags,
        deadline: Option<Instant>,
    ) -> io::Result<Received> {
        let os = self.os()?;
        let datagrams = self.protocol == Protocol::Udp;
        let mut os_flags = RecvFlags::empty();
        os_flags.set(RecvFlags::PEEK, flags.peek);
        // With it Linux gives a datagram's true length. (A stream would lose its bytes.)
        os_flags.set(RecvFlags::TRUNC, datagrams);
        loop {
            match rustix::net::recvfrom(&os, &mut *buffer, os_flags) {
                Ok((len, true_len, from)) => {
                    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                    if datagrams && !self.accepts_from(policy, &os, from) {
                        if flags.peek {
                            // Take it out of the queue, or it would be there for ever.
                            let _ = rustix::net::recvfrom(&os, &mut [0u8; 1][..], RecvFlags::empty());
                        }
                        continue;
                    }
                    return Ok(Received {
                        len,
                        truncated: true_len > len && datagrams,
                        from: from.map(|from| self.as_guest_family(from)),
                    });
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !self.nonblocking => {
                    let readable = Readiness { read: true, write: false };
                    if !waiter.wait(&os, readable, remaining(deadline)).await? {
                        return Err(error(libc::EAGAIN));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn accepts_from(&self, policy: &Sockets, os: &socket2::Socket, from: Option<SocketAddr>) -> bool {
        let bound = os.local_addr().ok().and_then(|bound| bound.as_socket());
        match (bound, from) {
            (Some(bound), Some(from)) => policy.may_receive(bound, from),
            _ => false,
        }
    }

    /// Sends `bytes`; a blocking stream sends all of them. `to` is for datagrams, and overrides the peer.
    pub async fn send(
        &mut self,
        policy: &Sockets,
        waiter: &mut Waiter,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let sent = self.send_uncounted(policy, waiter, bytes, to).await?;
        if let Some(traffic) = policy.traffic() {
            traffic.sent(sent);
        }
        Ok(sent)
    }

    async fn send_uncounted(
        &mut self,
        policy: &Sockets,
        waiter: &mut Waiter,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let os = self.os()?;
        let to = match to {
            Some(to) if self.protocol == Protocol::Udp => {
                if !policy.may_send(to) {
                    return Err(error(libc::EACCES));
                }
                Some(self.address_for(&os, to)?)
            }
            // A stream has one peer, whatever the guest says here.
            _ => None,
        };
        let deadline = self.options.send_timeout().map(|timeout| Instant::now() + timeout);
        let mut sent = 0;
        loop {
            let rest = &bytes[sent..];
            let result = match &to {
                Some(to) => rustix::net::sendto(&os, rest, SendFlags::NOSIGNAL, to),
                None => rustix::net::send(&os, rest, SendFlags::NOSIGNAL),
            };
            match result {
                Ok(len) => {
                    sent += len;
                    if sent >= bytes.len() || self.nonblocking || self.protocol == Protocol::Udp {
                        return Ok(sent);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !self.nonblocking => {
                    let writable = Readiness { read: false, write: true };
                    if !waiter.wait(&os, writable, remaining(deadline)).await? {
                        return if sent > 0 { Ok(sent) } else { Err(error(libc::EAGAIN)) };
                    }
                }
                // What was sent counts; the error comes again with the next call.
                Err(_) if sent > 0 => return Ok(sent),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn remaining(deadline: Option<Instant>) -> Option<std::time::Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
