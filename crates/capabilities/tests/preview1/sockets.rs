//! Servers and clients in guests, against the host's own sockets.

use crate::{Flags, Guest};
use sampan_app::Protocol;
use sampan_testing::{PATIENCE, TcpServer, guest};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};

/// Sends a text and reads the echo to its end.
fn echo(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn a_server_listens_where_its_port_is_mapped() {
    for mode in ["blocking", "poll", "epoll"] {
        for local in ["127.0.0.1:80", "0.0.0.0:80", "[::]:80", "[::1]:80"] {
            for host in ["127.0.0.1:0:80", "0:80", "[::1]:0:80"] {
                let args = [mode, local, "2"];
                let flags = Flags { args: &args, ports: &[host], ..Flags::default() };
                let mut server = Guest::start_file(guest("wasmedge-echo"), &flags);
                // It sees the port it asked for.
                server.wait_for_line(&format!("listening on {local}"));
                let mut address = server.address(80);
                if address.ip().is_unspecified() {
                    address.set_ip([127, 0, 0, 1].into());
                }
                for text in ["hello", &"long ".repeat(100_000)] {
                    assert_eq!(echo(address, text), text, "{mode} {local} {host}");
                }
                assert_eq!(server.end().code, Ok(0));
            }
        }
    }
}

#[test]
fn a_thousand_connections_at_once() {
    for mode in ["poll", "epoll"] {
        let flags =
            Flags { args: &[mode, "0.0.0.0:80", "1000"], ports: &["127.0.0.1:0:80"], ..Flags::default() };
        let mut server = Guest::start_file(guest("wasmedge-echo"), &flags);
        server.wait_for_line("listening");
        let address = server.address(80);
        let mut clients: Vec<TcpStream> = (0..1000)
            .map(|_| {
                let client = TcpStream::connect(address).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                client
            })
            .collect();
        // All are open, and each gets its own words, round after round.
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                write!(client, "{round:04}{number:04}").unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut reply = [0; 8];
                client.read_exact(&mut reply).unwrap();
                assert_eq!(reply, format!("{round:04}{number:04}").as_bytes(), "{mode}");
            }
        }
        drop(clients);
        assert_eq!(server.end().code, Ok(0));
    }
}

#[test]
fn a_slow_client_holds_up_nobody() {
    let flags = Flags { args: &["poll", "0.0.0.0:80", "2"], ports: &["127.0.0.1:0:80"], ..Flags::default() };
    let mut server = Guest::start_file(guest("wasmedge-echo"), &flags);
    server.wait_for_line("listening");
    let address = server.address(80);
    // It sends until nothing more goes, and reads nothing.
    let slow = TcpStream::connect(address).unwrap();
    slow.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Ok(len) = (&slow).write(&[7; 64 << 10]) {
        sent += len;
    }
    assert_eq!(echo(address, "quick"), "quick");
    // Nothing of the slow one is lost either.
    slow.set_nonblocking(false).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    (&slow).read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), sent);
    assert!(back.iter().all(|byte| *byte == 7));
    assert_eq!(server.end().code, Ok(0));
}

#[test]
fn a_client_connects_by_address_and_by_name() {
    let server = TcpServer::echo();
    let port = server.address.port();
    for (host, rule) in [("127.0.0.1", "127.0.0.0/8"), ("localhost", "localhost"), ("localhost", "*")] {
        let (target, rule) = (format!("{host}:{port}"), format!("{rule}:{port}"));
        let flags = Flags { args: &[&target, "over there"], tcp: &[&rule], ..Flags::default() };
        let ended = Guest::start_file(guest("wasmedge-client"), &flags).end();
        assert_eq!(ended.stdout, format!("connected to 127.0.0.1:{port}\nover there\n"));
        assert_eq!(ended.code, Ok(0));
    }
}

#[test]
fn a_refused_connection_is_an_error() {
    let port = sampan_testing::free_port();
    let target = format!("127.0.0.1:{port}");
    let flags = Flags { args: &[&target, "x"], tcp: &["*:*"], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-client"), &flags).end();
    assert!(ended.stdout.starts_with("cannot connect: Connection refused"), "{}", ended.stdout);
}

#[test]
fn datagrams_go_both_ways() {
    for local in ["0.0.0.0:53", "[::]:53"] {
        let flags =
            Flags { args: &["serve", local, "2"], ports: &["127.0.0.1:0:53/udp"], ..Flags::default() };
        let mut server = Guest::start_file(guest("wasmedge-udp"), &flags);
        server.wait_for_line("bound");
        let (protocol, _, address) = server.ports[0];
        assert_eq!(protocol, Protocol::Udp);
        // One client is a guest, the other is here.
        let target = address.to_string();
        let flags = Flags { args: &["send", &target, "ahoy"], udp: &[&target], ..Flags::default() };
        let ended = Guest::start_file(guest("wasmedge-udp"), &flags).end();
        assert_eq!(ended.stdout, format!("{target} says ahoy\n"));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"", address).unwrap();
        assert_eq!(client.recv_from(&mut [1; 4]).unwrap(), (0, address), "an empty datagram");
        assert_eq!(server.end().code, Ok(0));
    }
}

#[test]
fn both_generations_tell_the_addresses_in_their_way() {
    let flags = Flags { args: &["pair", "90"], ports: &["127.0.0.1:0:90"], ..Flags::default() };
    let mut server = Guest::start_file(guest("wasmedge-abi"), &flags);
    server.wait_for_line("listening");
    let address = server.address(90);
    let mut expected = String::new();
    for second in [false, true] {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let port = client.local_addr().unwrap().port();
        // In two parts: the guest waits for all.
        client.write_all(&[1]).unwrap();
        client.write_all(&[2, 3, 4]).unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        assert_eq!(reply, [1, 2, 3, 4]);
        let bytes = if second { "type 0 [1, 0, 127, 0, 0, 1]" } else { "type 4 [127, 0, 0, 1, 0, 0]" };
        expected +=
            &format!("4 [1, 2, 3, 4]\npeer false: 0 {bytes} port 90\npeer true: 0 {bytes} port {port}\n");
    }
    let ended = server.end();
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn options_are_linuxs() {
    let flags = Flags { args: &["options"], tcp: &["*:*"], udp: &["*:*"], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-abi"), &flags).end();
    assert_eq!(ended.code, Ok(0));
    for protocol in ["tcp", "udp"] {
        for option in 0..15 {
            let len = match option {
                9 => 8,
                11 | 12 => 16,
                14 => 0,
                _ => 4,
            };
            let set = match option {
                1 | 2 | 13 => 50,
                // There is no device of that name.
                14 => 43,
                _ => 0,
            };
            let lines = format!("{protocol} get {option}: 0 len {len}\n{protocol} set {option}: {set}\n");
            assert!(ended.stdout.contains(&lines), "{lines} is not in\n{}", ended.stdout);
        }
    }
}

#[test]
fn a_look_up_fills_the_guests_list() {
    let flags = Flags { args: &["lookup", "localhost"], tcp: &["localhost:80"], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-abi"), &flags).end();
    assert!(ended.stdout.starts_with("sock_getaddrinfo 0\n"), "{}", ended.stdout);
    // Flags, family 1, stream, TCP; port 80 and the address.
    assert!(ended.stdout.contains("2010000 [0, 80, 127, 0, 0, 1]"), "{}", ended.stdout);
}
