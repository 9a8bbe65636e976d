//! `wasmedge-udp serve ADDRESS COUNT`: sends back as many datagrams. `wasmedge-udp send ADDRESS TEXT`: sends one
//! and prints the answer.

use std::io::Result;
use wasmedge_wasi_socket::UdpSocket;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let mut buffer = [0; 2048];
    if args[1] == "serve" {
        let socket = UdpSocket::bind(&*args[2])?;
        println!("bound");
        for _ in 0..args[3].parse().expect("a number") {
            let (len, from) = socket.recv_from(&mut buffer)?;
            socket.send_to(&buffer[..len], from)?;
        }
        return Ok(());
    }
    let any = if args[2].starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any)?;
    if let Err(error) = socket.send_to(args[3].as_bytes(), &*args[2]) {
        println!("cannot send: {error}");
        std::process::exit(1);
    }
    let (len, from) = socket.recv_from(&mut buffer)?;
    println!("{from} says {}", String::from_utf8_lossy(&buffer[..len]));
    Ok(())
}
