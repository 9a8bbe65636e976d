//! TLS towards servers: who they are, who we are, and what both speak.

use crate::{Proxy, RUNTIME, parts, spec};
use http::{Request, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sampan_app::{Tls, Upstream as Spec, UpstreamProtocol, UpstreamTls};
use sampan_gateway::Upstream;
use sampan_service::{Body, Handler, Server, TlsFiles, Unanswered, Via, full};
use sampan_testing::servers::Nginx;
use sampan_testing::temp_dir;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate authority, and what it signed, in a folder.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "tests");
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let authority = Authority { issuer: rcgen::Issuer::new(params, key), pem, folder: temp_dir() };
        std::fs::write(authority.path("ca.pem"), &authority.pem).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a name, and its key.
    fn sign(&self, name: &str) -> Tls {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = Tls { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) };
        std::fs::write(&files.cert, cert.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// Says in which version it was asked.
fn secure(files: &Tls) -> Server {
    let files = TlsFiles { cert: files.cert.clone(), key: files.key.clone() };
    let answer =
        |request: Request<Body>| std::future::ready(Response::new(full(format!("{:?}", request.version()))));
    crate::listen(Arc::new(crate::Fun(answer)), Some(files), None)
}

fn over_tls(address: SocketAddr, tls: UpstreamTls) -> Spec {
    let mut spec = Spec { tls, ..spec(&[address]) };
    spec.servers[0].tls = true;
    spec.retry.attempts = 1;
    spec
}

#[test]
fn a_servers_certificate_must_be_right() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = secure(&ours.sign("server.internal"));
    let ca = |authority: &Authority| Some(authority.path("ca.pem"));
    let name = |name: &str| Some(name.to_owned());
    for (what, tls, status) in [
        (
            "right",
            UpstreamTls { ca: ca(&ours), server_name: name("server.internal"), ..Default::default() },
            "200",
        ),
        ("no name", UpstreamTls { ca: ca(&ours), ..Default::default() }, "502"),
        (
            "another name",
            UpstreamTls { ca: ca(&ours), server_name: name("x.internal"), ..Default::default() },
            "502",
        ),
        (
            "another authority",
            UpstreamTls { ca: ca(&other), server_name: name("server.internal"), ..Default::default() },
            "502",
        ),
        ("anything goes", UpstreamTls { insecure: true, ..Default::default() }, "200"),
    ] {
        let proxy = Proxy::start(over_tls(server.addresses()[0], tls));
        assert_eq!(parts(&proxy.get("/")).0, status, "{what}");
        if status == "502" {
            assert_eq!(proxy.metric("failures_total", ",reason=\"tls\""), 1, "{what}");
        }
    }
}

/// What filters and the access log may ask of an answer.
#[test]
fn an_answer_tells_of_its_connection() {
    let authority = Authority::new();
    let server = secure(&authority.sign("server.internal"));
    let ours = authority.sign("gateway.internal");
    for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::H2] {
        let tls = UpstreamTls { insecure: true, client: Some(ours.clone()), ..UpstreamTls::default() };
        let proxy = Proxy::start(Spec { protocol, ..over_tls(server.addresses()[0], tls) });
        for _ in 0..2 {
            let request = Request::get("/").header("host", "a").body(sampan_service::empty()).unwrap();
            let response = RUNTIME.block_on(proxy.upstream.handle(request));
            let via = response.extensions().get::<Via>().unwrap();
            assert_eq!((via.server, via.servers, via.attempts), (Some(server.addresses()[0]), 1, 1));
            let connection = via.connection.as_ref().unwrap();
            assert!(connection.local.is_some_and(|local| local.ip().is_loopback() && local.port() != 0));
            let handshake = connection.handshake.as_ref().unwrap();
            let pem = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
            assert_eq!(handshake.theirs, Some(pem(&authority.path("server.internal.pem"))), "{protocol:?}");
            assert_eq!(handshake.ours.as_deref(), Some(&pem(&ours.cert)), "{protocol:?}");
            assert_eq!(handshake.version, "TLSv1.3");
        }
    }
    // One that cannot be made says why.
    let tls = UpstreamTls { server_name: Some("x.internal".into()), ..UpstreamTls::default() };
    let proxy = Proxy::start(over_tls(server.addresses()[0], tls));
    let request = Request::get("/").header("host", "a").body(sampan_service::empty()).unwrap();
    let response = RUNTIME.block_on(proxy.upstream.handle(request));
    let via = response.extensions().get::<Via>().unwrap();
    let why = via.transport_failure.as_deref().unwrap();
    assert!(via.failure == Some("tls") && why.contains("certificate"), "{why}");
    assert!(response.extensions().get::<Unanswered>().is_some());
}

