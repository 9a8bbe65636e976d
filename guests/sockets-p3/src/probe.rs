//! Every call of wasi:sockets 0.3 that could reach something, tried in turn.

use crate::address::wasi;
use crate::{plain, print};
use std::fmt::Debug;
use std::net::SocketAddr;
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, TcpSocket, UdpSocket};

pub async fn all() {
    for (family, any, remote) in
        [(IpAddressFamily::Ipv4, "0.0.0.0", "127.0.0.1"), (IpAddressFamily::Ipv6, "[::]", "[::1]")]
    {
        let at =
            |ip: &str, port: u16| wasi(format!("{ip}:{port}").parse::<SocketAddr>().expect("an address"));
        tcp(family, at(any, 0), at(any, 8080), at(remote, 80)).await;
        udp(family, at(any, 0), at(any, 8080), at(remote, 53)).await;
    }
    for name in ["localhost", "example.com", "127.0.0.1.nip.io", "", "a b"] {
        say(&format!("resolve-addresses {name:?}"), resolve_addresses(name.to_owned()).await).await;
    }
}

async fn say<T, E: Debug>(call: &str, answer: Result<T, E>) {
    let answer = answer.map_or_else(|error| plain(&error), |_| "Ok".to_owned());
    print(format!("{call}: {answer}\n")).await;
}

async fn tcp(
    family: IpAddressFamily,
    ephemeral: IpSocketAddress,
    port: IpSocketAddress,
    remote: IpSocketAddress,
) {
    let created = TcpSocket::create(family);
    let possible = created.is_ok();
    say("create-tcp-socket", created).await;
    if !possible {
        return;
    }
    let new = || TcpSocket::create(family).expect("it worked before");
    say("tcp start-bind to a port", new().bind(port)).await;
    say("tcp start-bind to port 0", new().bind(ephemeral)).await;
    say("tcp start-listen", new().listen()).await;
    let socket = new();
    if socket.bind(ephemeral).is_ok() {
        say("tcp start-listen on port 0", socket.listen()).await;
    }
    say("tcp connect", new().connect(remote).await).await;
}

async fn udp(
    family: IpAddressFamily,
    ephemeral: IpSocketAddress,
    port: IpSocketAddress,
    remote: IpSocketAddress,
) {
    let created = UdpSocket::create(family);
    let possible = created.is_ok();
    say("create-udp-socket", created).await;
    if !possible {
        return;
    }
    let new = || UdpSocket::create(family).expect("it worked before");
    say("udp start-bind to a port", new().bind(port)).await;
    say("udp start-bind to port 0", new().bind(ephemeral)).await;
    say("udp connect", new().connect(remote)).await;
    say("udp send", new().send(b"x".to_vec(), Some(remote)).await).await;
}
