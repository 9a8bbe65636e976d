//! TLS towards servers: whom we trust, and how we prove who we are.

use crate::listener::TlsFiles;
use crate::tls::{TlsError, certificates, private_key};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;

/// How to connect to servers that speak TLS.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Who may have signed a server's certificate; `None`: whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// What we show to servers that ask.
    pub client: Option<TlsFiles>,
    /// Any certificate will do.
    pub insecure: bool,
    /// The protocols that we offer, the best first.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientTls {
    /// Reads the files.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let named = self.client.as_ref().map(|files| files.cert.clone()).or_else(|| self.ca.clone());
        let unusable = |error| TlsError::Unusable(named.clone().unwrap_or_default(), error);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(files) => builder
                .with_client_auth_cert(certificates(&files.cert)?, private_key(&files.key)?)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        TlsError::Mismatch(files.cert.clone(), files.key.clone())
                    }
                    error => TlsError::Unusable(files.cert.clone(), error),
                })?,
        };
        config.alpn_protocols = self.alpn.clone();
        Ok(config)
    }

    /// What we show to servers that ask: the first certificate of the file.
    pub fn certificate(&self) -> Result<Option<CertificateDer<'static>>, TlsError> {
        let Some(files) = &self.client else { return Ok(None) };
        Ok(certificates(&files.cert)?.into_iter().next())
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let Some(path) = &self.ca else { return system_roots() };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(path)?);
        if roots.is_empty() { Err(TlsError::NoCertificate(path.clone())) } else { Ok(roots) }
    }
}

/// Whom this machine trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR` say). Reading them takes milliseconds and
/// megabytes.
pub fn system_roots() -> Result<RootCertStore, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}

/// Trusts every certificate, but wants its key to be there.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
