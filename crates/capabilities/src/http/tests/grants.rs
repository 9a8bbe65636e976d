//! What is refused, and that a refused request reaches nobody.

use super::server::{Server, describe};
use super::*;
use crate::http::policy::{Policy, Space, Target, advice};
use std::net::IpAddr;

fn target(uri: &str) -> Result<Target, Error> {
    Target::of(&uri.parse().unwrap())
}

#[test]
fn origins_are_scheme_host_and_port() {
    run(async {
        let server = Server::http(describe).await;
        let other = Server::http(describe).await;
        let door = door(&[&server.origin()]);
        let answer = fetch(&door, &format!("{}/a?b=c", server.origin())).await.unwrap();
        assert_eq!(answer, format!("GET /a?b=c host=127.0.0.1:{} HTTP/1.1 body=0", server.port));

        let refused = [
            other.origin(),
            format!("https://127.0.0.1:{}", server.port),
            format!("http://localhost:{}", server.port),
            format!("http://127.0.0.2:{}", server.port),
            format!("http://[::1]:{}", server.port),
            "http://127.0.0.1".to_owned(),
        ];
        for uri in refused {
            assert_eq!(fetch(&door, &uri).await, Err(Error::Denied), "{uri}");
        }
        assert_eq!((server.connections(), other.connections()), (1, 0));
    });
}

