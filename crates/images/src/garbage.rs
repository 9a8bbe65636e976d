//! Removes what no image leads to: blobs, unpacked layers, and what builds remember of them.

use crate::document::{Document, document};
use crate::form::plan;
use crate::images::{CONFIG_MAX_BYTES, Images, MANIFEST_MAX_BYTES};
use crate::{Digest, ImageError};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What came of a pull is worth keeping so long, and no build takes longer.
const PARTIAL_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    pub bytes: u64,
}

impl Images {
    /// Removes blobs and unpacked layers that no image leads to. While somebody adds some, nothing is done: what he adds
    /// has no name yet.
    pub fn collect_garbage(&self) -> Result<Garbage, ImageError> {
        if !self.layout.root.exists() {
            return Ok(Garbage::default());
        }
        let Some(_held) = self.layout.collecting()? else { return Ok(Garbage::default()) };
        let (mut blobs, mut roots) = (HashSet::new(), HashSet::new());
        for entry in self.layout.entries()? {
            self.mark(&entry.digest, &mut blobs, &mut roots);
        }
        let mut garbage = Garbage::default();
        for algorithm in ["sha256", "sha512"] {
            let is_garbage = |name: &str| !blobs.contains(&format!("{algorithm}:{name}"));
            garbage.bytes += sweep(&self.layout.root.join("blobs").join(algorithm), is_garbage);
        }
        garbage.bytes += sweep(&self.layout.root.join("roots"), |name| !roots.contains(name));
        crate::build::forget_steps(self);
        for folder in ["partial", "contexts"] {
            garbage.bytes += self.sweep_old(folder);
        }
        Ok(garbage)
    }

    /// Removes what somebody may still need for a while, when that is over.
    fn sweep_old(&self, folder: &str) -> u64 {
        let folder = self.layout.root.join(folder);
        sweep(&folder, |name| {
            let age =
                fs::metadata(folder.join(name)).and_then(|found| found.modified()).map(|time| time.elapsed());
            !matches!(age, Ok(Ok(age)) if age < PARTIAL_KEPT)
        })
    }

    /// Notes what a manifest or an index leads to. What cannot be read leads nowhere.
    fn mark(&self, digest: &Digest, blobs: &mut HashSet<String>, roots: &mut HashSet<String>) {
        let mut to_do = vec![digest.clone()];
        while let Some(digest) = to_do.pop() {
            if !blobs.insert(digest.to_string()) {
                continue;
            }
            let Ok(bytes) = self.layout.read(&digest, MANIFEST_MAX_BYTES) else { continue };
            match document(&bytes) {
                Ok(Document::Index(index)) => to_do.extend(index.manifests.into_iter().map(|one| one.digest)),
                Ok(Document::Manifest(manifest)) => {
                    let config = manifest.config.as_ref();
                    let bytes = config.and_then(|one| self.layout.read(&one.digest, CONFIG_MAX_BYTES).ok());
                    if let Some(plan) = bytes.and_then(|bytes| plan(&digest, &manifest, &bytes).ok()) {
                        roots.insert(plan.root.hex);
                    }
                    blobs.extend(manifest.layers.iter().chain(config).map(|one| one.digest.to_string()));
                }
                Err(_) => {}
            }
        }
    }
}

/// Removes what is garbage in a folder; how many bytes. What cannot be removed now is met again next time.
pub fn sweep(folder: &Path, is_garbage: impl Fn(&str) -> bool) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(found) = entry.metadata() else { continue };
        if name.to_str().is_some_and(|name| !is_garbage(name)) {
            continue;
        }
        let size = if found.is_dir() { tree_bytes(&entry.path()) } else { found.len() };
        let removed =
            if found.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        if removed.is_ok() {
            bytes += size;
        }
    }
    bytes
}

pub fn tree_bytes(root: &Path) -> u64 {
    let mut total = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => total += found.len(),
                Err(_) => {}
            }
        }
    }
    total
}
