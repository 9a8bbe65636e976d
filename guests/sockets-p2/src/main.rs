//! wasi:sockets 0.2, by its own calls:
//! `serve PORT N` echoes N connections, all at once, and prints its address first; `connect ADDRESS TEXT`
//! prints what comes back; `udp-serve PORT N`, `udp-send ADDRESS TEXT` likewise for datagrams;
//! `lookup NAME` prints addresses; `fetch NAME PORT TEXT` looks up and connects; `listen ADDRESS` and
//! `probe` try single calls and print what each answered.

mod address;
mod probe;

use address::{family, text, wasi};
use std::net::SocketAddr;
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddress};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match *arguments {
        ["serve", port, count] => serve(&format!("0.0.0.0:{port}"), count.parse().expect("a count")),
        ["listen", address] => listen(address).map(|socket| println!("listening on {}", local(&socket))),
        ["connect", address, message] => connect(address.parse().expect("an address"), message),
        ["udp-serve", port, count] => udp_serve(&format!("0.0.0.0:{port}"), count.parse().expect("a count")),
        ["udp-send", address, message] => udp_send(address.parse().expect("an address"), message),
        ["lookup", name] => lookup(name).map(|found| println!("{}", found.join(" "))),
        ["fetch", name, port, message] => lookup(name).and_then(|found| {
            let address = found.iter().find(|address| !address.contains(':')).expect("an IPv4 address");
            connect(format!("{address}:{port}").parse().expect("an address"), message)
        }),
        ["probe"] => {
            probe::all();
            Ok(())
        }
        _ => panic!("no such command: {arguments:?}"),
    };
    if let Err(error) = result {
        println!("{}", camel_case(error.name()));
    }
}

/// `access-denied` as `AccessDenied`, which is how the bindings of 0.3 print it.
fn camel_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

fn listen(address: &str) -> Result<TcpSocket, ErrorCode> {
    let address: SocketAddr = address.parse().expect("an address");
    let network = instance_network();
    let socket = create_tcp_socket(family(&address))?;
    socket.start_bind(&network, wasi(address))?;
    socket.finish_bind()?;
    socket.set_listen_backlog_size(1024)?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok(socket)
}

fn local(socket: &TcpSocket) -> String {
    socket.local_address().map_or_else(|error| format!("{error:?}"), text)
}

/// One connection. The streams are children of the socket and must go first.
struct Connection {
    input: InputStream,
    output: OutputStream,
    _socket: TcpSocket,
}

fn serve(address: &str, mut count: usize) -> Result<(), ErrorCode> {
    let listener = listen(address)?;
    println!("listening on {}", local(&listener));
    let mut open: Vec<Connection> = Vec::new();
    let mut most = 0;
    while count > 0 || !open.is_empty() {
        let pollables: Vec<_> = std::iter::once(listener.subscribe())
            .chain(open.iter().map(|connection| connection.input.subscribe()))
            .collect();
        let ready = poll(&pollables.iter().collect::<Vec<_>>());
        drop(pollables);
        let mut ended = Vec::new();
        for index in ready {
            match index.checked_sub(1) {
                None if count > 0 => match listener.accept() {
                    Ok((socket, input, output)) => {
                        count -= 1;
                        open.push(Connection { input, output, _socket: socket });
                    }
                    Err(ErrorCode::WouldBlock) => {}
                    Err(error) => return Err(error),
                },
                None => {}
                Some(index) => {
                    if !echo(&open[index as usize]) {
                        ended.push(index as usize);
                    }
                }
            }
        }
        most = most.max(open.len());
        ended.sort_unstable();
        for index in ended.into_iter().rev() {
            open.swap_remove(index);
        }
    }
    println!("served up to {most} at once");
    Ok(())
}

/// Whether the connection goes on.
fn echo(connection: &Connection) -> bool {
    match connection.input.read(4096) {
        Ok(bytes) => bytes.is_empty() || connection.output.blocking_write_and_flush(&bytes).is_ok(),
        Err(_) => false,
    }
}

fn connect(address: SocketAddr, message: &str) -> Result<(), ErrorCode> {
    let network = instance_network();
    let socket = create_tcp_socket(family(&address))?;
    socket.start_connect(&network, wasi(address))?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => break done?,
        }
    };
    output.blocking_write_and_flush(message.as_bytes()).expect("the peer reads");
    socket.shutdown(ShutdownType::Send)?;
    let mut reply = Vec::new();
    loop {
        match input.blocking_read(4096) {
            Ok(bytes) => reply.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("reading: {error:?}"),
        }
    }
    println!("{}", String::from_utf8_lossy(&reply));
    Ok(())
}

fn udp_bind(address: &str) -> Result<UdpSocket, ErrorCode> {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = create_udp_socket(family(&address))?;
    socket.start_bind(&instance_network(), wasi(address))?;
    socket.finish_bind()?;
    Ok(socket)
}

fn udp_serve(address: &str, mut count: usize) -> Result<(), ErrorCode> {
    let socket = udp_bind(address)?;
    println!("bound to {}", text(socket.local_address()?));
    let (incoming, outgoing) = socket.stream(None)?;
    while count > 0 {
        incoming.subscribe().block();
        for datagram in incoming.receive(16)? {
            count -= 1;
            while outgoing.check_send()? == 0 {
                outgoing.subscribe().block();
            }
            let answer =
                OutgoingDatagram { data: datagram.data, remote_address: Some(datagram.remote_address) };
            outgoing.send(&[answer])?;
        }
    }
    Ok(())
}

fn udp_send(address: SocketAddr, message: &str) -> Result<(), ErrorCode> {
    let socket = udp_bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    let (incoming, outgoing) = socket.stream(None)?;
    outgoing.check_send()?;
    let datagram = OutgoingDatagram { data: message.into(), remote_address: Some(wasi(address)) };
    outgoing.send(&[datagram])?;
    loop {
        incoming.subscribe().block();
        if let [datagram, ..] = &incoming.receive(1)?[..] {
            println!("{}", String::from_utf8_lossy(&datagram.data));
            return Ok(());
        }
    }
}

fn lookup(name: &str) -> Result<Vec<String>, ErrorCode> {
    let addresses = resolve_addresses(&instance_network(), name)?;
    let mut found = Vec::new();
    loop {
        match addresses.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => addresses.subscribe().block(),
            Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(format!("{a}.{b}.{c}.{d}")),
            Ok(Some(IpAddress::Ipv6(parts))) => found.push(address::ipv6(parts).to_string()),
            Ok(None) => return Ok(found),
            Err(error) => return Err(error),
        }
    }
}
