//! wasi:sockets 0.2 and 0.3: what is not granted reaches nothing, ports are mapped, names are checked.

use crate::run::{run, start, start_counted};
use sampan_app::{Grants, PortMap, Protocol};
use sampan_service::Traffic;
use sampan_testing::free_port;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

/// Both versions of wasi:sockets, which take the same arguments.
const GUESTS: [&str; 2] = ["sockets-p2", "sockets-p3"];

fn port(host: u16, guest: u16, protocol: Protocol) -> Grants {
    let map =
        PortMap { host_address: Ipv4Addr::LOCALHOST.into(), host_port: host, guest_port: guest, protocol };
    Grants { ports: vec![map], ..Grants::default() }
}

fn allow(protocol: Protocol, rules: &[&str]) -> Grants {
    let rules = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
    match protocol {
        Protocol::Tcp => Grants { tcp: rules, ..Grants::default() },
        Protocol::Udp => Grants { udp: rules, ..Grants::default() },
    }
}

/// A server that answers every connection with what it gets, until the test ends.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text).and_then(|_| stream.write_all(&text));
        }
    });
    address
}

#[test]
fn without_grants_every_call_is_refused() {
    for guest in GUESTS {
        let output = run(guest, Grants::default(), &["probe"]).stdout;
        assert_eq!(
            output,
            "create-tcp-socket: AccessDenied\n\
             create-udp-socket: AccessDenied\n\
             create-tcp-socket: AccessDenied\n\
             create-udp-socket: AccessDenied\n\
             resolve-addresses \"localhost\": AccessDenied\n\
             resolve-addresses \"example.com\": AccessDenied\n\
             resolve-addresses \"127.0.0.1.nip.io\": AccessDenied\n\
             resolve-addresses \"\": InvalidArgument\n\
             resolve-addresses \"a b\": InvalidArgument\n",
            "{guest}"
        );
    }
}

#[test]
fn a_grant_for_one_place_opens_no_other() {
    for (guest, unbound) in [("sockets-p2", "InvalidState"), ("sockets-p3", "AccessDenied")] {
        // Reserved for documentation: nobody is there, and no test asks for it.
        let mut grants = allow(Protocol::Tcp, &["192.0.2.1:9"]);
        grants.udp = allow(Protocol::Udp, &["192.0.2.1:9"]).udp;
        let family = format!(
            "create-tcp-socket: Ok\n\
             tcp start-bind to a port: AccessDenied\n\
             tcp start-bind to port 0: Ok\n\
             tcp start-listen: {unbound}\n\
             tcp start-listen on port 0: AccessDenied\n\
             tcp connect: AccessDenied\n\
             create-udp-socket: Ok\n\
             udp start-bind to a port: AccessDenied\n\
             udp start-bind to port 0: Ok\n\
             udp connect: AccessDenied\n\
             udp send: AccessDenied\n"
        );
        let names = "resolve-addresses \"localhost\": AccessDenied\n\
                     resolve-addresses \"example.com\": AccessDenied\n\
                     resolve-addresses \"127.0.0.1.nip.io\": AccessDenied\n\
                     resolve-addresses \"\": InvalidArgument\n\
                     resolve-addresses \"a b\": InvalidArgument\n";
        assert_eq!(run(guest, grants, &["probe"]).stdout, format!("{family}{family}{names}"), "{guest}");
    }
}

#[test]
fn a_mapped_port_is_the_guests_and_no_other_is() {
    for guest in GUESTS {
        let host = free_port();
        let (mut lines, guest_thread) = start(guest, port(host, 80, Protocol::Tcp), &["serve", "80", "1"]);
        assert_eq!(lines.next().unwrap().unwrap(), "listening on 127.0.0.1:80");
        assert_eq!(talk(host, "hello"), "hello");
        assert_eq!(lines.next().unwrap().unwrap(), "served up to 1 at once");
        assert_eq!(guest_thread.join().unwrap(), 0);

        let refused = run(guest, port(free_port(), 80, Protocol::Tcp), &["listen", "0.0.0.0:81"]);
        assert_eq!(refused.stdout, "AccessDenied\n");
        let other_protocol = run(guest, port(free_port(), 80, Protocol::Udp), &["listen", "0.0.0.0:80"]);
        assert_eq!(other_protocol.stdout, "AccessDenied\n");
        // The host's number of the port says nothing to the guest.
        let host = free_port();
        let unmapped = run(guest, port(host, 80, Protocol::Tcp), &["listen", &format!("0.0.0.0:{host}")]);
        assert_eq!(unmapped.stdout, "AccessDenied\n");
    }
}

fn talk(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the guest listens");
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    const COUNT: usize = 1000;
    for guest in GUESTS {
        let host = free_port();
        let count = COUNT.to_string();
        let (mut lines, guest_thread) = start(guest, port(host, 7, Protocol::Tcp), &["serve", "7", &count]);
        assert_eq!(lines.next().unwrap().unwrap(), "listening on 127.0.0.1:7");
        let connect = |_| TcpStream::connect(("127.0.0.1", host)).expect("the guest listens");
        let mut streams: Vec<TcpStream> = (0..COUNT).map(connect).collect();
        // All are open before the first is answered and none is closed before the last is.
        for (number, stream) in streams.iter_mut().enumerate() {
            write!(stream, "{number:4}").unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, format!("{number:4}").as_bytes(), "{guest}");
        }
        drop(streams);
        assert_eq!(lines.next().unwrap().unwrap(), format!("served up to {COUNT} at once"), "{guest}");
        assert_eq!(guest_thread.join().unwrap(), 0);
    }
}

