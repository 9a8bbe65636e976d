//! Sockets of preview 1: the standard's four calls, and WasmEdge's extension in both generations.
//!
//! A generation is told by the name's suffix `_v2`, or by the number of parameters where the plain name
//! stands for both. Everything else is the same for both: an address buffer of 4 or 16 bytes is raw, one
//! of 128 begins with its family.

#![expect(clippy::too_many_arguments, reason = "host calls have the parameters that the ABI gives them")]

use super::preview1_lookup::getaddrinfo;
use super::wire;
use crate::Host;
use crate::link::Definer;
use crate::preview1::memory::{self, guest};
use crate::preview1::{Errno, poll_epoll};
use crate::sockets::{ReceiveFlags, Received, Socket, Sockets, Waiter};
use sampan_app::Protocol;
use std::net::{IpAddr, SocketAddr};
use wasmtime::{Caller, Func};

/// Bytes of one call that are copied; what one buffer of the guest holds is never copied.
const MAX_COPIED: usize = 64 << 10;
/// No datagram is longer.
const MAX_DATAGRAM: usize = 65_507;
const FAMILY_UNIX: u32 = 3;
const NONBLOCK: u32 = 1 << 2;

macro_rules! call {
    (@type $arg:ident) => { u32 };
    ($to:ident, $call:ident($($arg:ident),*)) => {
        $to.wrap_async(|mut caller: Caller<'_, Host>, ($($arg,)*): ($(call!(@type $arg),)*)| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                Ok(Errno::code($call(memory, host, $($arg),*).await))
            })
        })
    };
}

/// The calls of the standard itself.
pub fn standard(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "sock_accept" => call!(to, accept(fd, flags, out)),
        "sock_recv" => call!(to, recv(fd, iovecs, count, flags, len_out, flags_out)),
        "sock_send" => call!(to, sock_send(fd, iovecs, count, flags, len_out)),
        "sock_shutdown" => call!(to, shutdown(fd, how)),
        _ => return None,
    })
}

/// A call of the standard or of WasmEdge's extension, with as many parameters.
pub fn function(to: &mut Definer<'_>, name: &str, parameters: usize) -> Option<Func> {
    let plain = match name.strip_suffix("_v2") {
        // These have no second generation.
        Some(
            "sock_shutdown" | "sock_getsockopt" | "sock_setsockopt" | "sock_getaddrinfo" | "epoll_oneoff",
        ) => return None,
        Some(plain) => plain,
        None => name,
    };
    let second = name != plain;
    Some(match (plain, parameters) {
        ("sock_accept", 2) if !second => call!(to, accept_v1(fd, out)),
        ("sock_recv_from", 7) if !second => {
            call!(to, recv_from_v1(fd, iovecs, count, address, flags, len_out, flags_out))
        }
        ("sock_getlocaladdr", 4) if !second => call!(to, getlocaladdr_v1(fd, address, family, port)),
        ("sock_getpeeraddr", 4) if !second => call!(to, getpeeraddr_v1(fd, address, family, port)),
        ("sock_open", _) => call!(to, open(family, kind, out)),
        ("sock_bind", _) => call!(to, bind(fd, address, port)),
        ("sock_listen", _) => call!(to, listen(fd, backlog)),
        ("sock_connect", _) => call!(to, connect(fd, address, port)),
        ("sock_recv_from", _) => {
            call!(to, recv_from(fd, iovecs, count, address, flags, port, len_out, flags_out))
        }
        ("sock_send_to", _) => call!(to, send_to(fd, iovecs, count, address, port, flags, len_out)),
        ("sock_getsockopt", _) => call!(to, getsockopt(fd, level, name, value, len)),
        ("sock_setsockopt", _) => call!(to, setsockopt(fd, level, name, value, len)),
        ("sock_getlocaladdr", _) => call!(to, getlocaladdr(fd, address, port)),
        ("sock_getpeeraddr", _) => call!(to, getpeeraddr(fd, address, port)),
        ("sock_getaddrinfo", _) => {
            call!(to, getaddrinfo(node, node_len, service, service_len, hints, list, max, len_out))
        }
        ("epoll_oneoff", _) => to.wrap_async(
            |mut caller: Caller<'_, Host>, (subscriptions, events, count, out): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let (memory, host) = guest(&mut caller)?;
                    poll_epoll(memory, host, subscriptions, events, count, out).await
                })
            },
        ),
        _ => return standard(to, plain),
    })
}

