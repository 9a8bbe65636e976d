//! What a certificate says (RFC 5280), in the forms in which Envoy tells it.

use super::Attribute;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest as hash};
use sampan_service::CertificateDer;
use std::fmt::Write;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Kinds of names that a certificate may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dns,
    Uri,
}

/// As RFC 2253 and its successor 4514 write it; empty where there is no certificate.
pub fn subject(certificate: Option<&CertificateDer<'static>>) -> Attribute {
    let parsed = certificate.and_then(|one| Certificate::from_der(one).ok());
    Attribute::text(parsed.map(|one| one.tbs_certificate.subject.to_string()).unwrap_or_default())
}

/// The first of the names for which it is.
pub fn first_name(certificate: &CertificateDer<'static>, kind: Kind) -> Option<Attribute> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let (_, names) = parsed.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match (kind, name) {
        (Kind::Dns, GeneralName::DnsName(name))
        | (Kind::Uri, GeneralName::UniformResourceIdentifier(name)) => Some(Attribute::text(name.as_str())),
        _ => None,
    })
}

/// In hexadecimal digits.
pub fn digest(certificate: &CertificateDer<'static>) -> Attribute {
    let mut text = String::new();
    for byte in hash(&SHA256, certificate).as_ref() {
        // Writing to a string fails never.
        let _ = write!(text, "{byte:02x}");
    }
    Attribute::text(text)
}

/// In PEM, and that with its special characters escaped as in a URL.
pub fn pem(certificate: &CertificateDer<'static>) -> Attribute {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (index, character) in BASE64_STANDARD.encode(certificate).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    let escapes = [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
    Attribute::text(escapes.into_iter().fold(text, |text, (from, to)| text.replace(from, to)))
}
