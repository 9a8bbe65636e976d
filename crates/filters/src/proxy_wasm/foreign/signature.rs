//! Signatures: RSA (PKCS #1, version 1.5) and ECDSA (P-256, P-384; in DER), with the messages that Envoy has for it
//! (envoyproxy/envoy, source/extensions/common/wasm/ext/verify_signature.proto and sign.proto). What ring does not
//! do is an error in the result: SHA-224, signing with SHA-1, RSA keys of less than 2,048 bits.

use super::key::{self, Algorithm};
use crate::proxy_wasm::protobuf::{Value, bytes_of, fields, put_bool, put_bytes};
use crate::proxy_wasm::values::{BAD_ARGUMENT, Status};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding,
    UnparsedPublicKey, VerificationAlgorithm,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Fields 1: the hash function, 2 or 5: the key in DER or PEM, 3: the signature, 4: the text. In the result, 1:
/// whether it is right, 2: why not.
pub fn verify(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = fields(arguments).ok_or(BAD_ARGUMENT)?;
    let der = der(&arguments, 2, 5, "PUBLIC KEY").ok_or(BAD_ARGUMENT)?;
    let (algorithm, key) = key::public(&der).ok_or(BAD_ARGUMENT)?;
    let (signature, text) = (bytes_of(&arguments, 3), bytes_of(&arguments, 4));
    let verified = hash(bytes_of(&arguments, 1)).and_then(|hash| {
        let algorithm = verification(algorithm, hash).ok_or("Failed to initialize digest verify.")?;
        let verified = UnparsedPublicKey::new(algorithm, key).verify(text, signature);
        verified.map_err(|_| "Failed to verify digest.".to_owned())
    });
    let mut result = Vec::new();
    put_bool(&mut result, 1, verified.is_ok());
    put_bytes(&mut result, 2, verified.err().unwrap_or_default().as_bytes());
    Ok(result)
}

/// Fields 1: the hash function, 2 or 4: the key in DER or PEM, 3: the text. In the result, 1: whether it could be
/// signed, 2: the signature, 3: why not.
pub fn sign(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = fields(arguments).ok_or(BAD_ARGUMENT)?;
    let der = der(&arguments, 2, 4, "PRIVATE KEY").ok_or(BAD_ARGUMENT)?;
    let algorithm = key::private(&der).ok_or(BAD_ARGUMENT)?;
    let text = bytes_of(&arguments, 3);
    let signed = hash(bytes_of(&arguments, 1)).and_then(|hash| {
        let signature = match algorithm {
            Algorithm::Rsa => rsa(&der, hash, text),
            Algorithm::P256 | Algorithm::P384 => ecdsa(&der, algorithm, hash, text),
            Algorithm::Other => None,
        };
        signature.ok_or_else(|| "Failed to create signature.".to_owned())
    });
    let mut result = Vec::new();
    put_bool(&mut result, 1, signed.is_ok());
    match signed {
        Ok(signature) => put_bytes(&mut result, 2, &signature),
        Err(error) => put_bytes(&mut result, 3, error.as_bytes()),
    }
    Ok(result)
}

/// The key, in one of two forms.
fn der(arguments: &[(u32, Value<'_>)], der: u32, pem: u32, label: &str) -> Option<Vec<u8>> {
    match (bytes_of(arguments, der), bytes_of(arguments, pem)) {
        (der, []) => Some(der.to_vec()),
        ([], pem) => key::of_pem(pem, label),
        _ => None,
    }
}

fn hash(name: &[u8]) -> Result<Hash, String> {
    match name.to_ascii_lowercase().as_slice() {
        b"sha1" => Ok(Hash::Sha1),
        b"sha256" => Ok(Hash::Sha256),
        b"sha384" => Ok(Hash::Sha384),
        b"sha512" => Ok(Hash::Sha512),
        _ => Err(format!("{} is not supported.", String::from_utf8_lossy(name).escape_debug())),
    }
}

fn verification(algorithm: Algorithm, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (algorithm, hash) {
        (Algorithm::Rsa, Hash::Sha1) => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Algorithm::Rsa, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Algorithm::Rsa, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (Algorithm::Rsa, Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        (Algorithm::P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (Algorithm::P256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
        (Algorithm::P384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (Algorithm::P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

fn rsa(der: &[u8], hash: Hash, text: &[u8]) -> Option<Vec<u8>> {
    let encoding: &'static dyn RsaEncoding = match hash {
        Hash::Sha1 => return None,
        Hash::Sha256 => &RSA_PKCS1_SHA256,
        Hash::Sha384 => &RSA_PKCS1_SHA384,
        Hash::Sha512 => &RSA_PKCS1_SHA512,
    };
    let pair = KeyPair::from_pkcs8(der).ok()?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), text, &mut signature).ok()?;
    Some(signature)
}

fn ecdsa(der: &[u8], algorithm: Algorithm, hash: Hash, text: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match (algorithm, hash) {
        (Algorithm::P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1_SIGNING,
        (Algorithm::P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => return None,
    };
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &random).ok()?;
    Some(pair.sign(&random, text).ok()?.as_ref().to_vec())
}
