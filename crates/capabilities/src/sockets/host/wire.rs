//! The structs of WasmEdge's socket extension of preview 1, as bytes in a guest's memory.
//!
//! Source of the layouts: WasmEdge's `thirdparty/wasi/api.hpp` and `lib/host/wasi/wasifunc.cpp`. Everything
//! is little-endian unless it says otherwise. Pure functions on byte slices and the standard library only,
//! so that a fuzz target can include this file by its path.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const FAMILY_INET4: u8 = 1;
pub const FAMILY_INET6: u8 = 2;

pub const SOCK_ANY: u8 = 0;
pub const SOCK_DGRAM: u8 = 1;
pub const SOCK_STREAM: u8 = 2;

pub const PROTO_IP: u8 = 0;
pub const PROTO_TCP: u8 = 1;
pub const PROTO_UDP: u8 = 2;

pub const AI_PASSIVE: u16 = 1 << 0;
pub const AI_CANONNAME: u16 = 1 << 1;
pub const AI_NUMERICHOST: u16 = 1 << 2;
pub const AI_NUMERICSERV: u16 = 1 << 3;

/// Size of an iovec: pointer and length.
pub const IOVEC_SIZE: usize = 8;
/// Size of an address struct: pointer to the buffer and its length.
pub const ADDRESS_SIZE: usize = 8;
/// Length of the address buffers of the second generation: family, then room for a UNIX path.
pub const ADDRESS_BUFFER_V2: usize = 128;
pub const SOCKADDR_SIZE: usize = 12;
pub const ADDRINFO_SIZE: usize = 28;

/// A pointer and a length in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub pointer: u32,
    pub len: u32,
}

/// Bytes that a guest wrote are not what the call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    Ok(u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    Ok(u32::from_le_bytes(*field))
}

/// An address struct, or one iovec: both are a pointer and a length.
pub fn span(bytes: &[u8]) -> Result<Span, Malformed> {
    Ok(Span { pointer: u32_at(bytes, 0)?, len: u32_at(bytes, 4)? })
}

/// An array of iovecs; bytes that are no whole iovec are an error.
pub fn iovecs(bytes: &[u8]) -> Result<Vec<Span>, Malformed> {
    if !bytes.len().is_multiple_of(IOVEC_SIZE) {
        return Err(Malformed);
    }
    bytes.chunks_exact(IOVEC_SIZE).map(span).collect()
}

/// The content of an address buffer: 4 or 16 raw bytes of the address, or the second generation's 128
/// bytes that begin with the family (u16). A UNIX path is malformed: that family is not provided.
pub fn ip_address(buffer: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(buffer) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    if let Ok(octets) = <[u8; 16]>::try_from(buffer) {
        return Ok(Ipv6Addr::from(octets).into());
    }
    if buffer.len() != ADDRESS_BUFFER_V2 {
        return Err(Malformed);
    }
    let address = &buffer[2..];
    match u8::try_from(u16_at(buffer, 0)?) {
        Ok(FAMILY_INET4) => address.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        Ok(FAMILY_INET6) => address.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
    .ok_or(Malformed)
}

/// Writes an address into the guest's buffer, in the form that the buffer's length asks for: with the
/// family where it has 128 bytes or more, otherwise raw where it fits. Bytes behind it stay as they are.
pub fn write_ip_address(address: IpAddr, buffer: &mut [u8]) -> Result<(), Malformed> {
    let mut octets = [0; 16];
    let (family, len) = match address {
        IpAddr::V4(v4) => {
            octets[..4].copy_from_slice(&v4.octets());
            (FAMILY_INET4, 4)
        }
        IpAddr::V6(v6) => {
            octets = v6.octets();
            (FAMILY_INET6, 16)
        }
    };
    let target = if buffer.len() >= ADDRESS_BUFFER_V2 {
        buffer[..2].copy_from_slice(&u16::from(family).to_le_bytes());
        &mut buffer[2..]
    } else {
        buffer
    };
    target.get_mut(..len).ok_or(Malformed)?.copy_from_slice(&octets[..len]);
    Ok(())
}

pub fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { FAMILY_INET4 } else { FAMILY_INET6 }
}

/// The data of a sockaddr: port (big-endian) and IPv4 address in 14 bytes, or port, flow label, IPv6
/// address and scope in 26.
pub fn sockaddr_data(address: SocketAddr) -> Vec<u8> {
    let mut data = address.port().to_be_bytes().to_vec();
    match address {
        SocketAddr::V4(v4) => {
            data.extend(v4.ip().octets());
            data.resize(14, 0);
        }
        SocketAddr::V6(v6) => {
            data.extend(v6.flowinfo().to_be_bytes());
            data.extend(v6.ip().octets());
            data.extend(v6.scope_id().to_le_bytes());
        }
    }
    data
}

