//! TLS: both protocols, certificates that change, and clients that do not finish their handshake.

use crate::support::{Site, block_on, status};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sampan_service::{Limits, Options, TlsFiles};
use sampan_testing::temp_dir;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Pem {
    pub cert: String,
    pub key: String,
}

/// For `localhost`, signed by itself; the name tells it from others.
pub fn certificate(name: &str) -> Pem {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Pem { cert: cert.pem(), key: key.serialize_pem() }
}

struct Secure {
    site: Site,
    files: TlsFiles,
    _folder: tempfile::TempDir,
}

fn write(files: &TlsFiles, pem: &Pem) {
    std::fs::write(&files.cert, &pem.cert).unwrap();
    std::fs::write(&files.key, &pem.key).unwrap();
}

fn secure(pem: &Pem, limits: Limits) -> Secure {
    let folder = temp_dir();
    let at = |name: &str| Path::join(folder.path(), name);
    let files = TlsFiles { cert: at("cert.pem"), key: at("key.pem") };
    write(&files, pem);
    let site = Site::with(Options { limits, ..Options::default() }, Some(files.clone()));
    Secure { site, files, _folder: folder }
}

pub async fn connect(
    address: SocketAddr,
    pem: &Pem,
    alpn: &[&str],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.cert.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn hello(stream: TlsStream<tokio::net::TcpStream>) -> String {
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get("/about").header("host", "localhost").body(sampan_service::empty()).unwrap();
    let body = client.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn the_client_chooses_the_protocol() {
    let pem = certificate("one");
    let secure = secure(&pem, Limits::default());
    block_on(async {
        for alpn in [&["http/1.1"][..], &[]] {
            let body = hello(connect(secure.site.address, &pem, alpn).await.unwrap()).await;
            assert!(body.contains("tls=true"), "{body}");
            let handshake = "handshake=Some(\"localhost\") TLSv1.3 ours=";
            assert!(body.contains(handshake) && body.contains(" theirs=false "), "{body}");
            assert!(!body.contains("ours=0"), "{body}");
        }
        let stream = connect(secure.site.address, &pem, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://localhost/about").body(sampan_service::empty()).unwrap();
        let response = client.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"GET https://localhost/about ") && response_is_tls(&body), "{body:?}");
        assert!(connect(secure.site.address, &pem, &["smtp"]).await.is_err());
    });
}

fn response_is_tls(body: &[u8]) -> bool {
    body.windows(8).any(|part| part == b"tls=true")
}

#[test]
fn a_client_that_has_nothing_more_to_say_gets_its_answer() {
    let pem = certificate("one");
    let secure = secure(&pem, Limits::default());
    block_on(async {
        let mut stream = connect(secure.site.address, &pem, &[]).await.unwrap();
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut first = [0; 7];
        stream.read_exact(&mut first).await.unwrap();
        secure.site.expect("waiting");
        secure.site.open_gate();
        let mut rest = String::new();
        // The server ends TLS properly, so this is no error.
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(&first == b"HTTP/1." && rest.starts_with("1 200 OK") && rest.ends_with("waited"), "{rest}");
        // One that is gone is found out.
        let mut stream = connect(secure.site.address, &pem, &[]).await.unwrap();
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
        secure.site.expect("waiting");
        drop(stream);
    });
    secure.site.expect("cancelled");
}

#[test]
fn a_new_certificate_is_used_without_a_restart() {
    let (one, two) = (certificate("one"), certificate("two"));
    let secure = secure(&one, Limits::default());
    block_on(async {
        let old = connect(secure.site.address, &one, &[]).await.unwrap();
        write(&secure.files, &two);
        secure.site.server.as_ref().unwrap().reload_certificates();
        secure.site.expect(&format!("{} changed: the new certificate", secure.files.cert.display()));
        connect(secure.site.address, &two, &[]).await.unwrap();
        assert!(connect(secure.site.address, &one, &[]).await.is_err());
        // What was open goes on.
        assert!(hello(old).await.contains("tls=true"));
    });
}

#[test]
fn a_bad_certificate_changes_nothing() {
    let (one, two) = (certificate("one"), certificate("two"));
    let secure = secure(&one, Limits::default());
    block_on(async {
        for (cert, key) in [("nonsense", one.key.as_str()), (two.cert.as_str(), one.key.as_str()), ("", "")] {
            write(&secure.files, &Pem { cert: cert.to_owned(), key: key.to_owned() });
            let told = secure.site.expect(&format!("{} changed, and the old", secure.files.cert.display()));
            assert!(told.contains("holds no") || told.contains("go together"), "{told}");
            connect(secure.site.address, &one, &[]).await.unwrap();
        }
        std::fs::remove_file(&secure.files.key).unwrap();
        secure.site.expect(&format!("{} changed, and the old", secure.files.cert.display()));
        write(&secure.files, &two);
        secure.site.expect(&format!("{} changed: the new", secure.files.cert.display()));
        connect(secure.site.address, &two, &[]).await.unwrap();
    });
}

#[test]
fn a_handshake_that_does_not_end_holds_up_nobody() {
    let pem = certificate("one");
    let limits = Limits { header_timeout: Duration::from_secs(2), ..Limits::default() };
    let secure = secure(&pem, limits);
    let mut stuck: Vec<_> = (0..20).map(|_| secure.site.raw()).collect();
    for raw in &mut stuck {
        // The beginning of a ClientHello.
        raw.send([22, 3, 1, 1, 0, 1]);
    }
    block_on(async { hello(connect(secure.site.address, &pem, &[]).await.unwrap()).await });
    for mut raw in stuck {
        assert_eq!(status(&raw.rest()), 0);
    }
}

#[test]
fn speaking_in_the_clear_to_a_tls_port_is_an_error() {
    let pem = certificate("one");
    let secure = secure(&pem, Limits::default());
    let mut raw = secure.site.raw();
    raw.0.write_all(b"GET /hello HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    raw.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&raw.rest()), 0);
}
