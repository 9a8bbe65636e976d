//! How a batch of spans reaches the collector: one request of HTTP/1.1, on a connection of its own.

use super::Complain;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A collector's answer is empty, or says in some words what it did not take.
const ANSWER_MAX: usize = 64 << 10;

pub struct Client {
    timeout: Duration,
    complain: Complain,
    /// The last attempt failed, and that was said.
    is_failing: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(timeout: Duration, complain: Complain) -> Self {
        Client { timeout, complain, is_failing: AtomicBool::new(false) }
    }

    /// Says what is wrong once, and once that it is over.
    fn note(&self, uri: &Uri, problem: Option<&str>) {
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !was_failing => {
                (self.complain)(&format!("traces are lost until {uri} takes them: {problem}"));
            }
            None if was_failing => (self.complain)(&format!("traces are sent to {uri} again")),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    /// Called on the thread that batches, which has no runtime and nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let uri = request.uri().clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sent = runtime.block_on(async {
            let waited = tokio::time::timeout(self.timeout, exchange(request)).await;
            waited.unwrap_or_else(|_| Err("it does not answer".into()))
        });
        match &sent {
            Ok(answer) if answer.status().is_success() => self.note(&uri, None),
            Ok(answer) => self.note(&uri, Some(&format!("it answers {}", answer.status()))),
            Err(error) => self.note(&uri, Some(&error.to_string())),
        }
        sent
    }
}

async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let host = uri.host().ok_or("it names no host")?.trim_matches(['[', ']']).to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    if !is_tls {
        return send(stream, request).await;
    }
    let name = ServerName::try_from(host)?;
    send(TlsConnector::from(tls()?).connect(name, stream).await?, request).await
}

/// Trusts whom this machine trusts.
fn tls() -> Result<Arc<rustls::ClientConfig>, HttpError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("it names no host")?.as_str().to_owned();
    head.headers.insert(header::HOST, HeaderValue::from_str(&authority)?);
    // Without the authority, as a server expects it.
    head.uri = head.uri.path_and_query().ok_or("it names no path")?.as_str().parse()?;
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}
