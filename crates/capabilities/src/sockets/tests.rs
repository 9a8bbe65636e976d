//! The network policy as tables: which grants allow which addresses, ports and names.

use super::*;
use std::net::{TcpListener, UdpSocket};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn sockets(tcp: &[&str], udp: &[&str], ports: &[&str]) -> Sockets {
    try_sockets(tcp, udp, ports).unwrap_or_else(|error| panic!("{error}: {:?}", error.help))
}

fn try_sockets(tcp: &[&str], udp: &[&str], ports: &[&str]) -> Result<Sockets, GrantError> {
    let grants = Grants {
        tcp: tcp.iter().map(|rule| rule.parse().unwrap()).collect(),
        udp: udp.iter().map(|rule| rule.parse().unwrap()).collect(),
        ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        ..Grants::default()
    };
    Sockets::new(&grants, &mut WasiCtxBuilder::new(), &Explain::default())
}

/// The host address of the only mapping.
fn only_port(sockets: &Sockets) -> SocketAddr {
    sockets.policy.ports.chosen_by_system().next().unwrap().2
}

#[test]
fn nothing_is_granted_by_default() {
    let none = sockets(&[], &[], &[]);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert!(!none.any(protocol));
        for remote in ["127.0.0.1:80", "[::1]:80", "10.0.0.1:1", "[2001:db8::1]:443"] {
            assert!(!none.may_connect(protocol, address(remote)), "{remote}");
        }
        for local in ["127.0.0.1:80", "0.0.0.0:80", "0.0.0.0:0", "[::]:80", "[::]:0"] {
            assert_eq!(none.bind_address(protocol, address(local)), None, "{local}");
        }
    }
    assert!(!none.may_listen(address("127.0.0.1:80")));
    assert!(!none.may_send(address("127.0.0.1:53")));
    assert!(!none.may_receive(address("127.0.0.1:53"), address("127.0.0.1:9")));
}

#[test]
fn a_network_of_its_own() {
    let grants =
        Grants { own_network: true, ports: vec!["127.0.0.1:0:80".parse().unwrap()], ..Grants::default() };
    let own = Sockets::new(&grants, &mut WasiCtxBuilder::new(), &Explain::default()).unwrap();
    // It may listen anywhere, also beside what is mapped; where it may connect is another grant.
    let free = address("0.0.0.0:8080");
    assert_eq!(own.bind_address(Protocol::Tcp, free), Some(free));
    assert!(own.may_listen(free));
    assert_eq!(own.guest_address(Protocol::Tcp, free), free);
    assert_eq!(own.bind_address(Protocol::Tcp, address("0.0.0.0:80")), Some(only_port(&own)));
    assert!(!own.may_connect(Protocol::Tcp, address("10.0.0.1:80")));
}

#[test]
fn address_rules() {
    let rules = sockets(&["10.0.0.0/8:5432", "2001:db8::/32:*", "127.0.0.1:8000-8010"], &["*:53"], &[]);
    for (remote, tcp, udp) in [
        ("10.1.2.3:5432", true, false),
        ("10.1.2.3:5433", false, false),
        ("11.1.2.3:5432", false, false),
        ("[2001:db8:1::1]:9", true, false),
        ("[2001:db9::1]:9", false, false),
        ("127.0.0.1:8005", true, false),
        ("127.0.0.1:8011", false, false),
        // The IPv4 address inside an IPv6 one is the same place.
        ("[::ffff:10.1.2.3]:5432", true, false),
        ("[::ffff:11.1.2.3]:5432", false, false),
        // Linux takes the unspecified address for loopback: it needs a rule that says so.
        ("0.0.0.0:8005", false, false),
        ("192.0.2.1:53", false, true),
        ("[::1]:53", false, true),
    ] {
        assert_eq!(rules.may_connect(Protocol::Tcp, address(remote)), tcp, "{remote} by TCP");
        assert_eq!(rules.may_connect(Protocol::Udp, address(remote)), udp, "{remote} by UDP");
    }
}

#[test]
fn a_name_leads_to_its_addresses() {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(name_leads_to_its_addresses());
}

