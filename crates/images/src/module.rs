//! Which part of an image is the code.
//!
//! - CNCF's wasm artifact (tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact): a layer `application/wasm`.
//! - What came before it: `application/vnd.wasm.content.layer.v1+wasm` (Krustlet and wasm-to-oci) and
//!   `application/vnd.module.wasm.content.layer.v1+wasm` (solo-io/wasm, spec/README.md).
//! - Its "compat" variant for registries that take images only (solo-io/wasm, spec/spec-compat.md), as Istio and
//!   Envoy Gateway use it: one archive with `plugin.wasm`.

use crate::PullError;
use crate::blob::{Blob, Writer};
use crate::document::{ARCHITECTURES, Descriptor, Index, Manifest, Platform};
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use tar::{Archive, Entry};

pub const MODULES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
const ARCHIVES: [&str; 2] =
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"];
/// Operating systems of the platform, the preferred first.
const SYSTEMS: [&str; 3] = ["wasi", "wasip1", "wasip2"];
/// The file of a compat image.
const PLUGIN: &[u8] = b"plugin.wasm";
/// An image of one file has few.
const ENTRIES_MAX: usize = 10_000;
/// Of what was found instead, so many things are named.
const NAMED_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The layer is the module.
    Plain,
    /// The layer is an archive with the module inside.
    Archive,
}

/// The entry of an index that is for WebAssembly.
pub fn platform(index: &Index) -> Result<&Descriptor, PullError> {
    let is_for = |one: &&Descriptor, os: &str| {
        one.platform
            .as_ref()
            .is_some_and(|one| one.os == os && ARCHITECTURES.contains(&one.architecture.as_str()))
    };
    let found = SYSTEMS.iter().find_map(|os| index.manifests.iter().find(|one| is_for(one, os)));
    found.ok_or_else(|| PullError::NoPlatform(named(index.manifests.iter().map(platform_name))))
}

/// What an entry of an index says it is for.
pub fn platform_name(entry: &Descriptor) -> String {
    entry.platform.as_ref().map_or("an image for no platform".to_owned(), Platform::to_string)
}

/// The layer that is the code, or that it is in.
pub fn layer(manifest: &Manifest) -> Result<(&Descriptor, Packing), PullError> {
    let is_module = |one: &&Descriptor| MODULES.contains(&one.media_type.as_str());
    let mut modules = manifest.layers.iter().filter(is_module);
    if let (Some(one), None) = (modules.next(), modules.next()) {
        return Ok((one, Packing::Plain));
    }
    if let [one] = manifest.layers.as_slice()
        && ARCHIVES.contains(&one.media_type.as_str())
    {
        return Ok((one, Packing::Archive));
    }
    let config = manifest.config.iter().map(|config| format!("the configuration {}", config.media_type));
    let layers = manifest.layers.iter().map(|layer| match layer.media_type.as_str() {
        "" => "a layer of no type".to_owned(),
        media_type => media_type.to_owned(),
    });
    Err(PullError::NoModule(named(layers.chain(config))))
}

/// What was found, for a message: it comes from a stranger.
pub fn named(all: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut more = 0;
    for name in all {
        let name: String = name.chars().filter(|one| !one.is_control()).take(100).collect();
        match names.len() < NAMED_MAX {
            true => names.push(name),
            false => more += 1,
        }
    }
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// The module that is in an archive: `plugin.wasm`, or the only file that ends so. Nothing is written but the module,
/// and that under a name of ours.
pub async fn unpack(archive: Blob, writer: Writer, max_bytes: u64) -> Result<Blob, PullError> {
    let unpacking = tokio::task::spawn_blocking(move || {
        let which = find(&archive, max_bytes)?;
        copy(&archive, which, writer, max_bytes)
    });
    unpacking.await.map_err(|error| damaged(&io::Error::other(error)))?
}

type Tar = Archive<io::Take<MultiGzDecoder<io::BufReader<std::fs::File>>>>;

/// The archive as a stream, which is cut off some way after the largest module.
fn open(archive: &Blob, max_bytes: u64) -> Result<Tar, PullError> {
    let unzipped = MultiGzDecoder::new(io::BufReader::new(archive.open()?));
    Ok(Archive::new(unzipped.take(max_bytes.saturating_mul(2))))
}

/// Entries as they stand: names that are longer than a header's field are cut, which no name that counts is, and
/// nothing of an entry is held in memory.
fn entries(tar: &mut Tar) -> Result<impl Iterator<Item = io::Result<Entry<'_, impl Read>>>, PullError> {
    Ok(tar.entries().map_err(|error| damaged(&error))?.raw(true).take(ENTRIES_MAX))
}

/// Which entry is the module.
fn find(archive: &Blob, max_bytes: u64) -> Result<usize, PullError> {
    let mut tar = open(archive, max_bytes)?;
    let (mut modules, mut files) = (Vec::new(), Vec::new());
    for (at, entry) in entries(&mut tar)?.enumerate() {
        let entry = entry.map_err(|error| damaged(&error))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path_bytes();
        let name = name.strip_prefix(b"./").or(name.strip_prefix(b"/")).unwrap_or(&name);
        if name == PLUGIN {
            return Ok(at);
        }
        if name.ends_with(b".wasm") {
            modules.push(at);
        }
        if files.len() <= NAMED_MAX {
            files.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    match modules.as_slice() {
        [at] => Ok(*at),
        _ => Err(PullError::NoModule(format!("a layer with the files: {}", named(files.into_iter())))),
    }
}

fn copy(archive: &Blob, which: usize, mut writer: Writer, max_bytes: u64) -> Result<Blob, PullError> {
    let mut tar = open(archive, max_bytes)?;
    let entry = entries(&mut tar)?.nth(which);
    let mut entry = entry
        .transpose()
        .map_err(|error| damaged(&error))?
        .ok_or_else(|| PullError::Malformed("its layer is another at the second reading".to_owned()))?;
    let bytes = entry.header().size().map_err(|error| damaged(&error))?;
    if bytes > max_bytes {
        return Err(PullError::TooLarge { bytes, max: max_bytes });
    }
    let mut buffer = vec![0; 64 << 10];
    let mut written = 0;
    loop {
        match entry.read(&mut buffer).map_err(|error| damaged(&error))? {
            0 if written == bytes => return Ok(writer.done()),
            0 => return Err(damaged(&io::ErrorKind::UnexpectedEof.into())),
            count => {
                writer.write(&buffer[..count])?;
                written += count as u64;
            }
        }
    }
}

fn damaged(error: &io::Error) -> PullError {
    PullError::Malformed(format!("its layer is no archive that could be read: {error}"))
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
