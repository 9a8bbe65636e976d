//! Connections of other protocols: handed over as they are, with the limits and the end of a server.

use crate::support::block_on;
use crate::tls::{certificate, connect};
use futures::future::BoxFuture;
use sampan_service::{
    Drained, Limits, Listen, Listener, Options, Server, TcpConnection, TcpHandler, TlsFiles, serve_tcp,
};
use sampan_testing::{PATIENCE, temp_dir};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Speaks first, then sends back what it gets until the client's end.
struct Greeter;

impl TcpHandler for Greeter {
    fn serve(&self, mut connection: TcpConnection) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let greeting = format!("hello {}\n", connection.peer.address.ip());
            // Who leaves early is seen when reading.
            let _ = connection.write_all(greeting.as_bytes()).await;
            let mut buffer = [0; 1024];
            while let Ok(count) = connection.read(&mut buffer).await {
                if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            let _ = connection.write_all(b"bye").await;
            let _ = connection.shutdown().await;
        })
    }
}

fn start(limits: Limits, tls: Option<TlsFiles>) -> (Server, SocketAddr) {
    let listener = Listener::bind_tcp(&Listen { address: ([127, 0, 0, 1], 0).into(), tls }).unwrap();
    let address = listener.address();
    let options = Options { limits, workers: 1, ..Options::default() };
    (serve_tcp(vec![listener], Arc::new(Greeter), options).unwrap(), address)
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn expect(stream: &mut TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), text);
}

/// What comes until the end.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&text).into_owned(),
    }
}

#[test]
fn the_server_may_speak_first_and_half_a_connection_may_end() {
    let (_server, address) = start(Limits::default(), None);
    let mut stream = client(address);
    expect(&mut stream, "hello 127.0.0.1\n");
    stream.write_all(b"\0\xffping").unwrap();
    let mut echo = [0; 6];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\0\xffping");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "bye");
}

#[test]
fn one_connection_too_many_is_closed_without_a_word() {
    let (_server, address) = start(Limits { connections: 1, ..Limits::default() }, None);
    let mut first = client(address);
    expect(&mut first, "hello 127.0.0.1\n");
    assert_eq!(rest(&mut client(address)), "");
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut first), "bye");
}

#[test]
fn a_drain_lets_connections_go_on_and_cuts_them_at_its_end() {
    let (server, address) = start(Limits::default(), None);
    let (mut first, mut second) = (client(address), client(address));
    expect(&mut first, "hello 127.0.0.1\n");
    expect(&mut second, "hello 127.0.0.1\n");
    let drain = std::thread::spawn(move || server.drain(Duration::from_millis(300)));
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    first.write_all(b"still here").unwrap();
    expect(&mut first, "still here");
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut first), "bye");
    assert_eq!(rest(&mut second), "");
    assert_eq!(drain.join().unwrap(), Drained { cut: 1 });
}

#[test]
fn tls_ends_here_whatever_the_client_speaks_inside() {
    let folder = temp_dir();
    let pem = certificate("tcp");
    let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.cert, &pem.cert).unwrap();
    std::fs::write(&files.key, &pem.key).unwrap();
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let (_server, address) = start(limits, Some(files));
    block_on(async {
        let mut stream = connect(address, &pem, &["postgresql"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        stream.write_all(b"inside").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello 127.0.0.1\ninsidebye");
    });
    // Who does not shake hands has no connection for long.
    assert_eq!(rest(&mut client(address)), "");
}
