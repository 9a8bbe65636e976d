//! Sockets of a guest against the system's: time-outs, flags, families, and what a poll tells.

use super::poller::{Happened, OsSocket, Poller, Readiness, Trigger, Waiter, Wanted};
use super::socket::Socket;
use super::transfer::ReceiveFlags;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn policy(tcp: &str, ports: &[&str]) -> Sockets {
    let grants = Grants {
        tcp: vec![tcp.parse().unwrap()],
        ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        ..Grants::default()
    };
    Sockets::new(&grants, &mut WasiCtxBuilder::new(), &Explain::default()).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn code<T>(result: std::io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

/// A connected guest socket, and the host's end of it.
async fn connected(waiter: &mut Waiter) -> (Socket, TcpStream, Sockets) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let policy = policy("127.0.0.1:*", &[]);
    let mut socket = Socket::new(Protocol::Tcp, false);
    socket.connect(&policy, waiter, listener.local_addr().unwrap()).await.unwrap();
    (socket, listener.accept().unwrap().0, policy)
}

/// `timeval` of so many microseconds.
fn micros(micros: u64) -> [u8; 16] {
    host::wire::timeval_bytes(Some(micros))
}

#[test]
fn time_outs_end_a_wait() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut socket, host, policy) = connected(&mut waiter).await;
        socket.set_option(11, &micros(2000)).unwrap();
        socket.set_option(12, &micros(2000)).unwrap();
        let received = socket.receive(&policy, &mut waiter, &mut [0; 8], ReceiveFlags::default()).await;
        assert_eq!(code(received), libc::EAGAIN);
        // Until the buffers are full; what was sent before the time-out counts.
        let mut sent = 0;
        let error = loop {
            match socket.send(&policy, &mut waiter, &[1; 1 << 20], None).await {
                Ok(len) => sent += len,
                Err(error) => break error.raw_os_error(),
            }
        };
        assert_eq!(error, Some(libc::EAGAIN));
        drop(socket);
        let mut got = Vec::new();
        (&host).read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), sent);

        let policy = self::policy("127.0.0.1:*", &["127.0.0.1:0:80"]);
        let mut listener = Socket::new(Protocol::Tcp, false);
        listener.bind(&policy, address("0.0.0.0:80")).unwrap();
        listener.listen(&policy, 1).unwrap();
        listener.set_option(11, &micros(2000)).unwrap();
        assert_eq!(code(listener.accept(&mut waiter).await), libc::EAGAIN);
        listener.nonblocking = true;
        assert_eq!(code(listener.accept(&mut waiter).await), libc::EAGAIN);
    });
}

#[test]
fn receive_flags() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut socket, mut host, policy) = connected(&mut waiter).await;
        host.write_all(b"abc").unwrap();
        let mut buffer = [0; 8];
        let peek = ReceiveFlags { peek: true, wait_all: false };
        let peeked = socket.receive(&policy, &mut waiter, &mut buffer, peek).await.unwrap();
        assert_eq!((peeked.len, &buffer[..3]), (3, &b"abc"[..]));
        let late = std::thread::spawn(move || {
            host.write_all(b"defgh").unwrap();
            host
        });
        let all = ReceiveFlags { peek: false, wait_all: true };
        let received = socket.receive(&policy, &mut waiter, &mut buffer, all).await.unwrap();
        assert_eq!((received.len, &buffer), (8, b"abcdefgh"));
        // At the end it is content with what there is.
        let mut host = late.join().unwrap();
        host.write_all(b"x").unwrap();
        drop(host);
        let received = socket.receive(&policy, &mut waiter, &mut buffer, all).await.unwrap();
        assert_eq!((received.len, received.truncated), (1, false));
    });
}

#[test]
fn datagrams_of_strangers_are_dropped_and_long_ones_truncated() {
    block_on(async {
        let mut waiter = Waiter::default();
        let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let friend_address = friend.local_addr().unwrap();
        let grants = Grants { udp: vec![friend_address.to_string().parse().unwrap()], ..Grants::default() };
        let policy = Sockets::new(&grants, &mut WasiCtxBuilder::new(), &Explain::default()).unwrap();
        let mut socket = Socket::new(Protocol::Udp, false);
        socket.bind(&policy, address("127.0.0.1:0")).unwrap();
        let local = socket.local_address(&policy).unwrap();
        for peek in [false, true] {
            stranger.send_to(b"boo", local).unwrap();
            friend.send_to(b"hello", local).unwrap();
            let flags = ReceiveFlags { peek, wait_all: false };
            let mut buffer = [0; 2];
            let received = socket.receive(&policy, &mut waiter, &mut buffer, flags).await.unwrap();
            assert_eq!((received.len, &buffer, received.truncated), (2, b"he", true), "peek {peek}");
            assert_eq!(received.from, Some(friend_address));
        }
        let to_stranger = Some(stranger.local_addr().unwrap());
        assert_eq!(code(socket.send(&policy, &mut waiter, b"x", to_stranger).await), libc::EACCES);
    });
}

