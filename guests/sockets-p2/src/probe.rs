//! Every call of wasi:sockets 0.2 that could reach something, tried in turn.

use crate::address::wasi;
use crate::camel_case;
use std::net::SocketAddr;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

pub fn all() {
    for (family, any, remote) in
        [(IpAddressFamily::Ipv4, "0.0.0.0", "127.0.0.1"), (IpAddressFamily::Ipv6, "[::]", "[::1]")]
    {
        let at =
            |ip: &str, port: u16| wasi(format!("{ip}:{port}").parse::<SocketAddr>().expect("an address"));
        tcp(family, at(any, 0), at(any, 8080), at(remote, 80));
        udp(family, at(any, 0), at(any, 8080), at(remote, 53));
    }
    for name in ["localhost", "example.com", "127.0.0.1.nip.io", "", "a b"] {
        let answer = resolve_addresses(&instance_network(), name).and_then(|stream| {
            loop {
                match stream.resolve_next_address() {
                    Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
                    done => break done,
                }
            }
        });
        say(&format!("resolve-addresses {name:?}"), &answer);
    }
}

fn say<T>(call: &str, answer: &Result<T, ErrorCode>) {
    println!(
        "{call}: {}",
        answer.as_ref().map_or_else(|error| camel_case(error.name()), |_| "Ok".to_owned())
    );
}

type Address = wasip2::sockets::network::IpSocketAddress;

fn tcp(family: IpAddressFamily, ephemeral: Address, port: Address, remote: Address) {
    let network = instance_network();
    let created = create_tcp_socket(family);
    say("create-tcp-socket", &created);
    if created.is_err() {
        return;
    }
    let new = || create_tcp_socket(family).expect("it worked before");
    say("tcp start-bind to a port", &new().start_bind(&network, port));
    say("tcp start-bind to port 0", &new().start_bind(&network, ephemeral));
    say("tcp start-listen", &new().start_listen());
    let socket = new();
    if socket.start_bind(&network, ephemeral).is_ok() && socket.finish_bind().is_ok() {
        say("tcp start-listen on port 0", &socket.start_listen());
    }
    let socket = new();
    let connected = socket.start_connect(&network, remote).and_then(|()| {
        loop {
            match socket.finish_connect() {
                Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
                done => break done.map(|_| ()),
            }
        }
    });
    say("tcp connect", &connected);
}

fn udp(family: IpAddressFamily, ephemeral: Address, port: Address, remote: Address) {
    let network = instance_network();
    let created = create_udp_socket(family);
    say("create-udp-socket", &created);
    let Ok(socket) = created else { return };
    say("udp start-bind to a port", &socket.start_bind(&network, port));
    let socket = create_udp_socket(family).expect("it worked before");
    say("udp start-bind to port 0", &socket.start_bind(&network, ephemeral));
    if socket.finish_bind().is_ok() {
        say("udp connect", &socket.stream(Some(remote)).map(|_| ()));
        if let Ok((_incoming, outgoing)) = socket.stream(None) {
            let _ = outgoing.check_send();
            let datagram = OutgoingDatagram { data: b"x".to_vec(), remote_address: Some(remote) };
            say("udp send", &outgoing.send(&[datagram]));
        }
    }
}