async fn name_leads_to_its_addresses() {
    // `localhost` is the one name that every machine resolves without a network.
    let rules = sockets(&["*.localhost:80", "localhost:81"], &["other.example:82"], &[]);
    let loopback = address("127.0.0.1:80");
    assert!(!rules.may_connect(Protocol::Tcp, loopback), "before the look-up");
    assert!(rules.may_connect(Protocol::Tcp, address("127.0.0.1:81")), "localhost needs no look-up");
    let found = rules.resolve("LocalHost").await.unwrap();
    assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    // `*.localhost` is not `localhost`: its ports stay closed.
    assert!(!rules.may_connect(Protocol::Tcp, loopback));
    assert!(!rules.may_connect(Protocol::Udp, address("127.0.0.1:82")));
    assert_eq!(rules.resolve("example.com").await, Err(LookupError::Refused));
    assert_eq!(rules.resolve("other.example.com").await, Err(LookupError::Refused));
    for bad in ["", "a b", "a..b", "*", "host\0", "../etc", &"a".repeat(64), &"a.".repeat(200)] {
        assert_eq!(rules.resolve(bad).await, Err(LookupError::Invalid), "{bad:?}");
    }
    for text in ["192.0.2.7", "[2001:db8::7]", "2001:db8::7"] {
        assert_eq!(rules.resolve(text).await.unwrap().len(), 1, "{text}");
    }
    assert!(!rules.may_connect(Protocol::Tcp, address("192.0.2.7:80")), "text grants nothing");
}

#[test]
fn resolved_addresses_open_only_the_ports_of_their_rule() {
    let rules = sockets(&["db.example:5432", "web.example:443"], &["db.example:53"], &[]);
    let which = rules.rules_that_name("DB.example");
    assert_eq!(which, [(Rules::Tcp, 0), (Rules::Udp, 0)]);
    lock(&rules.policy.resolved).entry("192.0.2.1".parse().unwrap()).extend(which);
    assert!(rules.may_connect(Protocol::Tcp, address("192.0.2.1:5432")));
    assert!(rules.may_connect(Protocol::Tcp, address("[::ffff:192.0.2.1]:5432")));
    assert!(rules.may_connect(Protocol::Udp, address("192.0.2.1:53")));
    assert!(!rules.may_connect(Protocol::Udp, address("192.0.2.1:5432")));
    assert!(!rules.may_connect(Protocol::Tcp, address("192.0.2.1:443")));
    assert!(!rules.may_connect(Protocol::Tcp, address("192.0.2.2:5432")));
}

#[test]
fn a_guest_port_is_mapped() {
    let rules = sockets(&[], &[], &["127.0.0.1:0:80"]);
    let host = only_port(&rules);
    assert_ne!(host.port(), 0);
    for local in ["127.0.0.1:80", "0.0.0.0:80"] {
        assert_eq!(rules.bind_address(Protocol::Tcp, address(local)), Some(host), "{local}");
    }
    for local in ["[::]:80", "[::1]:80"] {
        assert_eq!(rules.bind_address_any_family(Protocol::Tcp, address(local)), Some(host), "{local}");
        assert_eq!(rules.bind_address(Protocol::Tcp, address(local)), None, "{local}");
    }
    for local in ["127.0.0.1:81", "192.0.2.1:80", "0.0.0.0:0", &host.to_string()] {
        assert_eq!(rules.bind_address(Protocol::Tcp, address(local)), None, "{local}");
    }
    assert_eq!(rules.bind_address(Protocol::Udp, address("0.0.0.0:80")), None);
    assert!(rules.may_listen(host));
    assert!(!rules.may_listen(address("127.0.0.1:80")));
    assert_eq!(rules.guest_address(Protocol::Tcp, host), address("127.0.0.1:80"));
    let other = address("127.0.0.2:1");
    assert_eq!(rules.guest_address(Protocol::Tcp, other), other);
}

#[test]
fn it_is_said_when_a_guest_listens() {
    let rules = sockets(&[], &[], &["127.0.0.1:0:80", "127.0.0.1:0:81"]);
    let mut listening = rules.listening();
    rules.listens(address("127.0.0.1:1"));
    assert!(!listening.has_changed().unwrap(), "no port of the guest");
    rules.listens(rules.mapped_ports()[1].2);
    assert_eq!(*listening.borrow_and_update(), [81]);
    // A guest that closes its socket and listens again.
    rules.listens(rules.mapped_ports()[1].2);
    assert!(!listening.has_changed().unwrap());
}

