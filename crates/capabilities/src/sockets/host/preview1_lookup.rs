//! `sock_getaddrinfo`: a look-up into a list that the guest has prepared.

use super::wire::{self, AddrinfoNode, Hints};
use crate::Host;
use crate::preview1::Errno;
use crate::preview1::memory;
use crate::sockets::LookupError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longer texts are no names and no services.
const MAX_TEXT_LEN: u32 = 1024;
/// Room for a canonical name where the guest does not say how much it has: the Rust crate's.
const DEFAULT_NAME_ROOM: u32 = 30;

#[expect(clippy::too_many_arguments, reason = "the parameters of the host call")]
pub async fn getaddrinfo(
    memory: &mut [u8],
    host: &mut Host,
    node: u32,
    node_len: u32,
    service: u32,
    service_len: u32,
    hints: u32,
    list: u32,
    max: u32,
    len_out: u32,
) -> Result<(), Errno> {
    memory::aligned(memory, len_out, 4, 4)?;
    let node = text(memory, node, node_len)?;
    let service = text(memory, service, service_len)?;
    let hints = match hints {
        0 => Hints::default(),
        pointer => {
            let bytes = memory::aligned(memory, pointer, wire::ADDRINFO_SIZE as u32, 4)?;
            wire::hints(bytes).map_err(|_| Errno::AI_BADFLAGS)?
        }
    };
    let port = wire::service_port(&service).ok_or(Errno::AI_SERVICE)?;
    if hints.flags & wire::AI_NUMERICSERV != 0 && !service.chars().all(|c| c.is_ascii_digit()) {
        return Err(Errno::AI_NONAME);
    }
    let addresses = addresses(host, &node, hints).await?;
    // A stream unless datagrams are asked for: programs that do not say so want a connection.
    let socktype = match (hints.socktype, hints.protocol) {
        (wire::SOCK_DGRAM, _) | (wire::SOCK_ANY, wire::PROTO_UDP) => wire::SOCK_DGRAM,
        _ => wire::SOCK_STREAM,
    };
    let mut pointer = memory::read_u32(memory, list)?;
    let mut written = 0;
    for address in addresses.into_iter().take(max as usize) {
        if pointer == 0 {
            break;
        }
        let name = (written == 0 && hints.flags & wire::AI_CANONNAME != 0).then_some(node.as_str());
        pointer = write_node(memory, pointer, hints.flags, SocketAddr::new(address, port), socktype, name)?;
        written += 1;
    }
    memory::write_u32(memory, len_out, written)
}

/// A name without the NUL that some guests count.
fn text(memory: &[u8], pointer: u32, len: u32) -> Result<String, Errno> {
    if len > MAX_TEXT_LEN {
        return Err(Errno::AI_NONAME);
    }
    let bytes = memory::bytes(memory, pointer, len)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).map_err(|_| Errno::AI_NONAME)
}

async fn addresses(host: &mut Host, node: &str, hints: Hints) -> Result<Vec<IpAddr>, Errno> {
    let mut addresses = if node.is_empty() {
        let passive = hints.flags & wire::AI_PASSIVE != 0;
        let pick = |any: IpAddr, loopback: IpAddr| if passive { any } else { loopback };
        vec![
            pick(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()),
            pick(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
        ]
    } else if hints.flags & wire::AI_NUMERICHOST != 0 {
        vec![node.parse().map_err(|_| Errno::AI_NONAME)?]
    } else {
        host.sockets.resolve(node).await.map_err(|error| match error {
            LookupError::Refused => Errno::ACCES,
            LookupError::Invalid | LookupError::NotFound => Errno::AI_NONAME,
        })?
    };
    addresses.retain(|address| match hints.family {
        wire::FAMILY_INET4 => address.is_ipv4(),
        wire::FAMILY_INET6 => address.is_ipv6(),
        _ => true,
    });
    if addresses.is_empty() {
        return Err(Errno::AI_NONAME);
    }
    Ok(addresses)
}

/// Fills in one node, and returns the pointer to the next.
fn write_node(
    memory: &mut [u8],
    pointer: u32,
    flags: u16,
    address: SocketAddr,
    socktype: u8,
    name: Option<&str>,
) -> Result<u32, Errno> {
    let size = wire::ADDRINFO_SIZE as u32;
    let node = memory::aligned(memory, pointer, size, 4)?;
    let AddrinfoNode { address: sockaddr, canonical_name, next } =
        wire::addrinfo_node(node).map_err(|_| Errno::FAULT)?;

    let mut name_len = 0;
    if let Some(name) = name
        && canonical_name.pointer != 0
    {
        let room = if canonical_name.len == 0 { DEFAULT_NAME_ROOM } else { canonical_name.len };
        if name.len() < room as usize {
            let target = memory::bytes_mut(memory, canonical_name.pointer, name.len() as u32 + 1)?;
            target[..name.len()].copy_from_slice(name.as_bytes());
            target[name.len()] = 0;
            name_len = name.len() as u32;
        }
    }

    let data = wire::sockaddr_data(address);
    let bytes = memory::aligned_mut(memory, sockaddr, wire::SOCKADDR_SIZE as u32, 4)?;
    let data_pointer = wire::sockaddr_data_pointer(bytes).map_err(|_| Errno::FAULT)?;
    wire::write_sockaddr(bytes, address.ip(), data.len() as u32).map_err(|_| Errno::FAULT)?;
    memory::bytes_mut(memory, data_pointer, data.len() as u32)?.copy_from_slice(&data);

    let node = memory::aligned_mut(memory, pointer, size, 4)?;
    wire::write_addrinfo(node, flags, address.ip(), socktype, name_len).map_err(|_| Errno::FAULT)?;
    Ok(next)
}
