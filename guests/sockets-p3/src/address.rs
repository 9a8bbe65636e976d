//! Socket addresses of the standard library as those of wasi:sockets, and back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress};

pub fn family(address: &SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

pub fn wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: address.port(),
            flow_info: 0,
            address: address.ip().segments().into(),
            scope_id: 0,
        }),
    }
}

pub fn text(address: IpSocketAddress) -> String {
    match address {
        IpSocketAddress::Ipv4(address) => {
            let (a, b, c, d) = address.address;
            SocketAddr::from((Ipv4Addr::new(a, b, c, d), address.port)).to_string()
        }
        IpSocketAddress::Ipv6(address) => SocketAddr::from((ipv6(address.address), address.port)).to_string(),
    }
}

pub fn ipv6(parts: (u16, u16, u16, u16, u16, u16, u16, u16)) -> Ipv6Addr {
    Ipv6Addr::from(<[u16; 8]>::from(parts))
}
