//! Envoy's attributes, as properties: which there are, and how they are encoded.

use crate::harness::*;
use http::{Request, Response};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use sampan_service::{
    Answer, Body, CertificateDer, Handler, Handshake, Matched, Peer, RequestId, TcpFilter as _, Via,
    ViaConnection, empty, full,
};
use std::sync::Arc;
use std::time::Duration;

/// Answers with a body of 6 bytes, as an upstream would.
struct Upstream(Option<Via>);

impl Handler for Upstream {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let mut response = Response::new(full("answer"));
        let told = request.headers().get("x-at-request").cloned();
        response.headers_mut().extend(told.map(|told| (http::HeaderName::from_static("x-at-request"), told)));
        if let Some(via) = self.0.clone() {
            response.extensions_mut().insert(via);
        }
        Box::pin(std::future::ready(response))
    }
}

fn certificate(name: &str) -> CertificateDer<'static> {
    let mut params =
        CertificateParams::new(vec![format!("{name}.example"), format!("www.{name}.example")]).unwrap();
    params.subject_alt_names.insert(0, SanType::URI(format!("spiffe://{name}").try_into().unwrap()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tests, Inc");
    params.distinguished_name.push(DnType::CommonName, name);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn handshake(ours: &str, theirs: Option<&str>) -> Arc<Handshake> {
    Arc::new(Handshake {
        server_name: Some("shop.example".into()),
        version: "TLSv1.3",
        ours: Some(Arc::new(certificate(ours))),
        theirs: theirs.map(certificate),
    })
}

fn via(failure: Option<&'static str>) -> Via {
    Via {
        upstream: "shop".into(),
        server: Some("192.0.2.3:9001".parse().unwrap()),
        failure,
        transport_failure: failure.map(|_| "refused".to_owned()),
        attempts: 2,
        waited: Duration::from_nanos(2000),
        connecting: Duration::from_nanos(300),
        tried: Vec::new(),
        servers: 3,
        connection: Some(Arc::new(ViaConnection {
            local: Some("192.0.2.2:40000".parse().unwrap()),
            handshake: Some(handshake("us", Some("server"))),
        })),
    }
}

const LOCAL: &str = "192.0.2.2:8443";

/// A request to `/p?q=1` with what a listener would know of it.
fn request(ask: &str, handshake: Option<Arc<Handshake>>) -> Request<Body> {
    let request = Request::get("/p?q=1").header("host", "shop.example").header("x-ask", ask);
    let request = request.header("x-two", "one").header("x-two", "two").header("content-length", "0");
    let mut request =
        request.header("referer", "http://a/").header("user-agent", "agent").body(empty()).unwrap();
    let extensions = request.extensions_mut();
    let (address, local) = ("192.0.2.1:999".parse().unwrap(), LOCAL.parse().unwrap());
    extensions.insert(Peer { address, local, tls: handshake.is_some() });
    extensions.insert(RequestId("id-1".parse().unwrap()));
    if let Some(handshake) = handshake {
        extensions.insert(handshake);
    }
    let route = Matched { route: "/...".into(), base: "".into(), rest: "/p".into(), names: Vec::new() };
    extensions.insert(route);
    request
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> String {
    format!("={}", hex(text))
}

fn number(number: i64) -> String {
    format!("={}", hex(number.to_le_bytes()))
}

/// There, and empty: Rust's SDK tells the guest nothing else than of what is not there.
fn empty_text() -> String {
    none()
}

fn none() -> String {
    "-".to_owned()
}

/// Asks for each path, and compares what is told in a header of the response.
async fn told(next: Upstream, given: Option<Arc<Handshake>>, at: &str, expected: Vec<(&str, String)>) {
    let filtered = before(Arc::new(next), spec("proxy-attributes", "")).await;
    let ask = expected.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(" ");
    let read = filtered.send(request(&ask, given)).await;
    let told: Vec<&str> = read.header(at).split(' ').collect();
    assert_eq!(told.len(), expected.len(), "{read:?}");
    for ((path, expected), told) in expected.iter().zip(told) {
        assert_eq!(told, expected, "{path}");
    }
}

/// What is there without TLS, before anybody has answered.
#[test]
fn of_a_request() {
    let expected = vec![
        ("request/path", text("/p?q=1")),
        ("request/url_path", text("/p")),
        ("request/query", text("q=1")),
        ("request/host", text("shop.example")),
        ("request/scheme", text("http")),
        ("request/method", text("GET")),
        ("request/protocol", text("HTTP/1.1")),
        ("request/referer", text("http://a/")),
        ("request/useragent", text("agent")),
        ("request/id", text("id-1")),
        ("request/headers/x-two", text("one,two")),
        ("request/headers/x-none", none()),
        ("request/size", number(0)),
        ("request/nothing", none()),
        ("response/code", none()),
        ("source/address", text("192.0.2.1:999")),
        ("source/port", number(999)),
        ("destination/address", text(LOCAL)),
        ("destination/port", number(8443)),
        ("connection/mtls", "=00".into()),
        ("connection/id", number(999 << 16 | 8443)),
        ("connection_id", number(999 << 16 | 8443)),
        ("connection/requested_server_name", empty_text()),
        ("connection/tls_version", none()),
        ("connection/subject_local_certificate", none()),
        ("connection/termination_details", none()),
        ("upstream/address", none()),
        ("upstream/request_attempt_count", number(0)),
        ("route_name", text("/...")),
        ("xds/route_name", text("/...")),
        ("xds/listener_direction", number(1)),
        ("listener_direction", number(1)),
        ("xds/cluster_name", none()),
        ("cluster_name", none()),
        ("plugin_name", text("proxy-attributes")),
        ("plugin_root_id", empty_text()),
        ("plugin_vm_id", text("proxy-attributes")),
        ("metadata/filter_metadata", none()),
        ("node/id", none()),
    ];
    run(told(Upstream(None), None, "x-at-request", expected));
}

#[test]
fn sizes_and_times_are_as_they_are() {
    run(async {
        let filtered = before(Arc::new(Upstream(None)), spec("proxy-attributes", "")).await;
        let ask = "request/headers_bytes request/total_size request/time request/duration plugin_vm_memory request/headers";
        let read = filtered.send(request(ask, None)).await;
        let told: Vec<&str> = read.header("x-at-request").split(' ').collect();
        let number = |index: usize| {
            let bytes: Vec<u8> = (1..17)
                .step_by(2)
                .map(|at| u8::from_str_radix(&told[index][at..at + 2], 16).unwrap())
                .collect();
            i64::from_le_bytes(bytes.try_into().unwrap())
        };
        let headers = [
            "x-ask",
            ask,
            "x-two",
            "one",
            "x-two",
            "two",
            "content-length",
            "0",
            "referer",
            "http://a/",
            "user-agent",
            "agent",
        ];
        let pseudo = [":authority", "shop.example", ":path", "/p?q=1", ":method", "GET", ":scheme", "http"];
        let bytes: usize = headers.iter().chain(&pseudo).map(|text| text.len()).sum();
        assert_eq!((number(0), number(1)), (bytes as i64, bytes as i64));
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!((now - number(2)).abs() < 60_000_000_000, "{}", number(2));
        assert!((1..60_000_000_000).contains(&number(3)), "{}", number(3));
        // Pages of WebAssembly.
        assert!(number(4) > 0 && number(4) % 65_536 == 0, "{}", number(4));
        // As many pairs as there are fields.
        assert!(told[5].starts_with("=0a000000"), "{}", told[5]);
    });
}

#[test]
fn of_a_response() {
    let expected = vec![
        ("response/code", number(200)),
        ("response/code_details", text("via_upstream")),
        ("response/flags", number(0)),
        ("response/grpc_status", none()),
        ("response/trailers", none()),
        ("response/size", number(0)),
        ("response/backend_latency", number(2000)),
        ("xds/cluster_name", text("shop")),
        ("cluster_name", text("shop")),
        ("upstream/address", text("192.0.2.3:9001")),
        ("upstream/port", number(9001)),
        ("upstream/local_address", text("192.0.2.2:40000")),
        ("upstream/num_endpoints", number(3)),
        ("upstream/request_attempt_count", number(2)),
        ("upstream/cx_pool_ready_duration", number(300)),
        ("upstream/transport_failure_reason", empty_text()),
        ("upstream/locality", none()),
        ("upstream/tls_version", text("TLSv1.3")),
        ("upstream/subject_local_certificate", text("CN=us,O=Tests\\, Inc")),
        ("upstream/subject_peer_certificate", text("CN=server,O=Tests\\, Inc")),
        ("upstream/dns_san_local_certificate", text("us.example")),
        ("upstream/dns_san_peer_certificate", text("server.example")),
        ("upstream/uri_san_local_certificate", text("spiffe://us")),
        ("upstream/uri_san_peer_certificate", text("spiffe://server")),
    ];
    run(told(Upstream(Some(via(None))), None, "x-at-response", expected));
}

#[test]
fn of_an_answer_that_is_the_gateways() {
    for (failure, flag) in [
        ("no_server", 0x2),
        ("connect", 0x20),
        ("total", 0x4),
        ("reset", 0x40),
        ("queue_full", 0x80),
        ("bad_response", 0x80_0000),
    ] {
        let expected = vec![
            ("response/code_details", text(failure)),
            ("response/flags", number(flag)),
            ("upstream/transport_failure_reason", text("refused")),
        ];
        run(told(Upstream(Some(via(Some(failure)))), None, "x-at-response", expected));
    }
    // Of a component, or a folder, there is nothing to say.
    let expected = vec![
        ("response/code_details", none()),
        ("response/flags", number(0)),
        ("upstream/num_endpoints", none()),
    ];
    run(told(Upstream(None), None, "x-at-response", expected));
    run(async {
        let filtered = before(Arc::new(Upstream(None)), spec("proxy-attributes", "")).await;
        let mut denied = request("response/code_details response/code", None);
        *denied.uri_mut() = "/denied".parse().unwrap();
        let read = filtered.send(denied).await;
        assert_eq!((read.status, read.body.as_str()), (403, "no\n"));
        assert_eq!(read.header("x-at-response"), format!("{} {}", text("rbac_denied"), number(403)));
    });
}

#[test]
fn of_a_connection_over_tls() {
    let given = handshake("shop", Some("client"));
    let theirs = given.theirs.clone().unwrap();
    let sha256 = hex(ring::digest::digest(&ring::digest::SHA256, &theirs));
    let one = handshake("shop", None);
    let expected = |client: bool| {
        let peer = |text: String| if client { text } else { none() };
        vec![
            ("request/scheme", text("https")),
            ("connection/mtls", if client { "=01" } else { "=00" }.to_owned()),
            ("connection/requested_server_name", text("shop.example")),
            ("connection/tls_version", text("TLSv1.3")),
            ("connection/subject_local_certificate", text("CN=shop,O=Tests\\, Inc")),
            ("connection/dns_san_local_certificate", text("shop.example")),
            ("connection/uri_san_local_certificate", text("spiffe://shop")),
            (
                "connection/subject_peer_certificate",
                if client { text("CN=client,O=Tests\\, Inc") } else { empty_text() },
            ),
            ("connection/dns_san_peer_certificate", peer(text("client.example"))),
            ("connection/uri_san_peer_certificate", peer(text("spiffe://client"))),
            ("connection/sha256_peer_certificate_digest", peer(text(&sha256))),
        ]
    };
    run(told(Upstream(None), Some(given), "x-at-request", expected(true)));
    run(told(Upstream(None), Some(one), "x-at-request", expected(false)));
}

/// The certificate is what it was before it was written in PEM and escaped.
#[test]
fn a_clients_certificate_as_a_whole() {
    run(async {
        let given = handshake("shop", Some("client"));
        let filtered = before(Arc::new(Upstream(None)), spec("proxy-attributes", "")).await;
        let read = filtered.send(request("connection/peer_certificate", Some(Arc::clone(&given)))).await;
        let told = read.header("x-at-request").trim_start_matches('=').to_owned();
        let bytes: Vec<u8> =
            (0..told.len()).step_by(2).map(|at| u8::from_str_radix(&told[at..at + 2], 16).unwrap()).collect();
        let escaped = String::from_utf8(bytes).unwrap();
        assert!(escaped.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{escaped}");
        assert!(!escaped.contains(['\n', '/', '+', '=', ' ']), "{escaped}");
        let pem = percent_encoding::percent_decode_str(&escaped).decode_utf8().unwrap().into_owned();
        let lines: Vec<&str> = pem.lines().collect();
        assert!(
            lines.iter().all(|line| line.len() <= 64) && lines.last() == Some(&"-----END CERTIFICATE-----"),
            "{pem}"
        );
        let body = lines[1..lines.len() - 1].concat();
        use base64::Engine;
        let der = base64::prelude::BASE64_STANDARD.decode(body).unwrap();
        assert_eq!(Some(&CertificateDer::from(der)), given.theirs.as_ref());
    });
}

#[test]
fn of_a_connection_of_tcp() {
    run(async {
        let filtered = filtered(spec("proxy-attributes", "tcp")).await;
        let entry = filtered.filter.configured(None).unwrap();
        let peer =
            Peer { address: "192.0.2.1:5000".parse().unwrap(), local: LOCAL.parse().unwrap(), tls: true };
        assert!(entry.connect(peer, Some(handshake("shop", None))).await.is_some());
        let expected = format!("info: a connection: {} {}", text("shop.example"), text("TLSv1.3"));
        assert_eq!(filtered.logged(&expected), 1, "{:?}", filtered.log.lock().unwrap());
    });
}
