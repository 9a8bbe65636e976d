//! The ten examples of the crate `wasmedge_wasi_socket`, unchanged.

use crate::{Flags, Guest};
use sampan_testing::{TcpServer, crate_examples, skip};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

fn start(name: &str, flags: &Flags<'_>) -> Option<Guest> {
    // Optimised, the crate does not see what the host writes to variables that it declares immutable.
    let flags_of_build = ["--config", "profile.release.opt-level=0"];
    let folder = crate_examples("wasmedge_wasi_socket", "0.5.5", "wasm32-wasip1", &flags_of_build)?;
    Some(Guest::start_file(folder.join(name).with_extension("wasm"), flags))
}

#[test]
fn tcp_listener() {
    let Some(mut guest) = start("tcp_listener", &Flags { ports: &["127.0.0.1:0:1234"], ..Flags::default() })
    else {
        return;
    };
    // It says so before it listens.
    guest.wait_for_line("listening at 127.0.0.1:1234");
    let mut client = guest.connect(1234);
    client.write_all(b"abc").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "cba");
    let port = client.local_addr().unwrap().port();
    let ended = guest.end();
    assert!(ended.stdout.contains(&format!("127.0.0.1:{port} <-> 127.0.0.1:1234")), "{}", ended.stdout);
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn poll_tcp_listener() {
    let Some(mut guest) =
        start("poll_tcp_listener", &Flags { ports: &["127.0.0.1:0:1234"], ..Flags::default() })
    else {
        return;
    };
    let mut first = guest.connect(1234);
    let mut second = guest.connect(1234);
    for (number, client) in [&mut second, &mut first].into_iter().enumerate() {
        let mut hello = [0; 13];
        client.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"Hello world!\n");
        // In one piece: the guest prints what a single read brings.
        client.write_all(format!("I am {number}").as_bytes()).unwrap();
        guest.wait_for_line(&format!("Received data: I am {number}"));
    }
    // Which of the two was accepted first is for the system to say, so their numbers are not looked at.
    drop(second);
    guest.wait_for_line("remove conn[");
    drop(first);
    guest.wait_for_line("remove conn[");
    // It serves for ever; it ends with the test.
}

#[test]
fn tcp_stream() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let rule = format!("127.0.0.1:{port}");
    let Some(guest) =
        start("tcp_stream", &Flags { env: &[("PORT", &port)], tcp: &[&rule], ..Flags::default() })
    else {
        return;
    };
    let (mut stream, peer) = server.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    let ended = guest.end();
    assert!(ended.stdout.contains(&format!("local address {peer}\npeer address {rule}")), "{}", ended.stdout);
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn nonblock_tcp_stream() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let rule = format!("127.0.0.1:{port}");
    let flags = Flags { env: &[("PORT", &port)], tcp: &[&rule], ..Flags::default() };
    let Some(mut guest) = start("nonblock_tcp_stream", &flags) else { return };
    let (mut stream, _) = server.accept().unwrap();
    // It asks before there is an answer, and waits.
    guest.wait_for_line("no data available");
    stream.write_all(b"answer").unwrap();
    guest.wait_for_line("get response: answer");
    assert_eq!(guest.end().code, Ok(0));
}

#[test]
fn udp_reverse() {
    let Some(guest) = start("udp_reverse", &Flags { ports: &["127.0.0.1:0:3000/udp"], ..Flags::default() })
    else {
        return;
    };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(guest.address(3000)).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    // The guest says nothing when it is bound, and what comes before is lost: ask until it answers.
    let mut buffer = [0; 8];
    let len = loop {
        if client.send(b"stressed").is_ok()
            && let Ok(len) = client.recv(&mut buffer)
        {
            break len;
        }
    };
    assert_eq!(&buffer[..len], b"desserts");
    assert_eq!(guest.end().code, Ok(0));
}

#[test]
fn udp_socket() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let rule = format!("127.0.0.1:{port}");
    let flags = Flags {
        env: &[("PORT", &port)],
        udp: &[&rule],
        ports: &["127.0.0.1:0:3000/udp"],
        ..Flags::default()
    };
    let Some(guest) = start("udp_socket", &flags) else { return };
    let mut buffer = [0; 8];
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&b"hello"[..], guest.address(3000)));
    server.send_to(b"ahoy", from).unwrap();
    let ended = guest.end();
    assert_eq!(ended.stdout, format!("ahoy {rule}\n"));
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn socket_addr() {
    let Some(guest) = start("socket_addr", &Flags { tcp: &["localhost:*"], ..Flags::default() }) else {
        return;
    };
    assert_eq!(guest.end().code, Ok(0));
}

#[test]
fn try_sock_opt() {
    let Some(guest) = start("try_sock_opt", &Flags { tcp: &["localhost:*"], ..Flags::default() }) else {
        return;
    };
    let ended = guest.end();
    assert!(
        ended.stdout.contains("recv_timeout None\nsend_timeout None\nrecv_timeout Some(1s)\n"),
        "{ended:?}"
    );
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn get_addrinfo() {
    // There is no network to look up `google.com` in: the grant decides what the guest hears.
    let Some(guest) = start("get_addrinfo", &Flags::default()) else { return };
    let ended = guest.end();
    assert!(ended.code.is_err(), "its `unwrap` aborts: {ended:?}");
    // With a name server of the test's own it does.
    let server = TcpServer::start(|mut stream| answer_dns(&mut stream));
    let address = server.address.to_string();
    let flags = Flags { env: &[("DNS_SERVER", &address)], tcp: &[&address], ..Flags::default() };
    let Some(guest) = start("get_addrinfo", &flags) else { return };
    let ended = guest.end();
    assert_eq!(ended.stdout, "192.0.2.33:0\n", "{ended:?}");
}

#[test]
fn try_dns() {
    let flags = Flags { args: &["example.com"], ..Flags::default() };
    let Some(guest) = start("try_dns", &flags) else { return };
    let ended = guest.end();
    assert_eq!(ended.stdout, "resolve example.com\n");
    assert!(ended.code.is_err(), "refused; its `unwrap` aborts: {ended:?}");
    // Its name server's port is fixed, so there is one test that uses it.
    let Ok(listener) = TcpListener::bind("127.0.0.1:8000") else {
        skip::<()>("port 8000 is in use");
        return;
    };
    let flags = Flags { tcp: &["127.0.0.1:8000"], ..flags };
    let Some(guest) = start("try_dns", &flags) else { return };
    answer_dns(&mut listener.accept().unwrap().0).unwrap();
    let ended = guest.end();
    assert!(ended.stdout.contains("192.0.2.33"), "{ended:?}");
    assert_eq!(ended.code, Ok(0));
}

/// Answers one question of DNS over TCP with 192.0.2.33.
fn answer_dns(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut question = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut question)?;
    let mut answer = question;
    // A response without error, with one answer: the same name, type A, class IN, 60 s.
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..8].copy_from_slice(&[0, 1]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 33]);
    stream.write_all(&(answer.len() as u16).to_be_bytes())?;
    stream.write_all(&answer)
}
