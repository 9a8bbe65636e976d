//! HTTP/1.1 towards registries and servers of files: one connection for each request, TLS but for this machine itself, and a limit of
//! time on everything.

use crate::PullError;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// The head of a response may have so many bytes.
const HEAD_MAX_BYTES: usize = 64 << 10;
/// From a registry to where it keeps its blobs is one, and through a mirror two.
const REDIRECTS_MAX: usize = 5;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How long a registry may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// To connect to one address.
    pub connect: Duration,
    /// Until the head of a response, and between two pieces of its body.
    pub idle: Duration,
    /// For the whole of a small document.
    pub document: Duration,
    /// For the whole of a blob.
    pub blob: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(20),
            document: Duration::from_secs(30),
            blob: Duration::from_secs(15 * 60),
        }
    }
}

pub struct Client {
    pub timeouts: Timeouts,
    plain: Plain,
    /// Whom this machine trusts; read when it is needed.
    tls: OnceCell<Arc<ClientConfig>>,
}

/// Who may be asked without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    Nobody,
    /// Only for a registry that is here itself: another one must not lead us to what else listens here.
    ThisMachine,
    /// Whoever is asked: what comes is known by its digest. Only who is here himself (`here`) may lead us to what else
    /// listens here.
    Everybody {
        here: bool,
    },
    /// A host, and its port if that is written: a person has listed it as insecure.
    Host(String),
}

/// What is asked.
pub struct Ask<'a> {
    pub method: Method,
    pub url: Url,
    /// Beside `Host` and `User-Agent`. `Authorization` goes to the host of `url` and to no other.
    pub headers: &'a HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(timeouts: Timeouts, plain: Plain) -> Self {
        Client { timeouts, plain, tls: OnceCell::new() }
    }

    /// The response, after redirects.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Response<Incoming>, PullError> {
        let first = ask.url.clone();
        let mut url = ask.url;
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = ask.headers.clone();
            if url.origin() != first.origin() {
                headers.remove(AUTHORIZATION);
            }
            let response = self.send_to(&ask.method, &url, headers, ask.body.clone()).await?;
            let follows = ask.method == Method::GET || ask.method == Method::HEAD;
            if !response.status().is_redirection() || !follows {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = next.ok_or_else(|| unreachable(&url, "it redirects to nowhere"))?;
        }
        Err(unreachable(&first, "it redirects in a circle"))
    }

    async fn send_to(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, PullError> {
        let host = url.host().ok_or_else(|| unreachable(url, "it has no host"))?;
        let is_plain = url.scheme() == "http";
        if !is_plain && url.scheme() != "https" || is_plain && !self.may_be_plain(url, &host.to_string()) {
            return Err(unreachable(url, "it wants to be asked without TLS"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("sampan"));
        let authority = HeaderValue::from_str(&authority(url));
        request.headers_mut().insert(HOST, authority.map_err(|error| unreachable(url, error))?);
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        *request.uri_mut() = target.parse().map_err(|error| unreachable(url, error))?;

        let tcp = self.connect(url, &host).await?;
        let idle = self.timeouts.idle;
        let exchange = async {
            if is_plain {
                return exchange(url, tcp, request).await;
            }
            let name = match &host {
                Host::Domain(name) => ServerName::try_from((*name).to_owned()),
                Host::Ipv4(address) => Ok(ServerName::from(IpAddr::from(*address))),
                Host::Ipv6(address) => Ok(ServerName::from(IpAddr::from(*address))),
            };
            let name = name.map_err(|error| unreachable(url, error))?;
            let tls = self.tls.get_or_try_init(system_tls).await.map_err(|why| unreachable(url, why))?;
            let tls = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
            exchange(url, tls.map_err(|error| unreachable(url, error))?, request).await
        };
        within(url, idle, exchange).await?
    }

    fn may_be_plain(&self, url: &Url, host: &str) -> bool {
        match &self.plain {
            Plain::Nobody => false,
            Plain::ThisMachine => is_this_machine(host),
            Plain::Everybody { here } => *here || !is_this_machine(host),
            Plain::Host(listed) => authority(url) == *listed,
        }
    }

    async fn connect(&self, url: &Url, host: &Host<&str>) -> Result<TcpStream, PullError> {
        let port = url.port_or_known_default().unwrap_or(443);
        let host = host.to_string();
        let looking = tokio::net::lookup_host((host.trim_matches(['[', ']']), port));
        let found = within(url, self.timeouts.idle, looking).await?;
        let mut failure = unreachable(url, "its name has no address");
        for address in found.map_err(|error| unreachable(url, error))?.take(ADDRESSES_MAX) {
            match within(url, self.timeouts.connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = unreachable(url, error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A body of at most `max_bytes`. The rest of a longer one is not read.
    pub async fn whole(&self, url: &Url, body: Incoming, max_bytes: usize) -> Result<Bytes, PullError> {
        let reading = async {
            let mut body = body;
            let mut bytes = BytesMut::new();
            while let Some(piece) = self.piece(url, &mut body).await? {
                if bytes.len() + piece.len() > max_bytes {
                    let what = format!("{} answers with more than {max_bytes} bytes", authority(url));
                    return Err(PullError::Malformed(what));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes.freeze())
        };
        within(url, self.timeouts.document, reading).await?
    }

    /// The next piece of a body.
    pub async fn piece(&self, url: &Url, body: &mut Incoming) -> Result<Option<Bytes>, PullError> {
        loop {
            let frame = within(url, self.timeouts.idle, body.frame()).await?;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers mean nothing here.
            if let Ok(data) = frame.map_err(|error| unreachable(url, causes(&error)))?.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

async fn exchange(
    url: &Url,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, PullError> {
    let failed = |error: hyper::Error| unreachable(url, causes(&error));
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(HEAD_MAX_BYTES).handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Its errors reach whoever reads the response; it ends when nobody does any more.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(failed)
}

pub async fn within<T>(url: &Url, time: Duration, what: impl Future<Output = T>) -> Result<T, PullError> {
    let done = tokio::time::timeout(time, what).await;
    done.map_err(|_| unreachable(url, format!("it was not done within {time:?}")))
}

pub fn unreachable(url: &Url, why: impl ToString) -> PullError {
    PullError::Unreachable { host: authority(url), why: why.to_string() }
}

/// As in `Host`.
pub fn authority(url: &Url) -> String {
    url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

/// hyper's errors say little without their causes.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

/// Whether a host is this machine, with which no TLS is needed.
pub fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

/// TLS with the roots that this machine trusts, or that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
async fn system_tls() -> Result<Arc<ClientConfig>, String> {
    let loading = tokio::task::spawn_blocking(|| {
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            return Err("this machine trusts no certificate authority (Debian: ca-certificates)".to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    });
    loading.await.map_err(|error| error.to_string())?
}