#[test]
fn a_guest_connects_where_it_may() {
    for guest in GUESTS {
        let server = echo_server();
        let to = server.to_string();
        let args = ["connect", to.as_str(), "hello"];
        assert_eq!(run(guest, allow(Protocol::Tcp, &[&to]), &args).stdout, "hello\n");
        assert_eq!(run(guest, allow(Protocol::Tcp, &["127.0.0.0/8:*"]), &args).stdout, "hello\n");
        assert_eq!(run(guest, allow(Protocol::Tcp, &["127.0.0.1:1"]), &args).stdout, "AccessDenied\n");
        assert_eq!(run(guest, allow(Protocol::Udp, &[&to]), &args).stdout, "AccessDenied\n");
        assert_eq!(run(guest, port(free_port(), 80, Protocol::Tcp), &args).stdout, "AccessDenied\n");
    }
}

#[test]
fn a_name_is_looked_up_and_connected_to_where_it_is_granted() {
    for guest in GUESTS {
        let server = echo_server();
        let number = server.port().to_string();
        let grants = allow(Protocol::Tcp, &[&format!("localhost:{number}")]);
        let found = run(guest, grants.clone(), &["lookup", "localhost"]).stdout;
        assert!(found.split_whitespace().any(|address| address == "127.0.0.1"), "{guest}: {found}");
        assert_eq!(run(guest, grants.clone(), &["fetch", "localhost", &number, "hi"]).stdout, "hi\n");
        // The name, not the address, is what was granted for other ports; and other names stay closed.
        assert_eq!(run(guest, grants.clone(), &["fetch", "localhost", "1", "hi"]).stdout, "AccessDenied\n");
        assert_eq!(run(guest, grants.clone(), &["lookup", "example.com"]).stdout, "AccessDenied\n");
        assert_eq!(run(guest, grants, &["lookup", "127.0.0.1"]).stdout, "127.0.0.1\n");
        let never = allow(Protocol::Tcp, &["does-not-exist.invalid:1"]);
        assert_eq!(run(guest, never, &["lookup", "does-not-exist.invalid"]).stdout, "NameUnresolvable\n");
    }
}

#[test]
fn datagrams_go_where_they_may_and_are_answered() {
    for guest in GUESTS {
        let host = free_port();
        let (mut lines, guest_thread) =
            start(guest, port(host, 53, Protocol::Udp), &["udp-serve", "53", "2"]);
        assert_eq!(lines.next().unwrap().unwrap(), "bound to 127.0.0.1:53");
        for text in ["one", "two"] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(sampan_testing::PATIENCE)).unwrap();
            socket.send_to(text.as_bytes(), ("127.0.0.1", host)).unwrap();
            let mut answer = [0; 16];
            let (length, _) = socket.recv_from(&mut answer).unwrap();
            assert_eq!(&answer[..length], text.as_bytes(), "{guest}");
        }
        assert_eq!(guest_thread.join().unwrap(), 0);

        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut text = [0; 16];
            let (length, from) = server.recv_from(&mut text).unwrap();
            server.send_to(&text[..length], from).unwrap();
        });
        let send =
            |rules: &[&str]| run(guest, allow(Protocol::Udp, rules), &["udp-send", &to, "ping"]).stdout;
        assert_eq!(send(&["127.0.0.1:1"]), "AccessDenied\n");
        assert_eq!(send(&[&to]), "ping\n");
    }
}

#[test]
fn bytes_are_counted_in_both_directions() {
    // As much as one write of 0.2 may have; in 0.3, more than lies in a pipe.
    for (guest, length) in [("sockets-p2", 4096), ("sockets-p3", 300_000)] {
        let long = "x".repeat(length);
        let run = |grants, args: &[&str]| {
            let traffic = Arc::<Traffic>::default();
            let (lines, thread) = start_counted(guest, grants, args, Some(Arc::clone(&traffic)));
            let lines: Vec<String> = lines.map(Result::unwrap).collect();
            assert_eq!(thread.join().unwrap(), 0, "{guest}");
            (lines, traffic.bytes())
        };
        let to = echo_server().to_string();
        let (lines, bytes) = run(allow(Protocol::Tcp, &[&to]), &["connect", &to, &long]);
        assert!(lines == [long.as_str()], "{guest}: {} bytes", lines.concat().len());
        assert_eq!(bytes, (length as u64, length as u64), "{guest}");

        let traffic = Arc::<Traffic>::default();
        let (host, counted) = (free_port(), Some(Arc::clone(&traffic)));
        let (mut lines, thread) =
            start_counted(guest, port(host, 80, Protocol::Tcp), &["serve", "80", "1"], counted);
        lines.next().unwrap().unwrap();
        assert_eq!(talk(host, "hello"), "hello", "{guest}");
        assert_eq!(thread.join().unwrap(), 0, "{guest}");
        assert_eq!(traffic.bytes(), (5, 5), "{guest}");

        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (length, from) = server.recv_from(&mut [0; 16]).unwrap();
            server.send_to(&vec![b'x'; length + 3], from).unwrap();
        });
        let (_, bytes) = run(allow(Protocol::Udp, &[&to]), &["udp-send", &to, "ping"]);
        assert_eq!(bytes, (7, 4), "{guest}");
    }
}
