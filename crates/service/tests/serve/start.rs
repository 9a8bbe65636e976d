//! Binding: errors that a person can do something about.

use sampan_service::{BindError, Listen, Listener, TlsError, TlsFiles};
use sampan_testing::temp_dir;
use std::net::TcpListener;

fn bind(address: &str) -> Result<Listener, BindError> {
    Listener::bind(&Listen { address: address.parse().unwrap(), tls: None })
}

#[test]
fn a_port_in_use_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let error = bind(&address.to_string()).unwrap_err();
    assert!(matches!(error, BindError::InUse(taken) if taken == address), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot listen on {address}: the port is in use"));
    assert!(error.help().contains(&format!("sport = :{}", address.port())), "{}", error.help());
}

#[test]
fn an_address_of_another_machine_is_named() {
    // Of TEST-NET-1 (RFC 5737).
    let error = bind("192.0.2.1:0").unwrap_err();
    assert!(matches!(error, BindError::NoSuchAddress(_)), "{error:?}");
    assert!(error.help().contains("0.0.0.0"), "{}", error.help());
}

#[test]
fn port_0_becomes_a_port() {
    let listener = bind("127.0.0.1:0").unwrap();
    assert_ne!(listener.address().port(), 0);
    assert!(!listener.tls());
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_before_anything_is_bound() {
    let folder = temp_dir();
    let at = |name: &str| folder.path().join(name);
    let one = crate::tls::certificate("one");
    let two = crate::tls::certificate("two");
    std::fs::write(at("cert"), &one.cert).unwrap();
    std::fs::write(at("key"), &one.key).unwrap();
    std::fs::write(at("other"), &two.key).unwrap();
    std::fs::write(at("text"), "not PEM").unwrap();
    let rotten = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(at("rotten"), rotten).unwrap();
    for (cert, key, expected) in [
        ("missing", "key", "cannot read"),
        ("cert", "missing", "cannot read"),
        ("text", "key", "holds no certificate"),
        ("cert", "text", "holds no private key"),
        ("cert", "cert", "holds no private key"),
        ("cert", "other", "do not go together"),
        ("rotten", "key", "cannot be used"),
    ] {
        let tls = Some(TlsFiles { cert: at(cert), key: at(key) });
        let error = Listener::bind(&Listen { address: ([127, 0, 0, 1], 0).into(), tls }).unwrap_err();
        assert!(error.to_string().contains(expected), "{cert} {key}: {error}");
        assert!(matches!(error, BindError::Tls(_)) && !error.help().is_empty());
    }
    assert!(TlsError::TooLarge(at("x")).help().contains("BEGIN CERTIFICATE"));
}
