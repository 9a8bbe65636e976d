//! TLS, trust, and HTTP/2 by ALPN.

use super::server::{Authority, Server, describe};
use super::*;
use futures::future::{join_all, select};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

fn trusting(authority: &Authority, server: &Server) -> Door {
    let grants = origins(&[&server.secure_origin()]);
    Door::with_tls(&grants, &Explain::default(), Some(authority.client_config()))
}

#[test]
fn http2_is_preferred_and_shared() {
    run(async {
        let authority = Authority::new();
        let server = Server::https(&authority, &["h2", "http/1.1"], describe).await;
        let door = trusting(&authority, &server);
        let answer = fetch(&door, &format!("{}/first", server.secure_origin())).await.unwrap();
        let uri = format!("https://localhost:{}/first", server.port);
        assert_eq!(answer, format!("GET {uri} host=- HTTP/2.0 body=0"));
        let uris: Vec<_> = (0..200).map(|n| format!("{}/{n}", server.secure_origin())).collect();
        for answer in join_all(uris.iter().map(|uri| fetch(&door, uri))).await {
            assert!(answer.unwrap().ends_with("HTTP/2.0 body=0"));
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn requests_that_start_at_once_share_a_connection() {
    run(async {
        let authority = Authority::new();
        let server = Server::https(&authority, &["h2", "http/1.1"], describe).await;
        let door = trusting(&authority, &server);
        let uri = server.secure_origin();
        for answer in join_all((0..50).map(|_| fetch(&door, &uri))).await {
            assert!(answer.unwrap().ends_with("HTTP/2.0 body=0"));
        }
        assert_eq!(server.connections(), 1);

        // With HTTP/1.1 each needs its own, and none waits for another's answer.
        let all = Arc::new(tokio::sync::Barrier::new(50));
        let server = Server::https(&authority, &["http/1.1"], move |request| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                describe(request).await
            }
        })
        .await;
        let door = trusting(&authority, &server);
        let uri = server.secure_origin();
        for answer in join_all((0..50).map(|_| fetch(&door, &uri))).await {
            assert!(answer.unwrap().ends_with("HTTP/1.1 body=0"));
        }
        assert_eq!(server.connections(), 50);
    });
}

#[test]
fn http1_over_tls() {
    run(async {
        let authority = Authority::new();
        for alpn in [&["http/1.1"][..], &[]] {
            let server = Server::https(&authority, alpn, describe).await;
            let door = trusting(&authority, &server);
            for _ in 0..3 {
                let answer = fetch(&door, &server.secure_origin()).await.unwrap();
                assert_eq!(answer, format!("GET / host=localhost:{} HTTP/1.1 body=0", server.port));
            }
            assert_eq!(server.connections(), 1);
        }
    });
}

#[test]
fn an_http2_connection_that_ends_is_replaced() {
    run(async {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server_config(&["h2"]));
        let (end, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (end_there, ended_there) = (Arc::clone(&end), Arc::clone(&ended));
        let server = Server::raw(move |stream| {
            let (acceptor, end, ended) = (acceptor.clone(), Arc::clone(&end_there), Arc::clone(&ended_there));
            async move {
                let tls = acceptor.accept(stream).await.unwrap();
                let service = service_fn(|request| async { Ok::<_, Infallible>(describe(request).await) });
                let serving =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service);
                select(serving, pin!(end.notified())).await;
                ended.notify_one();
            }
        })
        .await;
        let door = trusting(&authority, &server);
        let uri = server.secure_origin();
        fetch(&door, &uri).await.unwrap();
        end.notify_one();
        ended.notified().await;
        // Until the end has been noticed here, a request may still be lost on the old connection.
        loop {
            match fetch(&door, &uri).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error, Error::Terminated),
            }
        }
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn certificates() {
    run(async {
        let (trusted, stranger) = (Authority::new(), Authority::new());
        let server = Server::https(&stranger, &["h2"], describe).await;
        let result = fetch(&trusting(&trusted, &server), &server.secure_origin()).await;
        assert!(matches!(result, Err(Error::TlsCertificate(_))), "{result:?}");

        // The certificate is for `localhost`, not for the address.
        let server = Server::https(&trusted, &["h2"], describe).await;
        let by_address = format!("https://127.0.0.1:{}", server.port);
        let door =
            Door::with_tls(&origins(&[&by_address]), &Explain::default(), Some(trusted.client_config()));
        let result = fetch(&door, &by_address).await;
        assert!(matches!(result, Err(Error::TlsCertificate(_))), "{result:?}");
    });
}

#[test]
fn broken_handshakes() {
    run(async {
        let authority = Authority::new();
        // Plain HTTP where TLS is expected.
        let plain = Server::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        })
        .await;
        let result = fetch(&trusting(&authority, &plain), &plain.secure_origin()).await;
        assert!(matches!(result, Err(Error::TlsProtocol(_))), "{result:?}");

        let closing = Server::raw(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
        })
        .await;
        let result = fetch(&trusting(&authority, &closing), &closing.secure_origin()).await;
        assert_eq!(result, Err(Error::Terminated));

        // A fatal alert: handshake_failure, 40.
        let alerting = Server::raw(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
            let _ = stream.read(&mut [0; 4096]).await;
        })
        .await;
        let result = fetch(&trusting(&authority, &alerting), &alerting.secure_origin()).await;
        assert!(matches!(result, Err(Error::TlsAlert { id: 40, .. })), "{result:?}");

        // Nobody ever answers the handshake.
        let silent = Server::raw(|mut stream| async move {
            while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {}
        })
        .await;
        let hurried = Timeouts { connect: std::time::Duration::from_millis(50), ..Timeouts::default() };
        let result = trusting(&authority, &silent).send(get(&silent.secure_origin()), hurried).await;
        assert_eq!(result.unwrap_err(), Error::ConnectTimeout);
    });
}

const CHILD: &str = "SAMPAN_TEST_URI";

/// What the test below starts in a process of its own, because the roots are loaded once a process.
#[test]
fn child_with_system_roots() {
    let Ok(uri) = std::env::var(CHILD) else { return };
    match run(async { fetch(&door(&[&uri]), &uri).await }) {
        Ok(answer) => println!("answer: {answer}"),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn the_systems_roots_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let child = |uri: &str, roots: &std::path::Path| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "http::tests::tls::child_with_system_roots", "--nocapture"])
            .env(CHILD, uri)
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    run(async {
        let authority = Arc::new(Authority::new());
        let server = Server::https(&authority, &["h2"], describe).await;
        let ours = folder.path().join("ours.pem");
        std::fs::write(&ours, authority.pem()).unwrap();
        let uri = server.secure_origin();
        let missing = folder.path().join("missing.pem");
        let children = tokio::task::spawn_blocking(move || (child(&uri, &ours), child(&uri, &missing)));
        let (trusted, rootless) = children.await.unwrap();
        assert!(trusted.contains("answer: GET https://localhost:"), "{trusted}");
        assert!(rootless.contains("error: this machine has no trusted root certificates"), "{rootless}");
    });
}