/// A socket of the guest, and what its calls need.
fn parts(host: &mut Host, fd: u32) -> Result<(&mut Socket, &mut Waiter, &Sockets), Errno> {
    let Host { preview1, sockets, .. } = host;
    let (socket, waiter) = preview1.socket(fd)?;
    Ok((socket, waiter, sockets))
}

async fn open(memory: &mut [u8], host: &mut Host, family: u32, kind: u32, out: u32) -> Result<(), Errno> {
    memory::aligned(memory, out, 4, 4)?;
    let ipv6 = match family {
        family if family == u32::from(wire::FAMILY_INET4) => false,
        family if family == u32::from(wire::FAMILY_INET6) => true,
        FAMILY_UNIX => return Err(Errno::NOSYS),
        _ => return Err(Errno::INVAL),
    };
    let protocol = match u8::try_from(kind) {
        Ok(wire::SOCK_ANY | wire::SOCK_STREAM) => Protocol::Tcp,
        Ok(wire::SOCK_DGRAM) => Protocol::Udp,
        _ => return Err(Errno::INVAL),
    };
    if !host.sockets.may_open(protocol) {
        return Err(Errno::ACCES);
    }
    let fd = host.preview1.insert_socket(Socket::new(protocol, ipv6))?;
    memory::write_u32(memory, out, fd)
}

/// The address at an address struct, with a port.
fn read_address(memory: &[u8], address: u32, port: u32) -> Result<SocketAddr, Errno> {
    let port = u16::try_from(port).map_err(|_| Errno::INVAL)?;
    let bytes = memory::aligned(memory, address, wire::ADDRESS_SIZE as u32, 4)?;
    let span = wire::span(bytes).map_err(|_| Errno::FAULT)?;
    let buffer = memory::bytes(memory, span.pointer, span.len)?;
    // A UNIX path in the second generation's buffer.
    if span.len as usize == wire::ADDRESS_BUFFER_V2 && buffer[..2] == [FAMILY_UNIX as u8, 0] {
        return Err(Errno::NOSYS);
    }
    let ip = wire::ip_address(buffer).map_err(|_| Errno::INVAL)?;
    Ok(SocketAddr::new(ip, port))
}

/// The buffer that an address struct points to.
fn address_buffer(memory: &mut [u8], address: u32) -> Result<&mut [u8], Errno> {
    let bytes = memory::aligned(memory, address, wire::ADDRESS_SIZE as u32, 4)?;
    let span = wire::span(bytes).map_err(|_| Errno::FAULT)?;
    memory::bytes_mut(memory, span.pointer, span.len)
}

fn write_address(memory: &mut [u8], address: u32, ip: IpAddr) -> Result<(), Errno> {
    wire::write_ip_address(ip, address_buffer(memory, address)?).map_err(|_| Errno::INVAL)
}

async fn bind(memory: &mut [u8], host: &mut Host, fd: u32, address: u32, port: u32) -> Result<(), Errno> {
    let (socket, _, policy) = parts(host, fd)?;
    Ok(socket.bind(policy, read_address(memory, address, port)?)?)
}

async fn listen(_memory: &mut [u8], host: &mut Host, fd: u32, backlog: u32) -> Result<(), Errno> {
    let (socket, _, policy) = parts(host, fd)?;
    Ok(socket.listen(policy, backlog)?)
}

async fn connect(memory: &mut [u8], host: &mut Host, fd: u32, address: u32, port: u32) -> Result<(), Errno> {
    let (socket, waiter, policy) = parts(host, fd)?;
    Ok(socket.connect(policy, waiter, read_address(memory, address, port)?).await?)
}

async fn accept_v1(memory: &mut [u8], host: &mut Host, fd: u32, out: u32) -> Result<(), Errno> {
    accept(memory, host, fd, 0, out).await
}

async fn accept(memory: &mut [u8], host: &mut Host, fd: u32, flags: u32, out: u32) -> Result<(), Errno> {
    memory::aligned(memory, out, 4, 4)?;
    // Of the flags only this one means something for a socket.
    if flags & !NONBLOCK != 0 {
        return Err(Errno::INVAL);
    }
    let (socket, waiter, _) = parts(host, fd)?;
    let mut accepted = socket.accept(waiter).await?;
    accepted.nonblocking = flags & NONBLOCK != 0;
    let fd = host.preview1.insert_socket(accepted)?;
    memory::write_u32(memory, out, fd)
}

