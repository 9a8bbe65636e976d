//! Images that another store has, whose files that store does not unpack because they are no archives: wasm files, and
//! apps of Spin. Their files are made once and kept; how to start them comes with them.
//!
//! containerd unpacks the layers whose types say that they are archives, and leaves others alone
//! (containerd, `core/unpack/unpacker.go`, `core/images/mediatypes.go`).

use crate::blob::Hasher;
use crate::document::{Descriptor, Document, Manifest, document};
use crate::form::{Piece, has_artifact, plan};
use crate::garbage::{sweep, tree_bytes};
use crate::images::{CONFIG_MAX_BYTES, Images, MANIFEST_MAX_BYTES};
use crate::{Digest, ImageError, PullError, module};
use std::fs::{self, FileTimes};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Of the files of all artifacts. The ones that were not used for longest go first.
const KEPT_MAX_BYTES: u64 = 4 << 30;
/// Somebody may still be copying what was asked for in this time.
const IN_USE: Duration = Duration::from_secs(3600);

/// The files of an artifact.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// They are shared by all who use it, and nobody may change them.
    pub folder: PathBuf,
    /// What it starts with, by its path in the container.
    pub entry: String,
}

/// Opens a blob of the other store. Its bytes are checked here.
pub type Open<'a> = &'a mut dyn FnMut(&Descriptor) -> std::io::Result<Box<dyn Read>>;

impl Images {
    /// The files of an image that its store does not unpack; `None` where it unpacks all there is.
    ///
    /// # Errors
    /// If the image is malformed or damaged, or the other store fails. Nothing half-done stays.
    pub fn artifact(&self, target: &Descriptor, open: Open<'_>) -> Result<Option<Artifact>, ImageError> {
        let adding = self.layout.adding()?;
        // 1. What is it?
        let Some((digest, manifest)) = self.manifest_of(target, open)? else { return Ok(None) };
        let config = match &manifest.config {
            Some(config) if has_artifact(&manifest) => config,
            _ => return Ok(None),
        };
        self.check_sizes(&manifest, config)?;
        let plan = plan(&digest, &manifest, &read(config, CONFIG_MAX_BYTES, open)?)?;
        let inner = plan.config.config().as_ref();
        let entry = inner.and_then(|inner| inner.entrypoint().as_ref()?.first().cloned());
        let entry = entry.ok_or_else(|| {
            ImageError::NoEntrypoint("it has several wasm files, and names none of them".to_owned())
        })?;

        // 2. Its files, made if nobody has done that. Archives are the other store's affair.
        let pieces: Vec<Piece> =
            plan.pieces.into_iter().filter(|piece| !matches!(piece, Piece::Archive { .. })).collect();
        let known = self.layout.root.join("roots").join(&plan.root.hex);
        let is_new = !known.is_dir();
        if is_new {
            for layer in pieces.iter().flat_map(Piece::layers) {
                self.copy(layer, open)?;
            }
        }
        let folder = self.unpacked(&plan.root, &pieces)?;
        // It only counts as older where this fails.
        let _ = fs::File::open(&folder)
            .and_then(|folder| folder.set_times(FileTimes::new().set_modified(SystemTime::now())));
        drop(adding);
        if is_new {
            self.forget_artifacts()?;
        }
        Ok(Some(Artifact { folder, entry }))
    }

    fn manifest_of(
        &self,
        target: &Descriptor,
        open: Open<'_>,
    ) -> Result<Option<(Digest, Manifest)>, ImageError> {
        let index = match document(&read(target, MANIFEST_MAX_BYTES, open)?)? {
            Document::Manifest(manifest) => return Ok(Some((target.digest.clone(), manifest))),
            Document::Index(index) => index,
        };
        // An index without anything for WebAssembly is somebody else's.
        let Ok(chosen) = module::platform(&index) else { return Ok(None) };
        match document(&read(chosen, MANIFEST_MAX_BYTES, open)?)? {
            Document::Manifest(manifest) => Ok(Some((chosen.digest.clone(), manifest))),
            Document::Index(_) => Ok(None),
        }
    }

    /// Takes a blob over, unless it is here.
    fn copy(&self, layer: &Descriptor, open: Open<'_>) -> Result<(), ImageError> {
        if self.layout.has(&layer.digest) {
            return Ok(());
        }
        let failed = |error| ImageError::io(&self.layout.root, error);
        let mut from = open(layer).map_err(failed)?;
        let mut writer = self.layout.writer(layer.digest.algorithm)?;
        let mut buffer = vec![0; 256 << 10];
        let mut left = layer.size;
        loop {
            let count = from.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| {
                ImageError::Malformed(format!("the layer {} is longer than its manifest says", layer.digest))
            })?;
            writer.write(&buffer[..count])?;
        }
        let blob = writer.done();
        let found = blob.digest();
        if found != layer.digest {
            return Err(ImageError::Damaged { what: "the layer", expected: layer.digest.clone(), found });
        }
        blob.keep_now()?;
        Ok(())
    }

    /// Removes blobs, which are of use only until their files are made, and the files of artifacts that nobody has used
    /// for longest, if they are too many. While somebody adds some, nothing is done.
    fn forget_artifacts(&self) -> Result<(), ImageError> {
        let Some(_held) = self.layout.collecting()? else { return Ok(()) };
        for algorithm in ["sha256", "sha512"] {
            sweep(&self.layout.root.join("blobs").join(algorithm), |_| true);
        }
        let roots = self.layout.root.join("roots");
        let mut kept: Vec<(SystemTime, u64, String)> = Vec::new();
        for entry in fs::read_dir(&roots).into_iter().flatten().flatten() {
            let used = entry.metadata().and_then(|found| found.modified());
            if let (Ok(used), Ok(name)) = (used, entry.file_name().into_string()) {
                kept.push((used, tree_bytes(&entry.path()), name));
            }
        }
        let old = SystemTime::now() - IN_USE;
        for name in too_many(kept, KEPT_MAX_BYTES, old) {
            sweep(&roots, |one| one == name);
        }
        Ok(())
    }
}

/// A document of the other store that is what its digest says.
fn read(described: &Descriptor, max_bytes: u64, open: Open<'_>) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let from =
        open(described).map_err(|error| ImageError::io(Path::new(&described.digest.to_string()), error))?;
    from.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ImageError::io(Path::new(&described.digest.to_string()), error))?;
    if bytes.len() as u64 > max_bytes {
        return Err(PullError::TooLarge { bytes: bytes.len() as u64, max: max_bytes }.into());
    }
    let found = Hasher::digest(described.digest.algorithm, &bytes);
    if found != described.digest {
        return Err(ImageError::Damaged { what: "the document", expected: described.digest.clone(), found });
    }
    Ok(bytes)
}

/// The names of what has to go, so that the rest is within the limit.
fn too_many(mut kept: Vec<(SystemTime, u64, String)>, max_bytes: u64, old: SystemTime) -> Vec<String> {
    kept.sort();
    let mut total: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
    let mut gone = Vec::new();
    for (used, bytes, name) in kept {
        if total <= max_bytes || used >= old {
            break;
        }
        total -= bytes;
        gone.push(name);
    }
    gone
}

#[cfg(test)]
#[path = "artifact_tests.rs"]
mod tests;
