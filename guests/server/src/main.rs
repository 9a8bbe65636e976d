//! An HTTP/1.1 server on port 8080: one connection after the other, one request on each, and a path for every
//! way in which a server can behave.

use std::io::{BufRead, BufReader, Read, Result, Write};
#[cfg(target_env = "p2")]
use std::net::{TcpListener, TcpStream};
#[cfg(target_env = "p1")]
use wasmedge_wasi_socket::{TcpListener, TcpStream};

fn main() -> Result<()> {
    if std::env::var("FAIL").is_ok() {
        eprintln!("server: told to fail");
        std::process::exit(9);
    }
    let listener = bind()?;
    let mut count = 0;
    loop {
        let stream = accept(&listener)?;
        count += 1;
        // A client that goes away is its own affair.
        if let Err(error) = serve(stream, count) {
            eprintln!("server: {error}");
        }
    }
}

#[cfg(target_env = "p1")]
fn bind() -> Result<TcpListener> {
    TcpListener::bind("0.0.0.0:8080", false)
}

#[cfg(target_env = "p1")]
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.accept(false).map(|(stream, _)| stream)
}

#[cfg(target_env = "p2")]
fn bind() -> Result<TcpListener> {
    TcpListener::bind("0.0.0.0:8080")
}

#[cfg(target_env = "p2")]
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.accept().map(|(stream, _)| stream)
}

fn serve(stream: TcpStream, count: u32) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    // Whatever the prefix is under which it is served.
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path[path.rfind('/').unwrap_or(0)..].to_owned();
    let answer = |status: &str, body: &[u8]| {
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let response = match path.as_str() {
        "/" => answer("200 OK", format!("request {count}\n").as_bytes()),
        "/head" => answer("200 OK", head.as_bytes()),
        "/echo" => {
            let body = body(&head, &mut reader)?;
            answer("200 OK", &body)
        }
        "/trailers" => {
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
            3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n"
                .to_vec()
        }
        "/die" => std::process::exit(7),
        "/half" => {
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
            std::process::exit(8);
        }
        "/garbage" => b"what?\r\n\r\n".to_vec(),
        "/close" => return Ok(()),
        "/loop" => loop {
            std::hint::spin_loop();
        },
        "/ws" => return web_socket(head, reader),
        _ => answer("404 Not Found", b"no such path\n"),
    };
    reader.get_mut().write_all(&response)
}

fn body(head: &str, reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let head = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..])?;
            reader.read_line(&mut line)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.resize(length.and_then(|text| text.parse().ok()).unwrap_or(0), 0);
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// Sends back each message, until the client closes.
fn web_socket(head: String, reader: BufReader<TcpStream>) -> Result<()> {
    let stream = Again { head: head.into_bytes(), read: 0, reader };
    let mut socket = tungstenite::accept(stream).map_err(std::io::Error::other)?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => {
                socket.send(message).map_err(std::io::Error::other)?;
            }
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// A stream whose head was read and is read again.
struct Again {
    head: Vec<u8>,
    read: usize,
    reader: BufReader<TcpStream>,
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let rest = &self.head[self.read..];
        if rest.is_empty() {
            return self.reader.read(buffer);
        }
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl Write for Again {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.reader.get_mut().write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.reader.get_mut().flush()
    }
}
