//! Servers for the tests: HTTP/1.1 in the clear, HTTP/1.1 or 2 over TLS, and raw ones that misbehave.

use crate::http::{Body, Error};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A server on a free port of 127.0.0.1, which ends with this value.
pub struct Server {
    pub port: u16,
    /// Connections so far.
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

impl Server {
    /// What is done with each connection is up to `serve`.
    pub async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Server { port, connections, task }
    }

    pub async fn http<F>(handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let handle = handler(handle);
        Server::raw(move |stream| serve(stream, false, Arc::clone(&handle))).await
    }

    /// `alpn` is what the server offers, for example `h2`; the certificate is for `localhost`.
    pub async fn https<F>(
        authority: &Authority,
        alpn: &[&str],
        handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Server
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let handle = handler(handle);
        let acceptor = TlsAcceptor::from(authority.server_config(alpn));
        Server::raw(move |stream| {
            let (acceptor, handle) = (acceptor.clone(), Arc::clone(&handle));
            async move {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(tls, http2, handle).await;
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The grant and the start of a URI by address.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same by the name that the certificate has.
    pub fn secure_origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

fn handler<F>(handle: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(handle(request)))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool, handle: Handler) {
    let service = service_fn(move |request| {
        let response = handle(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let io = TokioIo::new(stream);
    // A client that goes away is part of the tests.
    if http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

/// Says what was asked: method, target, `Host`, the body's length.
pub async fn describe(request: Request<Incoming>) -> Response<Body> {
    let host = request.headers().get("host").map_or("-", |host| host.to_str().unwrap());
    let line = format!("{} {} host={host} {:?}", request.method(), request.uri(), request.version());
    let body = request.into_body().collect().await.map_err(|_| Error::Terminated).unwrap().to_bytes();
    reply(200, &[], format!("{line} body={}", body.len()))
}

/// A certificate authority that nobody but its test trusts.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(crate::http::connect::client_config(roots).unwrap())
    }

    pub fn server_config(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
