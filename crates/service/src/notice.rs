//! What an operator should know and no client is told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that happened beside the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Accepting fails, mostly for want of file descriptors; it is tried again.
    AcceptFails { address: SocketAddr, error: String },
    /// Files changed and are in use.
    CertificateReloaded { cert: String },
    /// Files changed and make no sense; the certificate before stays in use.
    CertificateKept { cert: String, error: String },
    /// A handler panicked; its request got a 500.
    Panicked { message: String },
    /// So many connections were cut at the end of a drain.
    Cut(usize),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::AcceptFails { address, error } => {
                write!(f, "cannot accept connections on {address}: {error}; trying again")
            }
            Notice::CertificateReloaded { cert } => {
                write!(f, "{cert} changed: the new certificate is in use")
            }
            Notice::CertificateKept { cert, error } => {
                write!(f, "{cert} changed, and the old certificate stays in use: {error}")
            }
            Notice::Panicked { message } => write!(f, "a request failed inside: {message}"),
            Notice::Cut(count) => write!(f, "{count} connections were cut"),
        }
    }
}

type Tell = dyn Fn(&Notice) + Send + Sync;

/// Who is told. The default is nobody.
#[derive(Clone, Default)]
pub struct Notices(Option<Arc<Tell>>);

impl Notices {
    pub fn to(tell: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Notices(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        if let Some(tell) = &self.0 {
            tell(notice);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Notices(…)" } else { "Notices(nobody)" })
    }
}
