//! Every call of wasi:sockets 0.2 that could reach the network or tell of it.

use crate::told;
use std::fmt::Debug;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

const FAMILIES: [IpAddressFamily; 2] = [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6];

/// The name alone: the error's own text has several lines.
fn print(call: &str, outcome: Result<impl Debug, ErrorCode>) {
    crate::print(call, outcome.map_err(|error| error.name()));
}

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

pub fn tcp() {
    for family in FAMILIES {
        let socket = match create_tcp_socket(family) {
            Ok(socket) => socket,
            Err(error) => {
                print("create-tcp-socket", Err::<(), _>(error));
                continue;
            }
        };
        told("create-tcp-socket", family);
        tcp_socket(&socket, family);
    }
}

fn tcp_socket(socket: &TcpSocket, family: IpAddressFamily) {
    let network = instance_network();
    for (loopback, port) in [(true, 0), (false, 0), (true, 80), (false, 8080)] {
        let bound = socket.start_bind(&network, address(family, loopback, port));
        print("tcp.bind", bound.and_then(|()| socket.finish_bind()));
    }
    // Without an address of its own: the system would choose a port.
    print("tcp.listen", socket.start_listen().and_then(|()| socket.finish_listen()));
    print("tcp.accept", socket.accept().map(|_| ()));
    for port in [1, 22, 80] {
        let fresh = create_tcp_socket(family).expect("a second socket");
        let connected = fresh.start_connect(&network, address(family, true, port)).and_then(|()| {
            fresh.subscribe().block();
            fresh.finish_connect().map(|_| ())
        });
        print("tcp.connect", connected);
    }
    print("tcp.local-address", socket.local_address());
    print("tcp.remote-address", socket.remote_address());
    print("tcp.shutdown", socket.shutdown(ShutdownType::Both));
    told("tcp.is-listening", socket.is_listening());
}

pub fn udp() {
    let network = instance_network();
    for family in FAMILIES {
        let socket = match create_udp_socket(family) {
            Ok(socket) => socket,
            Err(error) => {
                print("create-udp-socket", Err::<(), _>(error));
                continue;
            }
        };
        told("create-udp-socket", family);
        for port in [0, 53, 8080] {
            let bound = socket.start_bind(&network, address(family, false, port));
            print("udp.bind", bound.and_then(|()| socket.finish_bind()));
        }
        print("udp.stream", socket.stream(None).map(|_| ()));
        print("udp.stream to", socket.stream(Some(address(family, true, 53))).map(|_| ()));
        send(&socket, family);
        print("udp.local-address", socket.local_address());
        print("udp.remote-address", socket.remote_address());
    }
}

fn send(socket: &UdpSocket, family: IpAddressFamily) {
    let sent = socket.stream(None).and_then(|(_, outgoing)| {
        outgoing.subscribe().block();
        outgoing.check_send()?;
        let remote_address = Some(address(family, true, 53));
        outgoing.send(&[OutgoingDatagram { data: b"greedy".to_vec(), remote_address }])
    });
    print("udp.send", sent);
}

pub fn look_up() {
    let network = instance_network();
    for name in ["localhost", "example.com", "127.0.0.1"] {
        let found = resolve_addresses(&network, name).and_then(|stream| {
            stream.subscribe().block();
            stream.resolve_next_address()
        });
        print(&format!("resolve-addresses {name}"), found);
    }
}