#[test]
fn an_ipv6_socket_of_the_guest_reaches_ipv4() {
    block_on(async {
        let mut waiter = Waiter::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let policy = policy("127.0.0.1:*", &["127.0.0.1:0:80"]);
        let mut socket = Socket::new(Protocol::Tcp, true);
        socket.connect(&policy, &mut waiter, address(&format!("127.0.0.1:{port}"))).await.unwrap();
        assert_eq!(socket.peer_address().unwrap(), address(&format!("[::ffff:127.0.0.1]:{port}")));
        // And an IPv4 socket takes no IPv6 address.
        let mut socket = Socket::new(Protocol::Tcp, false);
        let ipv6 = socket.connect(&self::policy("*:*", &[]), &mut waiter, address("[::1]:1")).await;
        assert_eq!(code(ipv6), libc::EAFNOSUPPORT);
        // Options that were set survive the change of family.
        let mut server = Socket::new(Protocol::Tcp, true);
        server.set_option(7, &1i32.to_le_bytes()).unwrap();
        server.bind(&policy, address("[::]:80")).unwrap();
        assert_eq!(server.option(7, 4).unwrap(), 1i32.to_le_bytes());
        assert_eq!(server.local_address(&policy).unwrap(), address("[::]:80"));
        assert_eq!(code(server.bind(&policy, address("[::]:80"))), libc::EINVAL);
    });
}

#[test]
fn a_lingering_close_does_not_block() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut socket, host, _) = connected(&mut waiter).await;
        // One of 60 s is remembered only; the system's socket has none.
        let minute = [1, 0, 0, 0, 60, 0, 0, 0];
        socket.set_option(9, &minute).unwrap();
        assert_eq!(socket.option(9, 8).unwrap(), minute);
        assert_eq!(socket.os().unwrap().linger().unwrap(), None);
        // One of no time resets the connection.
        socket.set_option(9, &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        drop(socket);
        let error = (&host).read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
    });
}

fn wanted(socket: &Arc<OsSocket>, read: bool, write: bool) -> Wanted {
    Wanted::from([(socket.id, (socket.clone(), Readiness { read, write }))])
}

#[test]
fn levels_last_and_edges_do_not() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut socket, mut host, _) = connected(&mut waiter).await;
        let os = socket.os().unwrap();
        let mut level = Poller::new(Trigger::Level).unwrap();
        let mut edge = Poller::new(Trigger::Edge).unwrap();
        let writable = |ready: Vec<Happened>| ready.first().is_some_and(|event| event.write);
        for poller in [&mut level, &mut edge] {
            poller.watch(&wanted(&os, true, true)).unwrap();
            assert!(writable(poller.ready().unwrap()));
        }
        assert!(writable(level.ready().unwrap()));
        assert_eq!(edge.ready().unwrap(), []);
        // The same interest again is no new one; a changed one is.
        edge.watch(&wanted(&os, true, true)).unwrap();
        assert_eq!(edge.ready().unwrap(), []);
        edge.watch(&Wanted::new()).unwrap();
        assert_eq!(edge.ready().unwrap(), []);
        edge.watch(&wanted(&os, true, true)).unwrap();
        assert!(writable(edge.ready().unwrap()));
        // Bytes are an edge, and wake whoever waits.
        level.watch(&wanted(&os, true, false)).unwrap();
        let writer = std::thread::spawn(move || {
            host.write_all(b"x").unwrap();
            host
        });
        let ready = std::future::poll_fn(|cx| level.poll_ready(cx)).await.unwrap();
        assert!(ready[0].read && !ready[0].no_more && !ready[0].gone);
        assert!(edge.ready().unwrap()[0].read);
        drop(writer.join().unwrap());
        let ready = std::future::poll_fn(|cx| edge.poll_ready(cx)).await.unwrap();
        assert!(ready[0].read && ready[0].no_more);
    });
}

#[test]
fn a_closed_socket_leaves_no_trace_in_a_poller() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut first, _host, _) = connected(&mut waiter).await;
        let mut poller = Poller::new(Trigger::Level).unwrap();
        poller.watch(&wanted(&first.os().unwrap(), false, true)).unwrap();
        drop(first);
        assert_eq!(poller.ready().unwrap(), []);
        // The next socket has the same number in the system.
        let (mut second, _other_host, _) = connected(&mut waiter).await;
        let os = second.os().unwrap();
        poller.watch(&wanted(&os, false, true)).unwrap();
        assert_eq!(poller.ready().unwrap().iter().map(|event| event.id).collect::<Vec<_>>(), [os.id]);
    });
}

#[test]
fn a_dropped_wait_harms_nothing() {
    block_on(async {
        let mut waiter = Waiter::default();
        let (mut socket, mut host, policy) = connected(&mut waiter).await;
        let mut buffer = [0; 4];
        let receive = socket.receive(&policy, &mut waiter, &mut buffer, ReceiveFlags::default());
        assert!(tokio::time::timeout(Duration::from_millis(1), receive).await.is_err());
        host.write_all(b"abcd").unwrap();
        let received =
            socket.receive(&policy, &mut waiter, &mut buffer, ReceiveFlags::default()).await.unwrap();
        assert_eq!((received.len, &buffer), (4, b"abcd"));
    });
}
