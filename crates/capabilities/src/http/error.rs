//! Why an outbound request failed, as precisely as the standards can say it, and how the libraries' errors
//! become that.

use std::error::Error as StdError;
use std::io;

/// What went wrong with a request. Each interface in `host/` translates it into its standard's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no grant allows this request")]
    Denied,
    #[error("the destination's address is in a private network that no grant names")]
    AddressProhibited,
    #[error("the request's URI is not usable")]
    BadUri,
    #[error("the request's method is not usable")]
    BadMethod,
    #[error("name look-up: {0}")]
    Dns(String),
    #[error("the name look-up took too long")]
    DnsTimeout,
    #[error("the connection was refused")]
    ConnectionRefused,
    #[error("connecting took too long")]
    ConnectTimeout,
    #[error("there is no route to the destination")]
    Unroutable,
    #[error("the destination is unavailable: {0}")]
    Unavailable(String),
    #[error("too many requests or connections are open")]
    LimitReached,
    #[error("the server's certificate is not trusted: {0}")]
    TlsCertificate(String),
    #[error("the server ended TLS: {message}")]
    TlsAlert { id: u8, message: String },
    #[error("TLS: {0}")]
    TlsProtocol(String),
    #[error("the server was silent for too long")]
    ReadTimeout,
    #[error("the connection ended before the response came")]
    Terminated,
    #[error("the connection ended in the middle of the response")]
    ResponseIncomplete,
    #[error("the response's headers are larger than {} bytes", super::MAX_RESPONSE_HEAD_BYTES)]
    ResponseHeadTooLarge,
    #[error("the server switched protocols, which was not asked for")]
    UpgradeRefused,
    #[error("HTTP: {0}")]
    Protocol(String),
    #[error("more than {} redirects", super::redirect::MAX_REDIRECTS)]
    TooManyRedirects,
    /// The guest's own body failed; whoever supplied the body knows why.
    #[error("the request's body failed")]
    RequestBody,
    /// This machine cannot make the request, whatever the destination.
    #[error("{0}")]
    Configuration(String),
}

/// The first error of type `T` in the chain of causes that starts at `error`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error hides the error that it was made from behind `get_ref`, not `source`.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl Error {
    /// An error of the system's connect call.
    pub(super) fn from_connect(error: &io::Error) -> Error {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Error::ConnectionRefused,
            Kind::TimedOut => Error::ConnectTimeout,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => Error::Unroutable,
            Kind::ConnectionReset | Kind::ConnectionAborted => Error::Terminated,
            _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Error::LimitReached,
            _ => Error::Unavailable(error.to_string()),
        }
    }

    /// An error of the TLS handshake.
    pub(super) fn from_tls(error: &io::Error) -> Error {
        match find::<rustls::Error>(error) {
            Some(tls) => Error::from_rustls(tls),
            None => Error::Terminated,
        }
    }

    fn from_rustls(error: &rustls::Error) -> Error {
        match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Error::TlsCertificate(error.to_string())
            }
            rustls::Error::AlertReceived(alert) => {
                Error::TlsAlert { id: u8::from(*alert), message: format!("{alert:?}") }
            }
            _ => Error::TlsProtocol(error.to_string()),
        }
    }

    /// An error while the request was sent or the response's head was awaited.
    pub(super) fn from_exchange(error: &hyper::Error) -> Error {
        if let Some(own) = find::<Error>(error) {
            return own.clone();
        }
        if error.is_user() {
            return Error::RequestBody;
        }
        if error.is_parse_too_large() {
            return Error::ResponseHeadTooLarge;
        }
        if error.is_parse() {
            return Error::Protocol(error.to_string());
        }
        if error.is_timeout() {
            return Error::ReadTimeout;
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Error::from_rustls(tls);
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Error::Terminated;
        }
        match find::<io::Error>(error) {
            Some(_) => Error::Terminated,
            // What is left is HTTP/2 saying that a rule was broken, or that the stream was reset.
            None => Error::Protocol(match error.source() {
                Some(source) => source.to_string(),
                None => error.to_string(),
            }),
        }
    }

    /// An error while the response's body was read.
    pub(super) fn from_body(error: &hyper::Error) -> Error {
        match Error::from_exchange(error) {
            Error::Terminated => Error::ResponseIncomplete,
            other => other,
        }
    }
}
