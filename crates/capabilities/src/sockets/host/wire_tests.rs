//! The layouts of WasmEdge's structs, byte by byte, and what malformed ones give.

use super::wire::*;
use std::net::{IpAddr, SocketAddr};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_in_three_lengths() {
    assert_eq!(ip_address(&[127, 0, 0, 1]), Ok(ip("127.0.0.1")));
    let mut v6 = [0; 16];
    v6[15] = 1;
    assert_eq!(ip_address(&v6), Ok(ip("::1")));
    let mut long = [0; ADDRESS_BUFFER_V2];
    long[..6].copy_from_slice(&[1, 0, 192, 0, 2, 7]);
    assert_eq!(ip_address(&long), Ok(ip("192.0.2.7")));
    long[0] = FAMILY_INET6;
    assert_eq!(ip_address(&long), Ok(ip("c000:207::")));
    for family in [0, 3, 4, 255] {
        long[0] = family;
        assert_eq!(ip_address(&long), Err(Malformed), "family {family}");
    }
    for len in [0, 3, 5, 15, 17, 127, 129] {
        assert_eq!(ip_address(&vec![1; len]), Err(Malformed), "length {len}");
    }
}

#[test]
fn addresses_are_written_as_the_buffer_asks() {
    for text in ["10.1.2.3", "2001:db8::1"] {
        let address = ip(text);
        let len = if address.is_ipv4() { 4 } else { 16 };
        let mut raw = vec![0; len];
        write_ip_address(address, &mut raw).unwrap();
        assert_eq!(ip_address(&raw), Ok(address));
        let mut long = vec![0xee; ADDRESS_BUFFER_V2];
        write_ip_address(address, &mut long).unwrap();
        assert_eq!(ip_address(&long), Ok(address));
        assert_eq!(long[2 + len], 0xee, "bytes behind the address are the guest's");
        assert_eq!(write_ip_address(address, &mut vec![0; len - 1]), Err(Malformed));
    }
    // The Rust crate gives 16 bytes for either family.
    let mut buffer = [0; 16];
    write_ip_address(ip("10.1.2.3"), &mut buffer).unwrap();
    assert_eq!(buffer[..5], [10, 1, 2, 3, 0]);
}

#[test]
fn iovecs_are_whole() {
    let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(iovecs(&bytes), Ok(vec![Span { pointer: 1, len: 2 }, Span { pointer: 3, len: 4 }]));
    assert_eq!(iovecs(&[]), Ok(vec![]));
    assert_eq!(iovecs(&bytes[..12]), Err(Malformed));
    assert_eq!(span(&bytes[..7]), Err(Malformed));
}

#[test]
fn sockaddrs() {
    let v4: SocketAddr = "1.2.3.4:258".parse().unwrap();
    assert_eq!(sockaddr_data(v4), [1, 2, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    let v6: SocketAddr = "[::1]:258".parse().unwrap();
    let data = sockaddr_data(v6);
    assert_eq!(data.len(), 26);
    assert_eq!((data[..2].to_vec(), data[21]), (vec![1, 2], 1));
    let mut sockaddr = [0xee; SOCKADDR_SIZE];
    write_sockaddr(&mut sockaddr, v4.ip(), 14).unwrap();
    assert_eq!(sockaddr, [1, 0xee, 0xee, 0xee, 14, 0, 0, 0, 0xee, 0xee, 0xee, 0xee]);
    assert_eq!(sockaddr_data_pointer(&sockaddr), Ok(0xeeee_eeee));
    assert_eq!(write_sockaddr(&mut sockaddr[..11], v4.ip(), 14), Err(Malformed));
    assert_eq!(sockaddr_data_pointer(&sockaddr[..11]), Err(Malformed));
}

#[test]
fn addrinfos() {
    let mut node = [0; ADDRINFO_SIZE];
    node[12..16].copy_from_slice(&7u32.to_le_bytes());
    node[16..20].copy_from_slice(&8u32.to_le_bytes());
    node[24..28].copy_from_slice(&9u32.to_le_bytes());
    write_addrinfo(&mut node, AI_PASSIVE, ip("1.2.3.4"), SOCK_STREAM, 5).unwrap();
    assert_eq!(node[..12], [1, 0, FAMILY_INET4, SOCK_STREAM, PROTO_TCP, 0, 0, 0, 16, 0, 0, 0]);
    let parts = AddrinfoNode { address: 7, canonical_name: Span { pointer: 8, len: 5 }, next: 9 };
    assert_eq!(addrinfo_node(&node), Ok(parts));
    assert_eq!(
        hints(&node),
        Ok(Hints { flags: 1, family: FAMILY_INET4, socktype: SOCK_STREAM, protocol: PROTO_TCP })
    );
    assert_eq!(addrinfo_node(&node[..27]), Err(Malformed));
    assert_eq!(write_addrinfo(&mut node[..27], 0, ip("::1"), SOCK_DGRAM, 0), Err(Malformed));
    for bad in [[0, 1, 0, 0, 0], [0, 0, 3, 0, 0], [0, 0, 0, 3, 0], [0, 0, 0, 0, 3]] {
        assert_eq!(hints(&bad), Err(Malformed), "{bad:?}");
    }
    assert_eq!(hints(&[0; 4]), Err(Malformed));
}

#[test]
fn timevals() {
    assert_eq!(timeval(&timeval_bytes(Some(1_500_000))), Ok(Some(1_500_000)));
    assert_eq!(timeval(&timeval_bytes(None)), Ok(None));
    let mut padded = timeval_bytes(Some(20));
    padded[12..].fill(0xee);
    assert_eq!(timeval(&padded), Ok(Some(20)), "the padding of a guest's timeval is not initialised");
    assert_eq!(timeval(&timeval_bytes(Some(u64::MAX))[..12]), Ok(Some(u64::MAX)));
    let mut negative = [0; 16];
    negative[..8].copy_from_slice(&(-1i64).to_le_bytes());
    assert_eq!(timeval(&negative), Err(Malformed));
    let mut too_many = [0; 16];
    too_many[8..12].copy_from_slice(&1_000_000u32.to_le_bytes());
    assert_eq!(timeval(&too_many), Err(Malformed));
    assert_eq!(timeval(&[0; 8]), Err(Malformed));
}

#[test]
fn services() {
    for (text, port) in
        [("", Some(0)), ("http", Some(80)), ("8080", Some(8080)), ("no", None), ("65536", None)]
    {
        assert_eq!(service_port(text), port, "{text}");
    }
}
