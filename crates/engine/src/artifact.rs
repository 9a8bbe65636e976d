//! Native code inside a WebAssembly file, signed: the custom section `sampan.native`.
//!
//! Knows ring and nothing of ours, so that it can be fuzzed by itself. Nothing here runs code or
//! decides whom to trust: [`find`] reads what is there, [`verify`] says whether one of the given keys vouches
//! for it, and the caller compares engine, settings and target with its own.
//!
//! # Format
//! A custom section is allowed anywhere in modules and components and ignored by other tools, so one file is
//! native here and portable elsewhere. Ours come last in the file, one for each target and profile. Integers
//! are little-endian; offsets count from the byte after the section's name:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | `sampan\0` and the format's version, 1 |
//! | 8 | 8 | length of the payload, P |
//! | 16 | 32 | SHA-256 of the wasm file without our sections |
//! | 48 | 32 | SHA-256 of the payload |
//! | 80 | 8 | key id: the first bytes of the SHA-256 of the public key |
//! | 88 | 4 × (2 + n) | target, profile, settings, engine: length and printable ASCII |
//! | H | 64 | Ed25519 over `sampan.native signature 1\0` and the bytes from 0 to H |
//! | H + 64 | | zeros, so that the payload begins at a multiple of 4096 in the file and can be mapped |
//! | end − P | P | the payload |
//!
//! The padding is not signed: a tool that moves the section breaks the alignment but not the signature.
//! A file of its own beside the wasm is the same section in an empty module ([`EMPTY_MODULE`]).

use ring::digest::{Context, SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The custom section's name.
pub const SECTION_NAME: &str = "sampan.native";
/// What a file beside the wasm is begun with.
pub const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// The payload begins at a multiple of this in the file (bytes): the page size of the processors we target.
pub const PAGE_BYTES: usize = 4096;
/// Larger payloads are neither written nor read.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// More sections than there are targets and profiles are an attack or a mistake: the rest is ignored.
pub const MAX_SECTIONS: usize = 32;
/// Bound of each text in the header.
const MAX_TEXT_BYTES: usize = 512;
const CUSTOM_SECTION: u8 = 0;
const MAGIC: &[u8; 8] = b"sampan\0\x01";
const SIGNATURE_BYTES: usize = 64;
/// Keeps a signature made for this purpose from meaning anything elsewhere.
const SIGNATURE_CONTEXT: &[u8] = b"sampan.native signature 1\0";

/// A SHA-256.
pub type Digest = [u8; 32];

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// The short name of a public key: the first 8 bytes of its SHA-256, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

/// Native code to be put into a file.
#[derive(Clone, Copy, Debug)]
pub struct Native<'a> {
    /// Target triple, for example `x86_64-unknown-linux-gnu`.
    pub target: &'a str,
    /// `program` or `server`.
    pub profile: &'a str,
    /// Everything else that the code depends on: compiler settings and processor features.
    pub settings: &'a str,
    /// The engine and its version, for example `wasmtime-48.0.8`.
    pub engine: &'a str,
    pub payload: &'a [u8],
}

/// What a section says of its payload. Claims, until [`verify`] has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub target: String,
    pub profile: String,
    pub settings: String,
    pub engine: String,
    /// Of the wasm that it was compiled from, see [`wasm_digest`].
    pub wasm_digest: Digest,
    pub payload_digest: Digest,
    pub key_id: KeyId,
}

/// A section of ours that is whole. The ranges are bytes of the file that [`find`] was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub meta: Meta,
    /// Never empty.
    pub payload: Range<usize>,
    signed: Range<usize>,
}

impl Found {
    /// Whether the payload can be mapped from the file as it lies.
    pub fn is_aligned(&self) -> bool {
        self.payload.start.is_multiple_of(PAGE_BYTES)
    }

