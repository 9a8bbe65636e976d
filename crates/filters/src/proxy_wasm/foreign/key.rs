//! Keys as files have them: DER, or that in PEM (RFC 5208, 5280, 7468). Only what says which algorithm a key is for,
//! and where it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rsa,
    P256,
    P384,
    /// One for which there are no signatures here.
    Other,
}

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Of `SubjectPublicKeyInfo`: the key as its algorithm has it.
pub fn public(der: &[u8]) -> Option<(Algorithm, &[u8])> {
    let mut info = whole(der)?;
    let algorithm = algorithm(&mut info)?;
    let bits = element(&mut info, BIT_STRING)?;
    // Keys are whole bytes.
    Some((algorithm, bits.strip_prefix(b"\0")?))
}

/// Of `PrivateKeyInfo` (PKCS #8).
pub fn private(der: &[u8]) -> Option<Algorithm> {
    let mut info = whole(der)?;
    element(&mut info, INTEGER)?;
    let algorithm = algorithm(&mut info)?;
    element(&mut info, OCTET_STRING).map(|_| algorithm)
}

/// What is between the lines of a label.
pub fn of_pem(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let inside: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(inside).ok()
}

fn whole(mut der: &[u8]) -> Option<&[u8]> {
    let info = element(&mut der, SEQUENCE)?;
    der.is_empty().then_some(info)
}

fn algorithm(info: &mut &[u8]) -> Option<Algorithm> {
    let mut identifier = element(info, SEQUENCE)?;
    Some(match element(&mut identifier, OBJECT)? {
        RSA => Algorithm::Rsa,
        EC => match element(&mut identifier, OBJECT)? {
            P256 => Algorithm::P256,
            P384 => Algorithm::P384,
            _ => Algorithm::Other,
        },
        _ => Algorithm::Other,
    })
}

/// The contents of the next element, which has to be of this kind.
fn element<'a>(bytes: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(&[kind])?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        ..=0x7f => (usize::from(*first), rest),
        // Keys are shorter than 64 KiB.
        0x81 | 0x82 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 3))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl genpkey -algorithm …  | openssl pkey -pubout`.
    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_says_its_algorithm() {
        let der = of_pem(ED25519.as_bytes(), "PUBLIC KEY").unwrap();
        let (algorithm, key) = public(&der).unwrap();
        assert_eq!((algorithm, key.len()), (Algorithm::Other, 32));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let der = of_pem(ED25519.as_bytes(), "PUBLIC KEY").unwrap();
        for end in 0..der.len() {
            assert_eq!(public(&der[..end]), None, "{end}");
        }
        let longer = [&der[..], b"x"].concat();
        assert_eq!(public(&longer), None);
        assert_eq!(private(&der), None);
        for text in
            ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY----- ? -----END PUBLIC KEY-----"]
        {
            assert_eq!(of_pem(text.as_bytes(), "PUBLIC KEY"), None, "{text}");
        }
        assert_eq!(of_pem(ED25519.as_bytes(), "PRIVATE KEY"), None);
    }
}
