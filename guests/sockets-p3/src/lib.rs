//! wasi:sockets 0.3, by its own calls. The arguments and the output are those of sockets-p2.

mod address;
mod probe;

use address::{family, text, wasi};
use futures::StreamExt;
use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use wasip3::cli::{environment, stdout};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{ErrorCode, IpAddress, TcpSocket, UdpSocket};
use wasip3::wit_stream;

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments: Vec<String> = environment::get_arguments().into_iter().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if let Err(error) = command(&arguments).await {
            print(format!("{}\n", plain(&error))).await;
        }
        Ok(())
    }
}

async fn command(arguments: &[&str]) -> Result<(), ErrorCode> {
    match *arguments {
        ["serve", port, count] => serve(&format!("0.0.0.0:{port}"), count.parse().expect("a count")).await,
        ["listen", address] => {
            let socket = tcp_bind(address)?;
            let _connections = socket.listen()?;
            print(format!("listening on {}\n", text(socket.get_local_address()?))).await;
            Ok(())
        }
        ["connect", address, message] => connect(address.parse().expect("an address"), message).await,
        ["udp-serve", port, count] => {
            udp_serve(&format!("0.0.0.0:{port}"), count.parse().expect("a count")).await
        }
        ["udp-send", address, message] => udp_send(address.parse().expect("an address"), message).await,
        ["lookup", name] => {
            let line = match lookup(name).await {
                Ok(found) => found.join(" "),
                Err(error) => error,
            };
            print(line + "\n").await;
            Ok(())
        }
        ["fetch", name, port, message] => match lookup(name).await {
            Ok(found) => {
                let address = found.iter().find(|address| !address.contains(':')).expect("an IPv4 address");
                connect(format!("{address}:{port}").parse().expect("an address"), message).await
            }
            Err(error) => {
                print(error + "\n").await;
                Ok(())
            }
        },
        ["probe"] => {
            probe::all().await;
            Ok(())
        }
        _ => panic!("no such command: {arguments:?}"),
    }
}

async fn print(text: String) {
    let (mut sender, receiver) = wit_stream::new();
    let write = async {
        sender.write_all(text.into_bytes()).await;
        drop(sender);
    };
    let ((), sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    sent.expect("standard output is open");
}

/// `ErrorCode::AccessDenied` as `AccessDenied`.
fn plain(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.rsplit("::").next().unwrap_or_default().to_owned()
}

fn tcp_bind(address: &str) -> Result<TcpSocket, ErrorCode> {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = TcpSocket::create(family(&address))?;
    socket.bind(wasi(address))?;
    socket.set_listen_backlog_size(1024)?;
    Ok(socket)
}

async fn serve(address: &str, count: usize) -> Result<(), ErrorCode> {
    let listener = tcp_bind(address)?;
    let connections = listener.listen()?;
    print(format!("listening on {}\n", text(listener.get_local_address()?))).await;
    let open = Cell::new(0);
    let most = Cell::new(0);
    let accepted = futures::stream::unfold(connections, |mut connections| async {
        connections.next().await.map(|socket| (socket, connections))
    });
    let mut echoes =
        pin!(accepted.take(count).map(|socket| echo(socket, &open, &most)).buffer_unordered(count));
    while let Some(ended) = echoes.next().await {
        ended?;
    }
    print(format!("served up to {} at once\n", most.get())).await;
    Ok(())
}

/// The bytes go from the host to the host and never pass through the guest's memory.
async fn echo(socket: TcpSocket, open: &Cell<usize>, most: &Cell<usize>) -> Result<(), ErrorCode> {
    open.set(open.get() + 1);
    most.set(most.get().max(open.get()));
    let (bytes, received) = socket.receive();
    let sent = socket.send(bytes).await;
    open.set(open.get() - 1);
    sent.and(received.await)
}

async fn connect(address: SocketAddr, message: &str) -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(family(&address))?;
    socket.connect(wasi(address)).await?;
    let (mut sender, bytes) = wit_stream::new();
    let write = async {
        sender.write_all(message.as_bytes().to_vec()).await;
        drop(sender);
    };
    let (reply, received) = socket.receive();
    let ((), sent, reply) = futures::join!(write, socket.send(bytes).into_future(), reply.collect());
    sent?;
    received.await?;
    print(format!("{}\n", String::from_utf8_lossy(&reply))).await;
    Ok(())
}

fn udp_bind(address: &str) -> Result<UdpSocket, ErrorCode> {
    let address: SocketAddr = address.parse().expect("an address");
    let socket = UdpSocket::create(family(&address))?;
    socket.bind(wasi(address))?;
    Ok(socket)
}

async fn udp_serve(address: &str, count: usize) -> Result<(), ErrorCode> {
    let socket = udp_bind(address)?;
    print(format!("bound to {}\n", text(socket.get_local_address()?))).await;
    for _ in 0..count {
        let (data, sender) = socket.receive().await?;
        socket.send(data, Some(sender)).await?;
    }
    Ok(())
}

async fn udp_send(address: SocketAddr, message: &str) -> Result<(), ErrorCode> {
    let socket = udp_bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.send(message.as_bytes().to_vec(), Some(wasi(address))).await?;
    let (data, _) = socket.receive().await?;
    print(format!("{}\n", String::from_utf8_lossy(&data))).await;
    Ok(())
}

async fn lookup(name: &str) -> Result<Vec<String>, String> {
    let found = resolve_addresses(name.to_owned()).await.map_err(|error| plain(&error))?;
    let text = |address: &IpAddress| match *address {
        IpAddress::Ipv4((a, b, c, d)) => format!("{a}.{b}.{c}.{d}"),
        IpAddress::Ipv6(parts) => address::ipv6(parts).to_string(),
    };
    Ok(found.iter().map(text).collect())
}