    fn signature(&self) -> Range<usize> {
        self.signed.end..self.signed.end + SIGNATURE_BYTES
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("native code can only be put into a WebAssembly file")]
    NotWasm,
    #[error("the WebAssembly file is damaged at byte {offset}")]
    Damaged { offset: usize },
    #[error("the native code is empty or larger than {} MiB", MAX_PAYLOAD_BYTES >> 20)]
    PayloadSize,
    #[error("the {field} of native code must be 1 to {MAX_TEXT_BYTES} printable ASCII characters")]
    Text { field: &'static str },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("it is signed by key {0}, which is not trusted here; `sampan key trust` would change that")]
    UnknownKey(KeyId),
    #[error("its signature is wrong: it was altered, or is not by the key {0} that it names")]
    Signature(KeyId),
    #[error("it was compiled from a different WebAssembly file")]
    OtherWasm,
    #[error("the native code was altered after it was signed")]
    PayloadAltered,
}

/// The file without our sections; every other byte stays as it was. Borrowed where there are none.
pub fn strip(wasm: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = kept(wasm);
    match (kept.next(), kept.next()) {
        (None, _) => Cow::Borrowed(&[]),
        (Some(all), None) => Cow::Borrowed(&wasm[all]),
        (Some(first), Some(second)) => {
            let mut out = Vec::with_capacity(wasm.len());
            out.extend_from_slice(&wasm[first]);
            out.extend_from_slice(&wasm[second]);
            kept.for_each(|range| out.extend_from_slice(&wasm[range]));
            Cow::Owned(out)
        }
    }
}

/// SHA-256 of [`strip`]'s result, without making it: the same whether or not native code was added.
pub fn wasm_digest(wasm: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    kept(wasm).for_each(|range| context.update(&wasm[range]));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Adds native code that was compiled from this very file. It replaces code for the same target and profile;
/// code for others is kept, with its signature.
///
/// # Errors
/// If `wasm` is no WebAssembly, is damaged, or a field of `native` exceeds its bound.
pub fn append(wasm: &[u8], native: &Native<'_>, key: &Ed25519KeyPair) -> Result<Vec<u8>, AppendError> {
    append_to(wasm, &wasm_digest(wasm), native, key)
}

/// As [`append`], into another file than the one that the code was compiled from: [`EMPTY_MODULE`], or what an
/// earlier call made of it. `wasm_digest` is of the wasm that the code belongs to.
///
/// # Errors
/// As [`append`].
pub fn append_to(
    container: &[u8],
    wasm_digest: &Digest,
    native: &Native<'_>,
    key: &Ed25519KeyPair,
) -> Result<Vec<u8>, AppendError> {
    let header = header(wasm_digest, native, key)?;
    let mut sections = sections(container).ok_or(AppendError::NotWasm)?;
    sections.by_ref().for_each(drop);
    if sections.at != container.len() {
        return Err(AppendError::Damaged { offset: sections.at });
    }
    let others: Vec<Found> = find(container)
        .into_iter()
        .filter(|found| (&*found.meta.target, &*found.meta.profile) != (native.target, native.profile))
        .collect();
    let size = |payload: usize| payload + header.len() + 2 * PAGE_BYTES;
    let more: usize = others.iter().map(|found| size(found.payload.len())).sum();
    let stripped = strip(container);
    let mut out = Vec::with_capacity(stripped.len() + more + size(native.payload.len()));
    out.extend_from_slice(&stripped);
    for found in others {
        push_section(
            &mut out,
            &container[found.signed.start..found.signature().end],
            &container[found.payload],
        );
    }
    push_section(&mut out, &header, native.payload);
    Ok(out)
}

/// The sections of ours that are whole, in the order of the file. Damaged ones and those of other format
/// versions are left out; after the first damaged section of the file itself, nothing is looked for.
pub fn find(bytes: &[u8]) -> Vec<Found> {
    let Some(sections) = sections(bytes) else { return Vec::new() };
    sections
        .filter_map(|section| section.native)
        .filter_map(|contents| parse(bytes, contents))
        .take(MAX_SECTIONS)
        .collect()
}

/// Whether a key of `trusted` signed this section of `bytes`, its payload is what was signed, and it belongs
/// to the wasm of this digest. Execute only the very bytes that were verified: a file may change meanwhile.
///
/// # Errors
/// [`VerifyError`], the first reason that was met.
pub fn verify(
    found: &Found,
    bytes: &[u8],
    wasm_digest: &Digest,
    trusted: &[PublicKey],
) -> Result<(), VerifyError> {
    let id = found.meta.key_id;
    let key = trusted.iter().find(|key| key.id() == id).ok_or(VerifyError::UnknownKey(id))?;
    let range = |range: Range<usize>| bytes.get(range).ok_or(VerifyError::Signature(id));
    let message = [SIGNATURE_CONTEXT, range(found.signed.clone())?].concat();
    UnparsedPublicKey::new(&ED25519, key.0)
        .verify(&message, range(found.signature())?)
        .map_err(|_| VerifyError::Signature(id))?;
    if found.meta.wasm_digest != *wasm_digest {
        return Err(VerifyError::OtherWasm);
    }
    if digest(&SHA256, range(found.payload.clone())?).as_ref() != found.meta.payload_digest {
        return Err(VerifyError::PayloadAltered);
    }
    Ok(())
}

impl PublicKey {
    pub fn of(pair: &Ed25519KeyPair) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        PublicKey(key)
    }

    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&digest(&SHA256, &self.0).as_ref()[..8]);
        KeyId(id)
    }
}

/// Bytes as digests and keys are shown: two lower-case hexadecimal digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// The bytes from 0 to the end of the signature.
fn header(wasm_digest: &Digest, native: &Native<'_>, key: &Ed25519KeyPair) -> Result<Vec<u8>, AppendError> {
    if native.payload.is_empty() || native.payload.len() > MAX_PAYLOAD_BYTES {
        return Err(AppendError::PayloadSize);
    }
    let mut header = MAGIC.to_vec();
    header.extend((native.payload.len() as u64).to_le_bytes());
    header.extend(wasm_digest);
    header.extend(digest(&SHA256, native.payload).as_ref());
    header.extend(PublicKey::of(key).id().0);
    let texts = [
        ("target", native.target),
        ("profile", native.profile),
        ("settings", native.settings),
        ("engine", native.engine),
    ];
    for (field, text) in texts {
        if !is_valid_text(text.as_bytes()) {
            return Err(AppendError::Text { field });
        }
        header.extend((text.len() as u16).to_le_bytes());
        header.extend(text.as_bytes());
    }
    let signature = key.sign(&[SIGNATURE_CONTEXT, &header].concat());
    header.extend(signature.as_ref());
    Ok(header)
}