async fn shutdown(_memory: &mut [u8], host: &mut Host, fd: u32, how: u32) -> Result<(), Errno> {
    let (socket, _, _) = parts(host, fd)?;
    if how == 0 || how > 3 {
        return Err(Errno::INVAL);
    }
    Ok(socket.shutdown(how & 1 != 0, how & 2 != 0)?)
}

/// Receives into the guest's buffers: into its memory where there is one, by way of ours where there are
/// several.
pub async fn receive(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    flags: ReceiveFlags,
) -> Result<Received, Errno> {
    let mut spans = memory::iovecs(memory, iovecs, count)?;
    spans.retain(|span| span.len > 0);
    let (socket, waiter, policy) = parts(host, fd)?;
    if let [] | [_] = spans[..] {
        let span = spans.first().copied().unwrap_or(wire::Span { pointer: 0, len: 0 });
        let buffer = memory::bytes_mut(memory, span.pointer, span.len)?;
        return Ok(socket.receive(policy, waiter, buffer, flags).await?);
    }
    let total = spans.iter().map(|span| span.len as usize).sum::<usize>();
    let mut buffer = vec![0; total.min(MAX_COPIED)];
    let received = socket.receive(policy, waiter, &mut buffer, flags).await?;
    memory::scatter(memory, &spans, &buffer[..received.len])?;
    Ok(received)
}