#[test]
fn no_grant_no_request() {
    run(async {
        let server = Server::http(describe).await;
        let door = door(&[]);
        for uri in
            [&server.origin(), "http://example.com", "https://example.com", "http://no.such.name.invalid"]
        {
            assert_eq!(fetch(&door, uri).await, Err(Error::Denied), "{uri}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn wildcards_do_not_reach_private_space() {
    run(async {
        let server = Server::http(describe).await;
        let port = server.port;
        // The last four are spellings of 127.0.0.1 that a resolver understands.
        let hosts = [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.1",
        ];
        for grant in ["*", &format!("*://*:{port}"), "http://*:*"] {
            let door = door(&[grant]);
            for host in hosts {
                let result = fetch(&door, &format!("http://{host}:{port}")).await;
                assert_eq!(result, Err(Error::AddressProhibited), "{grant} {host}");
            }
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn exact_names_addresses_and_networks_reach_private_space() {
    run(async {
        let server = Server::http(describe).await;
        let port = server.port;
        let by_name = door(&[&format!("http://localhost:{port}")]);
        assert!(fetch(&by_name, &format!("http://LOCALHOST:{port}")).await.is_ok());
        // A wildcard that lets the name pass, and a network that lets the address pass, are enough together.
        let both = door(&["*", &format!("http://127.0.0.0/8:{port}")]);
        assert!(fetch(&both, &format!("http://localhost:{port}")).await.is_ok());
        // A network alone names no name, and a network with another port or scheme nothing here.
        let network = door(&[&format!("http://127.0.0.0/8:{port}")]);
        assert_eq!(fetch(&network, &format!("http://localhost:{port}")).await, Err(Error::Denied));
        assert!(fetch(&network, &format!("http://127.0.0.1:{port}")).await.is_ok());
        let elsewhere = door(&["*", "http://127.0.0.0/8:1", &format!("https://127.0.0.0/8:{port}")]);
        let result = fetch(&elsewhere, &format!("http://localhost:{port}")).await;
        assert_eq!(result, Err(Error::AddressProhibited));
    });
}

#[test]
fn addresses_behind_a_name() {
    let policy = |grants: &[&str]| Policy::new(&origins(grants), &Explain::default());
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let api = target("https://api.example.com").unwrap();
    let mixed = addresses(&["169.254.169.254", "10.0.0.1", "93.184.216.34", "::1"]);

    // Only what is public is left to a wildcard, so that a name cannot lead inwards.
    let wildcard = policy(&["https://*.example.com"]);
    assert_eq!(wildcard.permitted(&api, &mixed), Ok(addresses(&["93.184.216.34"])));
    let inward = addresses(&["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fd00::1"]);
    assert_eq!(wildcard.permitted(&api, &inward), Err(Error::AddressProhibited));
    // An exact name reaches private networks but no metadata service.
    let exact = policy(&["https://api.example.com"]);
    assert_eq!(exact.permitted(&api, &mixed), Ok(addresses(&["10.0.0.1", "93.184.216.34", "::1"])));
    assert_eq!(exact.permitted(&api, &inward), Ok(inward.clone()));
    let special = addresses(&["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"]);
    assert_eq!(exact.permitted(&api, &special), Err(Error::AddressProhibited));
    // The address itself can be granted beside the name, for that scheme and port.
    let metadata = policy(&["https://api.example.com", "https://169.254.169.254"]);
    assert_eq!(metadata.permitted(&api, &special), Ok(addresses(&["169.254.169.254"])));
    let other = policy(&["https://api.example.com", "http://169.254.169.254:443"]);
    assert_eq!(other.permitted(&api, &special), Err(Error::AddressProhibited));
    // The exact name of another origin does not help.
    let crossed = policy(&["https://*.example.com", "https://db.example.com", "http://api.example.com"]);
    assert_eq!(crossed.permitted(&api, &inward), Err(Error::AddressProhibited));
}

#[test]
fn the_advised_flag_grants_what_was_refused() {
    let cases = [
        ("https://api.example.com", "10.0.0.1", "https://api.example.com"),
        ("https://api.example.com", "169.254.169.254", "https://169.254.169.254"),
        ("http://127.0.0.1:3500", "127.0.0.1", "http://127.0.0.1:3500"),
        ("http://[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", "http://10.0.0.1"),
        ("https://[fe80::1]:8443", "fe80::1", "https://[fe80::1]:8443"),
    ];
    for (uri, address, grant) in cases {
        let (target, address) = (target(uri).unwrap(), address.parse().unwrap());
        let wildcard = Policy::new(&origins(&["*"]), &Explain::default());
        assert_eq!(wildcard.permitted(&target, &[address]), Err(Error::AddressProhibited), "{uri}");
        let (_, flag) = advice(&target, address);
        assert_eq!(flag, format!("--allow-http {grant}"));
        let advised = Policy::new(&origins(&["*", grant]), &Explain::default());
        assert_eq!(advised.permitted(&target, &[address]), Ok(vec![address]), "{uri} {grant}");
    }
}

#[test]
fn spaces() {
    let table = [
        (
            Space::Public,
            "1.1.1.1 9.255.255.255 11.0.0.0 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.167.0.1",
        ),
        (Space::Public, "198.17.0.1 198.20.0.1 223.255.255.255 2606:4700::1111 2a00::1 64:ff9b::101:101"),
        (
            Space::Private,
            "127.0.0.1 127.255.255.255 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1",
        ),
        (
            Space::Private,
            "198.18.0.1 ::1 fc00::1 fdff::1 fec0::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1",
        ),
        (Space::Private, "64:ff9b:1::1 2002:7f00:1::1 2002:c0a8:101::"),
        (
            Space::Special,
            "0.0.0.0 0.1.2.3 169.254.169.254 192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 224.0.0.1",
        ),
        (
            Space::Special,
            "255.255.255.255 240.0.0.1 :: fe80::1 ff02::1 2001:db8::1 2001::1 100::1 ::ffff:0.0.0.0",
        ),
        (Space::Special, "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 4000::1 3fff::1 5f00::1"),
    ];
    for (space, addresses) in table {
        for address in addresses.split(' ') {
            assert_eq!(Space::of(address.parse().unwrap()), space, "{address}");
        }
    }
}

#[test]
fn targets() {
    let shown = |uri: &str| target(uri).map(|target| target.to_string());
    assert_eq!(shown("http://Example.COM/x"), Ok("http://example.com".to_owned()));
    assert_eq!(shown("https://example.com:443"), Ok("https://example.com".to_owned()));
    assert_eq!(shown("https://example.com:80"), Ok("https://example.com:80".to_owned()));
    assert_eq!(shown("http://[::1]"), Ok("http://[::1]".to_owned()));
    assert_eq!(shown("http://[::1]:8080"), Ok("http://[::1]:8080".to_owned()));
    let unusable = [
        "/path",
        "example.com",
        "ftp://example.com",
        "http://u:p@example.com",
        "http://example.com:",
        "http://a:0",
    ];
    for uri in unusable {
        assert_eq!(shown(uri), Err(Error::BadUri), "{uri}");
    }
}

#[test]
fn a_user_name_does_not_disguise_the_host() {
    run(async {
        let server = Server::http(describe).await;
        let door = door(&["http://allowed.example.com", &server.origin()]);
        let uri = format!("http://allowed.example.com@127.0.0.1:{}", server.port);
        assert_eq!(fetch(&door, &uri).await, Err(Error::BadUri));
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn no_tunnels_and_no_borrowed_host_header() {
    run(async {
        let server = Server::http(describe).await;
        let door = door(&[&server.origin()]);
        let mut connect = get(&server.origin());
        *connect.method_mut() = http::Method::CONNECT;
        assert_eq!(door.send(connect, Timeouts::default()).await.unwrap_err(), Error::BadMethod);

        let mut request = get(&server.origin());
        request.headers_mut().insert("host", "other.example.com".parse().unwrap());
        request.headers_mut().insert("connection", "x-hop, upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        let answer = text(door.send(request, Timeouts::default()).await.unwrap()).await.unwrap();
        assert!(answer.contains(&format!("host=127.0.0.1:{} ", server.port)), "{answer}");
    });
}