#[test]
fn both_sides_choose_the_protocol() {
    let authority = Authority::new();
    let server = secure(&authority.sign("server.internal"));
    for (protocol, version) in [
        (UpstreamProtocol::Http1, "HTTP/1.1"),
        (UpstreamProtocol::H2, "HTTP/2.0"),
        (UpstreamProtocol::Auto, "HTTP/2.0"),
    ] {
        let tls = UpstreamTls { insecure: true, ..UpstreamTls::default() };
        let proxy = Proxy::start(Spec { protocol, ..over_tls(server.addresses()[0], tls) });
        for _ in 0..2 {
            assert_eq!(parts(&proxy.get("/")), ("200", version), "{protocol:?}");
        }
        assert_eq!(proxy.metric("connections", ""), 1, "{protocol:?}");
    }
}

#[test]
fn we_show_our_certificate_to_servers_that_ask() {
    let authority = Authority::new();
    let (server, client) = (authority.sign("server.internal"), authority.sign("gateway.internal"));
    let config = format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {}; ssl_certificate_key {};
           ssl_client_certificate {}; ssl_verify_client on;
           location / {{ return 200 '$ssl_client_s_dn $ssl_server_name'; }} }}",
        server.cert.display(),
        server.key.display(),
        authority.path("ca.pem").display(),
    );
    let Some(nginx) = Nginx::start(&config, &[]) else { return };
    let address = SocketAddr::from(([127, 0, 0, 1], nginx.port));
    let mut tls = UpstreamTls {
        ca: Some(authority.path("ca.pem")),
        server_name: Some("server.internal".into()),
        client: Some(client),
        insecure: false,
    };
    for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::Auto] {
        let proxy = Proxy::start(Spec { protocol, ..over_tls(address, tls.clone()) });
        for _ in 0..2 {
            assert_eq!(
                parts(&proxy.get("/")),
                ("200", "CN=gateway.internal server.internal"),
                "{protocol:?}"
            );
        }
    }
    tls.client = None;
    // nginx says so in a response: 400 No required SSL certificate was sent.
    assert_eq!(parts(&Proxy::start(over_tls(address, tls)).get("/")).0, "400");
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let authority = Authority::new();
    let (one, other) = (authority.sign("one.internal"), authority.sign("other.internal"));
    let start = |tls: UpstreamTls| {
        let spec = over_tls(([127, 0, 0, 1], 1).into(), tls);
        let started = RUNTIME.block_on(Upstream::start("test", &spec, RUNTIME.handle()));
        let error = started.err().expect("an error");
        format!("{error}; {}", error.help())
    };
    let client = |cert: &Tls, key: &Tls| Some(Tls { cert: cert.cert.clone(), key: key.key.clone() });
    for (tls, expected) in [
        (
            UpstreamTls { ca: Some("/no/such/ca.pem".into()), ..Default::default() },
            "cannot read /no/such/ca.pem",
        ),
        (UpstreamTls { ca: Some(one.key.clone()), ..Default::default() }, "holds no certificate in PEM"),
        (
            UpstreamTls { insecure: true, client: client(&one, &other), ..Default::default() },
            "do not go together",
        ),
        (
            UpstreamTls { insecure: true, server_name: Some("a b".into()), ..Default::default() },
            "server_name",
        ),
    ] {
        let said = start(tls);
        assert!(said.contains(expected), "{said}");
    }
}