/// Sends the guest's buffers, and says how many bytes went.
pub async fn send(
    memory: &[u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    to: Option<SocketAddr>,
) -> Result<u32, Errno> {
    let mut spans = memory::iovecs(memory, iovecs, count)?;
    spans.retain(|span| span.len > 0);
    let (socket, waiter, policy) = parts(host, fd)?;
    let total = spans.iter().map(|span| span.len as usize).sum::<usize>();
    if socket.protocol == Protocol::Udp && total > MAX_DATAGRAM {
        return Err(Errno::MSGSIZE);
    }
    if spans.len() > 1 && total <= MAX_COPIED {
        let bytes = memory::gather(memory, &spans, MAX_COPIED)?;
        let sent = socket.send(policy, waiter, &bytes, to).await?;
        return u32::try_from(sent).map_err(|_| Errno::INVAL);
    }
    if spans.is_empty() {
        // An empty datagram is a datagram; an empty write to a stream still says that it is broken.
        spans.push(wire::Span { pointer: 0, len: 0 });
    }
    let mut sent = 0;
    for span in spans {
        let bytes = memory::bytes(memory, span.pointer, span.len)?;
        match socket.send(policy, waiter, bytes, to).await {
            Ok(len) => {
                sent += len;
                if len < bytes.len() {
                    break;
                }
            }
            // What was sent counts; the error comes again with the next call.
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    u32::try_from(sent).map_err(|_| Errno::INVAL)
}

fn receive_flags(flags: u32) -> Result<ReceiveFlags, Errno> {
    if flags & !3 != 0 {
        return Err(Errno::INVAL);
    }
    Ok(ReceiveFlags { peek: flags & 1 != 0, wait_all: flags & 2 != 0 })
}

async fn recv(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    flags: u32,
    len_out: u32,
    flags_out: u32,
) -> Result<(), Errno> {
    memory::aligned(memory, len_out, 4, 4)?;
    memory::aligned(memory, flags_out, 2, 2)?;
    let received = receive(memory, host, fd, iovecs, count, receive_flags(flags)?).await?;
    memory::write_u32(memory, len_out, received.len as u32)?;
    memory::write_u16(memory, flags_out, received.truncated.into())
}

async fn recv_from_v1(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    address: u32,
    flags: u32,
    len_out: u32,
    flags_out: u32,
) -> Result<(), Errno> {
    recv_and_address(memory, host, (fd, iovecs, count), address, flags, None, (len_out, flags_out)).await
}

async fn recv_from(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    address: u32,
    flags: u32,
    port: u32,
    len_out: u32,
    flags_out: u32,
) -> Result<(), Errno> {
    recv_and_address(memory, host, (fd, iovecs, count), address, flags, Some(port), (len_out, flags_out))
        .await
}

async fn recv_and_address(
    memory: &mut [u8],
    host: &mut Host,
    (fd, iovecs, count): (u32, u32, u32),
    address: u32,
    flags: u32,
    port: Option<u32>,
    (len_out, flags_out): (u32, u32),
) -> Result<(), Errno> {
    // A datagram that was taken from the queue is lost where the answer has no place: look at it first.
    memory::aligned(memory, len_out, 4, 4)?;
    memory::aligned(memory, flags_out, 2, 2)?;
    address_buffer(memory, address)?;
    if let Some(port) = port {
        memory::aligned(memory, port, 2, 2)?;
    }
    let received = receive(memory, host, fd, iovecs, count, receive_flags(flags)?).await?;
    let from = match received.from {
        Some(from) => from,
        // A stream does not say it with the bytes.
        None => parts(host, fd)?.0.peer_address()?,
    };
    write_address(memory, address, from.ip())?;
    if let Some(port) = port {
        // In host order: WasmEdge leaves it in network order, its own crate expects this.
        memory::write_u16(memory, port, from.port())?;
    }
    memory::write_u32(memory, len_out, received.len as u32)?;
    memory::write_u16(memory, flags_out, received.truncated.into())
}

async fn sock_send(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    flags: u32,
    len_out: u32,
) -> Result<(), Errno> {
    // No flag is defined.
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    memory::aligned(memory, len_out, 4, 4)?;
    let sent = send(memory, host, fd, iovecs, count, None).await?;
    memory::write_u32(memory, len_out, sent)
}

async fn send_to(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    address: u32,
    port: u32,
    flags: u32,
    len_out: u32,
) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    memory::aligned(memory, len_out, 4, 4)?;
    let to = read_address(memory, address, port)?;
    let sent = send(memory, host, fd, iovecs, count, Some(to)).await?;
    memory::write_u32(memory, len_out, sent)
}

async fn getsockopt(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    level: u32,
    name: u32,
    value: u32,
    len: u32,
) -> Result<(), Errno> {
    let (socket, _, _) = parts(host, fd)?;
    if level != 0 {
        return Err(Errno::INVAL);
    }
    let max_len = memory::read_u32(memory, len)?;
    memory::bytes(memory, value, max_len)?;
    let bytes = socket.option(name, max_len as usize)?;
    memory::bytes_mut(memory, value, bytes.len() as u32)?.copy_from_slice(&bytes);
    memory::write_u32(memory, len, bytes.len() as u32)
}

async fn setsockopt(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    level: u32,
    name: u32,
    value: u32,
    len: u32,
) -> Result<(), Errno> {
    let (socket, _, _) = parts(host, fd)?;
    // PHP passes its C library's level, and a pointer as the length: this ends it before the pointer.
    if level != 0 {
        return Err(Errno::INVAL);
    }
    let value = memory::bytes(memory, value, len)?;
    Ok(socket.set_option(name, value)?)
}

async fn getlocaladdr_v1(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    address: u32,
    family: u32,
    port: u32,
) -> Result<(), Errno> {
    let (socket, _, policy) = parts(host, fd)?;
    let local = socket.local_address(policy)?;
    write_address_v1(memory, local, address, family, port)
}

async fn getpeeraddr_v1(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    address: u32,
    family: u32,
    port: u32,
) -> Result<(), Errno> {
    let peer = parts(host, fd)?.0.peer_address()?;
    write_address_v1(memory, peer, address, family, port)
}

fn write_address_v1(
    memory: &mut [u8],
    value: SocketAddr,
    address: u32,
    family: u32,
    port: u32,
) -> Result<(), Errno> {
    write_address(memory, address, value.ip())?;
    // Not the enumeration's numbers.
    memory::write_u32(memory, family, if value.is_ipv4() { 4 } else { 6 })?;
    memory::write_u32(memory, port, value.port().into())
}

async fn getlocaladdr(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    address: u32,
    port: u32,
) -> Result<(), Errno> {
    let (socket, _, policy) = parts(host, fd)?;
    let local = socket.local_address(policy)?;
    write_address_v2(memory, local, address, port)
}

async fn getpeeraddr(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    address: u32,
    port: u32,
) -> Result<(), Errno> {
    let peer = parts(host, fd)?.0.peer_address()?;
    write_address_v2(memory, peer, address, port)
}

fn write_address_v2(memory: &mut [u8], value: SocketAddr, address: u32, port: u32) -> Result<(), Errno> {
    if address_buffer(memory, address)?.len() != wire::ADDRESS_BUFFER_V2 {
        return Err(Errno::INVAL);
    }
    write_address(memory, address, value.ip())?;
    memory::write_u32(memory, port, value.port().into())
}
