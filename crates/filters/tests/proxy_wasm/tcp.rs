//! Filters of TCP connections, as a route drives them.

use crate::harness::*;
use bytes::Bytes;
use sampan_app::{Filter as Spec, OnFailure};
use sampan_service::{ClosedBy, Flow, Peer, Side, TcpFilter, TcpPass};
use std::net::SocketAddr;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

async fn connect(filtered: &Filtered) -> Option<Box<dyn TcpPass>> {
    let entry = filtered.filter.configured(None).unwrap_or_else(|error| panic!("{error}"));
    let peer = Peer { address: address("192.0.2.1:5000"), local: address("192.0.2.2:6379"), tls: false };
    let mut pass = entry.connect(peer, None).await?;
    pass.connected(address("192.0.2.3:6380"));
    Some(pass)
}

async fn connected(config: &str) -> (Filtered, Box<dyn TcpPass>) {
    let filtered = filtered(spec("proxy-tcp", config)).await;
    let pass = connect(&filtered).await.unwrap();
    (filtered, pass)
}

fn flow(text: &str, end: bool) -> Flow {
    Flow::Pass { data: Bytes::copy_from_slice(text.as_bytes()), end }
}

async fn send(pass: &mut Box<dyn TcpPass>, from: Side, text: &str, end: bool) -> Flow {
    pass.data(from, Bytes::copy_from_slice(text.as_bytes()), end).await
}

#[test]
fn both_directions_are_seen_and_changed() {
    run(async {
        let (_, mut pass) = connected("upper").await;
        assert_eq!(send(&mut pass, Side::Client, "get a", false).await, flow("GET A", false));
        assert_eq!(send(&mut pass, Side::Server, "a thing", false).await, flow("a thing", false));
        assert_eq!(send(&mut pass, Side::Client, "", true).await, flow("", true));

        let (_, mut pass) = connected("both").await;
        assert_eq!(send(&mut pass, Side::Client, "to ", false).await, flow("to <192.0.2.3:6380>", false));
        assert_eq!(send(&mut pass, Side::Server, "from", true).await, flow("> from", true));
    });
}

#[test]
fn what_is_stopped_is_seen_again_as_a_whole() {
    run(async {
        let (_, mut pass) = connected("lines").await;
        assert_eq!(send(&mut pass, Side::Client, "half ", false).await, Flow::HOLD);
        assert!(is_waiting(&mut pass.next()).await);
        assert_eq!(send(&mut pass, Side::Server, "meanwhile", false).await, flow("meanwhile", false));
        assert_eq!(send(&mut pass, Side::Client, "a line\n", false).await, flow("half a line\n", false));
        assert_eq!(send(&mut pass, Side::Client, "rest", false).await, Flow::HOLD);
        assert_eq!(send(&mut pass, Side::Client, "", true).await, flow("rest", true));
    });
}

#[test]
fn a_timer_lets_both_sides_go_on() {
    run(async {
        let (_, mut pass) = connected("tick").await;
        // It stopped the connection as such; nothing had come.
        assert_eq!(pass.next().await, (Side::Client, Flow::HOLD));
        assert_eq!(send(&mut pass, Side::Client, "one", false).await, Flow::HOLD);
        assert_eq!(send(&mut pass, Side::Client, " two", true).await, Flow::HOLD);
        assert_eq!(pass.next().await, (Side::Client, flow("one two", true)));
        assert_eq!(send(&mut pass, Side::Server, "three", false).await, Flow::HOLD);
        // Being asked and dropped loses nothing.
        let _ = is_waiting(&mut pass.next()).await;
        assert_eq!(pass.next().await, (Side::Server, flow("three", false)));
    });
}

#[test]
fn a_connection_that_is_held_up_hears_nothing_of_the_server() {
    run(async {
        let (_, mut pass) = connected("gate").await;
        assert_eq!(send(&mut pass, Side::Server, "welcome", false).await, Flow::HOLD);
        assert!(is_waiting(&mut pass.next()).await);
        assert_eq!(send(&mut pass, Side::Client, "op", false).await, Flow::HOLD);
        assert!(is_waiting(&mut pass.next()).await);
        assert_eq!(send(&mut pass, Side::Client, "en", false).await, flow("open", false));
        assert_eq!(pass.next().await, (Side::Server, flow("welcome", false)));
        assert!(is_waiting(&mut pass.next()).await);
        assert_eq!(send(&mut pass, Side::Server, "more", true).await, flow("more", true));
    });
}

#[test]
fn a_filter_closes_connections() {
    run(async {
        let refusing = filtered(spec("proxy-tcp", "refuse")).await;
        assert!(connect(&refusing).await.is_none());
        refusing.until("it was told that it is over", |one| one.logged("info: done") == 1).await;

        let (_, mut pass) = connected("quit").await;
        assert_eq!(send(&mut pass, Side::Client, "hello", false).await, flow("hello", false));
        assert_eq!(send(&mut pass, Side::Client, "quit", false).await, Flow::Close);
        let (_, mut pass) = connected("quit").await;
        assert_eq!(send(&mut pass, Side::Server, "bye", false).await, Flow::Close);
    });
}

#[test]
fn its_end_is_told() {
    run(async {
        let (filtered, mut pass) = connected("").await;
        assert_eq!(filtered.logged("from 192.0.2.1:5000 to 192.0.2.2:6379"), 1);
        pass.closed(Side::Client, ClosedBy::Remote).await;
        pass.closed(Side::Server, ClosedBy::Local).await;
        assert_eq!(filtered.logged("downstream closed by remote"), 1);
        assert_eq!(filtered.logged("upstream closed by local"), 1);
        assert_eq!(filtered.logged("info: done"), 0);
        drop(pass);
        assert_eq!((filtered.logged("info: done"), filtered.logged("info: log")), (1, 1));
    });
}

#[test]
fn so_much_is_buffered_and_no_more() {
    run(async {
        let spec = Spec { buffer_bytes: 10, ..spec("proxy-tcp", "hold") };
        let filtered = filtered(spec).await;
        let mut pass = connect(&filtered).await.unwrap();
        assert_eq!(send(&mut pass, Side::Client, "0123456789", false).await, Flow::HOLD);
        assert_eq!(send(&mut pass, Side::Client, "x", false).await, Flow::Close);
        assert_eq!(filtered.logged("it has more of a connection buffered than it may"), 1);

        let spec = Spec { buffer_bytes: 10, ..crate::harness::spec("proxy-tcp", "gate") };
        let filtered = crate::harness::filtered(spec).await;
        let mut pass = connect(&filtered).await.unwrap();
        assert_eq!(send(&mut pass, Side::Server, "0123456789", false).await, Flow::HOLD);
        assert_eq!(send(&mut pass, Side::Server, "x", false).await, Flow::Close);
    });
}

#[test]
fn a_trap_closes_or_passes() {
    run(async {
        for (on_failure, becomes) in
            [(OnFailure::Closed, Flow::Close), (OnFailure::Open, flow("trap", false))]
        {
            let spec = Spec { on_failure, ..spec("proxy-tcp", "trap") };
            let filtered = filtered(spec).await;
            let mut pass = connect(&filtered).await.unwrap();
            assert_eq!(send(&mut pass, Side::Client, "fine", false).await, flow("fine", false));
            assert_eq!(send(&mut pass, Side::Client, "trap", false).await, becomes);
            assert_eq!(filtered.failures("trap"), 1);
            // The next connection has another VM.
            let mut pass = connect(&filtered).await.unwrap();
            assert_eq!(send(&mut pass, Side::Client, "fine", false).await, flow("fine", false));
        }
    });
}