#[test]
fn an_unspecified_mapping_serves_both_families() {
    let rules = sockets(&[], &[], &["0:80"]);
    let port = only_port(&rules).port();
    let at = |ip: &str| Some(SocketAddr::new(ip.parse().unwrap(), port));
    assert_eq!(rules.bind_address(Protocol::Tcp, address("0.0.0.0:80")), at("0.0.0.0"));
    assert_eq!(rules.bind_address(Protocol::Tcp, address("[::]:80")), at("::"));
    assert_eq!(rules.bind_address_any_family(Protocol::Tcp, address("[::]:80")), at("0.0.0.0"));
    assert!(rules.may_listen(at("::").unwrap()));
    assert_eq!(rules.guest_address(Protocol::Tcp, at("192.0.2.9").unwrap()), address("192.0.2.9:80"));
}

#[test]
fn a_host_port_is_reserved_until_the_guest_binds() {
    let rules = sockets(&[], &[], &["127.0.0.1:0:80", "127.0.0.1:0:53/udp"]);
    let tcp = rules.policy.ports.chosen_by_system().next().unwrap().2;
    let udp = rules.policy.ports.chosen_by_system().nth(1).unwrap().2;
    assert!(std::net::TcpStream::connect(tcp).is_err(), "reserved, but nobody listens");
    assert!(UdpSocket::bind(udp).is_err());
    assert_eq!(rules.bind_address(Protocol::Tcp, address("0.0.0.0:80")), Some(tcp));
    assert_eq!(rules.bind_address(Protocol::Udp, address("0.0.0.0:53")), Some(udp));
    TcpListener::bind(tcp).unwrap();
    UdpSocket::bind(udp).unwrap();
    // A guest may bind again after it closed its socket.
    assert_eq!(rules.bind_address(Protocol::Tcp, address("0.0.0.0:80")), Some(tcp));
}

#[test]
fn a_port_in_use_is_said_before_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let Err(error) = try_sockets(&[], &[], &[&format!("127.0.0.1:{port}:80")]) else { panic!("no error") };
    assert_eq!(error.to_string(), format!("host port {port} (tcp) is in use at 127.0.0.1"));
    assert!(error.help.unwrap().contains("-p 0:80"));
    let Err(error) = try_sockets(&[], &[], &["192.0.2.1:0:80"]) else { panic!("no error") };
    assert_eq!(error.to_string(), "192.0.2.1 is not an address of this machine");
    let Err(error) = try_sockets(&[], &[], &["0:80", "0:80"]) else { panic!("no error") };
    assert_eq!(error.to_string(), "guest port 80/tcp is mapped twice");
}

#[test]
fn datagrams_may_be_answered() {
    let rules = sockets(&[], &[], &["127.0.0.1:0:53/udp"]);
    let bound = only_port(&rules);
    let client = address("192.0.2.5:4000");
    assert!(!rules.may_send(client));
    assert!(!rules.may_receive(address("127.0.0.1:1"), client), "another socket");
    assert!(!rules.may_send(client));
    assert!(rules.may_receive(bound, client));
    assert!(rules.may_send(client));
    assert!(!rules.may_send(address("192.0.2.5:4001")));
    // To be a client on a port of its own, it needs a rule.
    assert_eq!(rules.bind_address(Protocol::Udp, address("0.0.0.0:0")), None);
}

#[test]
fn the_hook_of_wasmtime_wasi_gets_the_same_answers() {
    let rules = sockets(&["10.0.0.0/8:*"], &[], &["127.0.0.1:0:80"]);
    let host = only_port(&rules);
    let outside = address("192.0.2.1:80");
    assert!(rules.check(host, SocketAddrUse::TcpBind));
    assert!(rules.check(host, SocketAddrUse::TcpListen));
    assert!(!rules.check(outside, SocketAddrUse::TcpBind));
    assert!(!rules.check(outside, SocketAddrUse::TcpListen));
    assert!(rules.check(address("10.0.0.1:1"), SocketAddrUse::TcpConnect));
    assert!(!rules.check(outside, SocketAddrUse::TcpConnect));
    assert!(!rules.check(outside, SocketAddrUse::UdpSend));
    assert!(!rules.check(outside, SocketAddrUse::UdpReceive));
}
