//! What each text form of a grant means, and which texts are refused.

use super::*;

#[test]
fn mounts() {
    let mount = |text: &str| text.parse::<Mount>();
    assert_eq!(mount("./a:/b").unwrap(), Mount { host: "./a".into(), guest: "/b".into(), read_only: false });
    assert_eq!(
        mount("/a:/b/./c/:ro").unwrap(),
        Mount { host: "/a".into(), guest: "/b/c".into(), read_only: true }
    );
    assert_eq!(
        mount("C:x:/b:rw").unwrap(),
        Mount { host: "C:x".into(), guest: "/b".into(), read_only: false }
    );
    assert_eq!(mount(".:.").unwrap().guest, ".");
    for text in ["", "a", ":/b", "a:", "a:ro"] {
        assert!(mount(text).is_err(), "{text}");
    }
    assert!(matches!(mount("a:b"), Err(ParseGrantError::GuestPath { .. })));
    assert!(matches!(mount("a:/b/../c"), Err(ParseGrantError::GuestPath { .. })));
}

#[test]
fn ports() {
    let port = |text: &str| text.parse::<PortMap>();
    let tcp = port("8080:80").unwrap();
    assert_eq!((tcp.host_port, tcp.guest_port, tcp.protocol), (8080, 80, Protocol::Tcp));
    assert_eq!(tcp.host_address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(port("127.0.0.1:0:53/udp").unwrap().protocol, Protocol::Udp);
    assert_eq!(port("[::1]:8080:80").unwrap().host_address, "::1".parse::<IpAddr>().unwrap());
    assert_eq!(port("80").unwrap().guest_port, 80);
    for text in ["", "a:b", "80:0", "1:2/sctp", "70000:1", "x:1:2"] {
        assert!(port(text).is_err(), "{text}");
    }
}

#[test]
fn network_rules() {
    let rule = |text: &str| text.parse::<NetRule>().unwrap();
    assert!(rule("db.internal:5432").host.matches_name("DB.internal."));
    assert!(!rule("db.internal:5432").host.matches_name("xdb.internal"));
    assert!(rule("*.example.com:443").host.matches_name("a.b.example.com"));
    assert!(!rule("*.example.com:443").host.matches_name("example.com"));
    assert!(!rule("*.example.com:443").host.matches_name("evilexample.com"));
    assert!(rule("10.0.0.0/8:*").host.matches_address("10.1.2.3".parse().unwrap()));
    assert!(rule("10.0.0.0/8:*").host.matches_address("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!rule("10.0.0.0/8:*").host.matches_address("11.1.2.3".parse().unwrap()));
    assert!(rule("[::1]:80").host.matches_address("::1".parse().unwrap()));
    assert!(rule("127.0.0.1:8000-8010").port.matches(8010));
    assert!(!rule("127.0.0.1:8000-8010").port.matches(8011));
    assert!(!rule("db.internal:1").host.matches_address("10.0.0.1".parse().unwrap()));
    for text in ["", "host", "host:", "ho st:1", "h:99999", "h:9-1", "a..b:1"] {
        assert!(text.parse::<NetRule>().is_err(), "{text}");
    }
}

#[test]
fn origins() {
    let origin = |text: &str| text.parse::<Origin>().unwrap();
    assert!(origin("https://api.example.com").allows("https", "api.example.com", 443));
    assert!(!origin("https://api.example.com").allows("http", "api.example.com", 443));
    assert!(!origin("https://api.example.com").allows("https", "api.example.com", 8443));
    assert!(origin("http://127.0.0.1:3500/").allows("http", "127.0.0.1", 3500));
    assert!(!origin("http://127.0.0.1:3500").allows("http", "127.0.0.1", 3501));
    assert!(origin("http://[::1]:80").allows("http", "::1", 80));
    assert!(origin("*://*.example.com").allows("http", "a.example.com", 1234));
    assert!(origin("*").allows("https", "anything", 1));
    for text in ["", "example.com", "ftp://x", "https://", "https://a/b", "https://a:x"] {
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
}

#[test]
fn env_files() {
    let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let parsed = parse_env_file("# c\n\nA=1\nB=x = y\nHOME\nMISSING\n", lookup).unwrap();
    let expected = [("A", "1"), ("B", "x = y"), ("HOME", "/root")];
    assert_eq!(parsed, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(parse_env_file("OK=1\n=x", lookup).unwrap_err().line, 2);
    assert_eq!(parse_env_file("A B=1", lookup).unwrap_err().line, 1);
}