/// What a guest asks of an address look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    pub flags: u16,
    pub family: u8,
    pub socktype: u8,
    pub protocol: u8,
}

/// The first fields of an addrinfo, which are all that matter of a hint.
pub fn hints(addrinfo: &[u8]) -> Result<Hints, Malformed> {
    let &[low, high, family, socktype, protocol] = addrinfo.first_chunk().ok_or(Malformed)?;
    let flags = u16::from_le_bytes([low, high]);
    if flags >= 1 << 7 || family > FAMILY_INET6 || socktype > SOCK_STREAM || protocol > PROTO_UDP {
        return Err(Malformed);
    }
    Ok(Hints { flags, family, socktype, protocol })
}

/// Where a node of the list that the guest has prepared keeps its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddrinfoNode {
    /// A sockaddr.
    pub address: u32,
    /// The guest's room for the canonical name.
    pub canonical_name: Span,
    pub next: u32,
}

pub fn addrinfo_node(bytes: &[u8]) -> Result<AddrinfoNode, Malformed> {
    Ok(AddrinfoNode {
        address: u32_at(bytes, 12)?,
        canonical_name: Span { pointer: u32_at(bytes, 16)?, len: u32_at(bytes, 20)? },
        next: u32_at(bytes, 24)?,
    })
}

/// Fills in the first 12 bytes of a node and the length of its canonical name; the pointers stay.
/// `socktype` and `protocol` are of this file's constants.
pub fn write_addrinfo(
    bytes: &mut [u8],
    flags: u16,
    address: IpAddr,
    socktype: u8,
    canonical_name_len: u32,
) -> Result<(), Malformed> {
    let node: &mut [u8; ADDRINFO_SIZE] = bytes.first_chunk_mut().ok_or(Malformed)?;
    let protocol = match socktype {
        SOCK_STREAM => PROTO_TCP,
        SOCK_DGRAM => PROTO_UDP,
        _ => PROTO_IP,
    };
    // The sizes of the C structs sockaddr_in and sockaddr_in6.
    let address_len: u32 = if address.is_ipv4() { 16 } else { 28 };
    node[..2].copy_from_slice(&flags.to_le_bytes());
    node[2..5].copy_from_slice(&[family(address), socktype, protocol]);
    node[8..12].copy_from_slice(&address_len.to_le_bytes());
    node[20..24].copy_from_slice(&canonical_name_len.to_le_bytes());
    Ok(())
}

/// Where a sockaddr's data is. Its own length field is not to be trusted: PHP's says 0, Rust's 14.
pub fn sockaddr_data_pointer(bytes: &[u8]) -> Result<u32, Malformed> {
    u32_at(bytes, 8)
}

/// Fills in family and length of a sockaddr; the pointer stays.
pub fn write_sockaddr(bytes: &mut [u8], address: IpAddr, data_len: u32) -> Result<(), Malformed> {
    let sockaddr: &mut [u8; SOCKADDR_SIZE] = bytes.first_chunk_mut().ok_or(Malformed)?;
    sockaddr[0] = family(address);
    sockaddr[4..8].copy_from_slice(&data_len.to_le_bytes());
    Ok(())
}

/// A `timeval` in whole microseconds: seconds (i64) at 0, microseconds (i32) at 8. Guests leave the rest
/// of its 16 bytes uninitialised. `None` is no limit.
pub fn timeval(bytes: &[u8]) -> Result<Option<u64>, Malformed> {
    let seconds = bytes.first_chunk().map(|field| i64::from_le_bytes(*field)).ok_or(Malformed)?;
    let micros = u32_at(bytes, 8)?;
    let seconds = u64::try_from(seconds).map_err(|_| Malformed)?;
    if micros >= 1_000_000 {
        return Err(Malformed);
    }
    let total = seconds.saturating_mul(1_000_000).saturating_add(micros.into());
    Ok((total > 0).then_some(total))
}

pub fn timeval_bytes(micros: Option<u64>) -> [u8; 16] {
    let micros = micros.unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(micros / 1_000_000).to_le_bytes());
    bytes[8..].copy_from_slice(&(micros % 1_000_000).to_le_bytes());
    bytes
}

/// A service by name or number, as a port. The few names are those that programs look up for the port.
pub fn service_port(service: &str) -> Option<u16> {
    Some(match service {
        "" => 0,
        "ftp" => 21,
        "ssh" => 22,
        "telnet" => 23,
        "smtp" => 25,
        "domain" => 53,
        "http" | "www" => 80,
        "pop3" => 110,
        "ntp" => 123,
        "imap" | "imap2" => 143,
        "ldap" => 389,
        "https" => 443,
        "submission" => 587,
        "ldaps" => 636,
        "imaps" => 993,
        "pop3s" => 995,
        "mysql" => 3306,
        "postgresql" => 5432,
        "amqp" => 5672,
        "redis" => 6379,
        number => return number.parse().ok(),
    })
}
