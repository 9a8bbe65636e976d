//! TLS to a database server, by the modes of libpq (PostgreSQL's documentation, 34.19.1 "Client Verification
//! of Server Certificates"); MySQL's modes mean the same under other names.

use super::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Whether the connection is encrypted, and what the server must prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    Disable,
    /// Encrypt if the server can.
    #[default]
    Prefer,
    /// Encrypt; prove nothing, unless a certificate authority is given.
    Require,
    /// A trusted authority has signed the certificate.
    VerifyCa,
    /// … and it is for this server's name.
    VerifyFull,
}

impl TlsMode {
    /// PostgreSQL's `sslmode` or MySQL's `ssl-mode`.
    pub fn parse(text: &str) -> Option<TlsMode> {
        Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => TlsMode::Disable,
            "allow" | "prefer" | "preferred" => TlsMode::Prefer,
            "require" | "required" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" | "verify-identity" => TlsMode::VerifyFull,
            _ => return None,
        })
    }
}

/// The authorities: those of `pem` beside the machine's own.
pub fn authorities(pem: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut all = rustls_native_certs::load_native_certs().certs;
    if let Some(pem) = pem {
        let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let own = own.map_err(|error| Error::Connection(format!("the CA certificate: {error}")))?;
        if own.is_empty() {
            return Err(Error::Connection("the CA certificate is not in PEM".to_owned()));
        }
        all.extend(own);
    }
    Ok(all)
}

/// TLS 1.2 and 1.3 as the mode says.
pub fn client_config(mode: TlsMode, pem: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let configuration = |error: &dyn std::fmt::Display| Error::Connection(format!("TLS: {error}"));
    let provider = Arc::new(ring::default_provider());
    let mode = if mode == TlsMode::Require && pem.is_some() { TlsMode::VerifyCa } else { mode };
    let verifies = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
    let chain = if verifies {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities(pem)?);
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Some(builder.build().map_err(|error| configuration(&error))?)
    } else {
        None
    };
    let verifier = Verifier { chain, name: mode == TlsMode::VerifyFull, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| configuration(&error))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Whether the certificate must be for the server's name.
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verified = chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last, after the chain and the dates.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
