//! Certificates: read from PEM files, and read again when the files change.

use crate::listener::TlsFiles;
use crate::notice::Notice;
use crate::server::Shared;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Files are looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// Of a certificate or key file.
const PEM_MAX: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is larger than a certificate can be")]
    TooLarge(PathBuf),
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    #[error("{0} and {1} do not go together")]
    Mismatch(PathBuf, PathBuf),
    #[error("{0} cannot be used")]
    Unusable(PathBuf, #[source] rustls::Error),
    #[error("this machine has no trusted root certificates{0}")]
    NoRoots(String),
}

impl TlsError {
    pub fn help(&self) -> String {
        match self {
            TlsError::Read(path, _) => format!("check the path and that this user may read {}", path.display()),
            TlsError::TooLarge(_) | TlsError::NoCertificate(_) => {
                "give a file that begins with -----BEGIN CERTIFICATE-----: the server's certificate first, then \
                 those that signed it"
                    .to_owned()
            }
            TlsError::NoKey(_) => {
                "give the key in PKCS#8, SEC 1 or PKCS#1: a file that begins with -----BEGIN PRIVATE KEY----- or \
                 the like, not encrypted"
                    .to_owned()
            }
            TlsError::Mismatch(..) => {
                "the key must be the one that the first certificate was made for".to_owned()
            }
            TlsError::NoRoots(_) => "install ca-certificates, set SSL_CERT_FILE, or name a `ca`".to_owned(),
            TlsError::Unusable(..) => "make the certificate and key anew".to_owned(),
        }
    }
}

/// The certificate of a listener, as it is now.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    /// Whether clients are told that HTTP is spoken here.
    http: bool,
    identity: ArcSwap<Identity>,
    stamps: Mutex<Seen>,
}

/// What the connections of a listener begin with.
#[derive(Debug)]
pub(crate) struct Identity {
    pub config: Arc<ServerConfig>,
    /// The first of its chain: the one that is the server's own.
    pub certificate: Arc<CertificateDer<'static>>,
}

/// What is known of the files.
#[derive(Debug)]
struct Seen {
    stamps: [Stamp; 2],
    /// The files did not go together the last time: they may be in the middle of being written.
    failed: bool,
}

/// Device, inode, size, change time: a file that was replaced or written has another.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Certificates {
    pub fn load(files: TlsFiles, http: bool) -> Result<Self, TlsError> {
        let stamps = Mutex::new(Seen { stamps: stamps(&files), failed: false });
        let identity = ArcSwap::new(Arc::new(identity(&files, http)?));
        Ok(Certificates { files, http, identity, stamps })
    }

    pub fn current(&self) -> Arc<Identity> {
        self.identity.load_full()
    }

    /// Looks whether the files changed. Half-written ones get a second chance before anyone is told.
    fn refresh(&self) -> Option<Notice> {
        let mut seen = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        let changed = now != seen.stamps;
        if !changed && !seen.failed {
            return None;
        }
        seen.stamps = now;
        let cert = self.files.cert.display().to_string();
        match identity(&self.files, self.http) {
            Ok(identity) => {
                seen.failed = false;
                self.identity.store(Arc::new(identity));
                Some(Notice::CertificateReloaded { cert })
            }
            Err(_) if changed => {
                seen.failed = true;
                None
            }
            Err(error) => {
                seen.failed = false;
                Some(Notice::CertificateKept { cert, error: with_cause(&error) })
            }
        }
    }
}

/// Refreshes until the server ends.
pub(crate) async fn watch(certificates: Vec<Arc<Certificates>>, shared: Arc<Shared>) {
    if certificates.is_empty() {
        return;
    }
    loop {
        // Either asked for, or time has passed.
        let _ = timeout(LOOK, shared.reload.notified()).await;
        for one in &certificates {
            if let Some(notice) = one.refresh() {
                shared.notices.tell(&notice);
            }
        }
    }
}

fn with_cause(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.cert, &files.key].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
    })
}

fn identity(files: &TlsFiles, http: bool) -> Result<Identity, TlsError> {
    let chain = certificates(&files.cert)?;
    // There is at least one.
    let certificate = chain.first().cloned().ok_or_else(|| TlsError::NoCertificate(files.cert.clone()))?;
    let key = private_key(&files.key)?;
    let unusable = |error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(files.cert.clone(), files.key.clone()),
        error => TlsError::Unusable(files.cert.clone(), error),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)?;
    if http {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    // A session is resumed without a store of ours; the keys of the tickets change by themselves.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
    Ok(Identity { config: Arc::new(config), certificate: Arc::new(certificate) })
}

/// At least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| TlsError::NoCertificate(path.to_owned()))
}

pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| TlsError::NoKey(path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |error| TlsError::Read(path.to_owned(), error);
    if std::fs::metadata(path).map_err(error)?.len() > PEM_MAX {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    std::fs::read(path).map_err(error)
}
