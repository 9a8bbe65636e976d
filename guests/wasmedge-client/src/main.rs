//! `wasmedge-client HOST:PORT TEXT`: connects, sends, ends its side and prints what comes back.

use std::io::{Read, Result, Write};
use wasmedge_wasi_socket::{Shutdown, TcpStream};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let mut stream = match TcpStream::connect(&*args[1]) {
        Ok(stream) => stream,
        Err(error) => {
            println!("cannot connect: {error}");
            std::process::exit(1);
        }
    };
    println!("connected to {}", stream.peer_addr()?);
    stream.write_all(args[2].as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    println!("{reply}");
    Ok(())
}
