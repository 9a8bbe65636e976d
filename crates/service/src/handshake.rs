//! What a TLS connection has shown, on either side of this process.

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, ProtocolVersion};
use std::sync::Arc;

/// In a request's extensions, as an `Arc`, where its client came over TLS that ends here.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The server's name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// As OpenSSL writes it: `TLSv1.3`.
    pub version: &'static str,
    /// Our certificate; `None` where we have shown none.
    pub ours: Option<Arc<CertificateDer<'static>>>,
    /// The other side's, which has proven that it has the key.
    pub theirs: Option<CertificateDer<'static>>,
}

impl Handshake {
    /// Of a connection that stands.
    pub fn of(
        connection: &CommonState,
        server_name: Option<String>,
        ours: Option<Arc<CertificateDer<'static>>>,
    ) -> Arc<Self> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            // rustls knows no others.
            _ => "",
        };
        let theirs = connection.peer_certificates().and_then(|chain| chain.first());
        Arc::new(Handshake { server_name, version, ours, theirs: theirs.map(|one| one.clone().into_owned()) })
    }
}