/// Printable, because it is shown on terminals before anything is verified.
fn is_valid_text(text: &[u8]) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

fn push_section(out: &mut Vec<u8>, header: &[u8], payload: &[u8]) {
    // Identifier, length in a form that always takes 5 bytes (so that the layout is known before), name.
    let contents_at = out.len() + 1 + 5 + 1 + SECTION_NAME.len();
    let payload_at = (contents_at + header.len()).next_multiple_of(PAGE_BYTES);
    let size = payload_at + payload.len() - (out.len() + 1 + 5);
    out.push(CUSTOM_SECTION);
    out.extend((0..5).map(|n| (size >> (7 * n)) as u8 & 0x7f | if n < 4 { 0x80 } else { 0 }));
    out.push(SECTION_NAME.len() as u8);
    out.extend_from_slice(SECTION_NAME.as_bytes());
    out.extend_from_slice(header);
    out.resize(payload_at, 0);
    out.extend_from_slice(payload);
}

/// Reads the contents of one section of ours. `None` unless every field is as [`append`] writes it.
fn parse(bytes: &[u8], contents: Range<usize>) -> Option<Found> {
    let mut reader = Reader { bytes: &bytes[contents.clone()], at: 0 };
    if reader.array()? != *MAGIC {
        return None;
    }
    let payload_len = usize::try_from(u64::from_le_bytes(reader.array()?)).ok()?;
    let meta = Meta {
        wasm_digest: reader.array()?,
        payload_digest: reader.array()?,
        key_id: KeyId(reader.array()?),
        target: reader.text()?,
        profile: reader.text()?,
        settings: reader.text()?,
        engine: reader.text()?,
    };
    let signed = contents.start..contents.start + reader.at;
    reader.take(SIGNATURE_BYTES)?;
    let padding = reader.bytes.len().checked_sub(reader.at)?.checked_sub(payload_len)?;
    let zeros = padding < PAGE_BYTES && reader.take(padding)?.iter().all(|&byte| byte == 0);
    let size = (1..=MAX_PAYLOAD_BYTES).contains(&payload_len);
    (zeros && size).then(|| Found { meta, signed, payload: contents.end - payload_len..contents.end })
}

/// Reads forward within bounds.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = u16::from_le_bytes(self.array()?);
        let text = self.take(len.into())?;
        is_valid_text(text).then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// An unsigned LEB128 number of 32 bits.
    /// <https://webassembly.github.io/spec/core/binary/values.html#integers>
    fn leb_u32(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }
}

/// A section of the file at its top level.
struct Section {
    whole: Range<usize>,
    /// The contents after the name, if it is one of ours.
    native: Option<Range<usize>>,
}

/// Walks the sections of a module or component; ends before the first that is damaged.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// `None` if this is neither a module nor a component.
fn sections(bytes: &[u8]) -> Option<Sections<'_>> {
    bytes.starts_with(b"\0asm").then_some(())?;
    (bytes.len() >= EMPTY_MODULE.len()).then_some(Sections { bytes, at: EMPTY_MODULE.len() })
}

impl Iterator for Sections<'_> {
    type Item = Section;

    fn next(&mut self) -> Option<Section> {
        let mut reader = Reader { bytes: self.bytes, at: self.at };
        let [id] = reader.array()?;
        let size = reader.leb_u32()? as usize;
        let body = reader.at..reader.at.checked_add(size)?;
        let contents = self.bytes.get(body.clone())?;
        let named = || {
            let mut reader = Reader { bytes: contents, at: 0 };
            let len = reader.leb_u32()? as usize;
            (reader.take(len)? == SECTION_NAME.as_bytes()).then_some(body.start + reader.at..body.end)
        };
        let native = if id == CUSTOM_SECTION { named() } else { None };
        let section = Section { whole: self.at..body.end, native };
        self.at = body.end;
        Some(section)
    }
}

/// The parts of the file that are not ours, in order, joined where they touch. What is no WebAssembly is kept.
fn kept(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut sections = sections(bytes);
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let ours = sections.as_mut().and_then(|all| all.find(|section| section.native.is_some()));
            let end = ours.as_ref().map_or(bytes.len(), |section| section.whole.start);
            let next = ours.as_ref().map_or(bytes.len(), |section| section.whole.end);
            let range = std::mem::replace(&mut at, next)..end;
            if !range.is_empty() {
                return Some(range);
            }
            ours?;
        }
    })
}

#[cfg(test)]
#[path = "artifact_tests.rs"]
mod tests;
