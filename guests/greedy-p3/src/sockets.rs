//! Every call of wasi:sockets 0.3 that could reach the network or tell of it.

use crate::{print, told};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
};

const FAMILIES: [IpAddressFamily; 2] = [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6];

fn address(family: IpAddressFamily, loopback: bool, port: u16) -> IpSocketAddress {
    let last = u8::from(loopback);
    match family {
        IpAddressFamily::Ipv4 => {
            let address = if loopback { (127, 0, 0, last) } else { (0, 0, 0, 0) };
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
        }
        IpAddressFamily::Ipv6 => {
            let address = (0, 0, 0, 0, 0, 0, 0, last.into());
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

pub async fn tcp() {
    for family in FAMILIES {
        let socket = match TcpSocket::create(family) {
            Ok(socket) => socket,
            Err(error) => {
                print("tcp.create", Err::<(), _>(error));
                continue;
            }
        };
        told("tcp.create", family);
        for (loopback, port) in [(true, 0), (false, 0), (true, 80), (false, 8080)] {
            print("tcp.bind", socket.bind(address(family, loopback, port)));
        }
        // Without an address of its own: the system would choose a port.
        print("tcp.listen", socket.listen().map(|_| ()));
        for port in [1, 22, 80] {
            let fresh = TcpSocket::create(family).expect("a second socket");
            print("tcp.connect", fresh.connect(address(family, true, port)).await);
        }
        print("tcp.get-local-address", socket.get_local_address());
        print("tcp.get-remote-address", socket.get_remote_address());
        told("tcp.get-is-listening", socket.get_is_listening());
    }
}

pub async fn udp() {
    for family in FAMILIES {
        let socket = match UdpSocket::create(family) {
            Ok(socket) => socket,
            Err(error) => {
                print("udp.create", Err::<(), _>(error));
                continue;
            }
        };
        told("udp.create", family);
        for port in [0, 53, 8080] {
            print("udp.bind", socket.bind(address(family, false, port)));
        }
        print("udp.connect", socket.connect(address(family, true, 53)));
        print("udp.send", socket.send(b"greedy".to_vec(), Some(address(family, true, 53))).await);
        print("udp.receive", socket.receive().await.map(|_| ()));
        print("udp.get-local-address", socket.get_local_address());
        print("udp.get-remote-address", socket.get_remote_address());
    }
}

pub async fn look_up() {
    for name in ["localhost", "example.com", "127.0.0.1"] {
        print(&format!("resolve-addresses {name}"), resolve_addresses(name.to_owned()).await);
    }
}
