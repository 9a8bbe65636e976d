//! Without grants, every socket call answers with an error of its standard and reaches nothing.

use crate::{Flags, Guest, run_to_end};
use sampan_testing::guest;
use std::net::{TcpListener, UdpSocket};

#[test]
fn without_grants_every_call_is_refused() {
    let flags = Flags { args: &["refused"], ..Flags::default() };
    let ended = run_to_end(std::fs::read(guest("wasmedge-abi")).unwrap(), &flags);
    assert_eq!(ended.code, Ok(0));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4 + 2 * 23 + 1, "{}", ended.stdout);
    for line in lines {
        let expected = match line {
            line if line.starts_with("sock_open") || line.starts_with("sock_getaddrinfo") => " 2",
            // Standard output is no socket; 99 is nothing.
            line if line.contains(" 1 ") => " 57",
            _ => " 8",
        };
        assert!(line.ends_with(expected), "{line}");
    }
}

#[test]
fn a_connection_needs_its_own_grant() {
    let granted = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let rule = granted.local_addr().unwrap().to_string();
    let target = other.local_addr().unwrap().to_string();
    let flags = Flags { args: &[&target, "x"], tcp: &[&rule], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-client"), &flags).end();
    assert_eq!(ended.code, Ok(1));
    assert!(ended.stdout.starts_with("cannot connect: Permission denied"), "{}", ended.stdout);
    assert!(other.accept().is_err(), "the connection reached the host");
}

#[test]
fn a_name_needs_a_grant() {
    let flags = Flags { args: &["localhost:1", "x"], tcp: &["db.example:1"], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-client"), &flags).end();
    assert_eq!(ended.code, Ok(1));
    assert!(ended.stdout.starts_with("cannot connect: Permission denied"), "{}", ended.stdout);
}

#[test]
fn a_port_needs_a_mapping() {
    for flags in [
        Flags { tcp: &["*:*"], ..Flags::default() },
        Flags { ports: &["127.0.0.1:0:81"], ..Flags::default() },
    ] {
        let flags = Flags { args: &["blocking", "0.0.0.0:80"], ..flags };
        let ended = Guest::start_file(guest("wasmedge-echo"), &flags).end();
        assert_eq!(ended.code, Ok(1), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_datagram_needs_a_grant() {
    let granted = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let rule = granted.local_addr().unwrap().to_string();
    let target = other.local_addr().unwrap().to_string();
    let flags = Flags { args: &["send", &target, "x"], udp: &[&rule], ..Flags::default() };
    let ended = Guest::start_file(guest("wasmedge-udp"), &flags).end();
    assert_eq!(ended.code, Ok(1));
    assert!(ended.stdout.starts_with("cannot send: Permission denied"), "{}", ended.stdout);
    assert!(other.recv_from(&mut [0; 8]).is_err(), "the datagram reached the host");
}
