//! What is kept of images and files of the web: blobs by their digest, and what is known of manifests and tags. Shared by all processes
//! of this user.
//!
//! Layout of the folder (`$XDG_CACHE_HOME/sampan/images`, by default below `~/.cache`):
//!
//! - `blobs/ALGORITHM/HEX`: the bytes with this digest.
//! - `modules/ALGORITHM-HEX`: of a manifest, the digest of the code in it.
//! - `used/ALGORITHM-HEX`: of a blob that no manifest leads to, its digest; the file's time is that of its last use.
//! - `packages/HEX`: of a package in its registry, the reference that it had last.
//! - `tags/HEX`: of a reference with a tag, the digest of the manifest that it meant last.
//!
//! Every file is written under another name and renamed. A blob is hashed each time before it is used.

use crate::blob::{self, Hasher, Writer, is_whole};
use crate::{Digest, DigestAlgorithm, PullError, Reference};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// The blobs that were not used for longest go when there are more bytes than this.
const BLOBS_MAX_BYTES: u64 = 4 << 30;
/// A digest is one short line, and a reference not much longer.
const LINE_MAX_BYTES: u64 = 1024;

#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    max_bytes: u64,
}

impl Store {
    /// The user's: `$SAMPAN_CACHE_DIR`, else `$XDG_CACHE_HOME/sampan`, else `~/.cache/sampan`, and `images` in it.
    /// `None` where the environment names no place.
    pub fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("SAMPAN_CACHE_DIR")
            .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("sampan")))
            .or_else(|| variable("HOME").map(|dir| dir.join(".cache/sampan")))?;
        Some(Store::at(root.join("images"), BLOBS_MAX_BYTES))
    }

    pub fn at(root: PathBuf, max_bytes: u64) -> Self {
        Store { root, max_bytes }
    }

    /// A blob that is here and whole.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<PathBuf>, PullError> {
        let folder = self.folder(&format!("blobs/{}", digest.algorithm.name()))?;
        let (path, wanted) = (folder.join(&digest.hex), digest.clone());
        let checking = tokio::task::spawn_blocking(move || is_whole(&path, &wanted).then_some(path));
        checking.await.map_err(|error| self.failed(io::Error::other(error)))
    }

    /// The code of a manifest, if both are known.
    pub async fn module(&self, manifest: &Digest) -> Result<Option<PathBuf>, PullError> {
        let line = self.read("modules", &module_name(manifest))?;
        let Some(code) = line.and_then(|line| line.parse().ok()) else { return Ok(None) };
        let path = self.blob(&code).await?;
        if path.is_some() {
            self.touch("modules", manifest);
        }
        Ok(path)
    }

    /// Notes that a blob is used by its own digest.
    pub fn note_use(&self, digest: &Digest) -> Result<(), PullError> {
        if self.touch("used", digest) {
            return Ok(());
        }
        self.write("used", &module_name(digest), &digest.to_string())
    }

    /// Gives what is known by a digest the present time; whether there is something. Only the order of removal depends
    /// on it. The blob's own time must not change: by it, a server sees that it serves the same file as before.
    fn touch(&self, folder: &str, digest: &Digest) -> bool {
        let known = File::options().append(true).open(self.root.join(folder).join(module_name(digest)));
        known.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    pub fn set_module(&self, manifest: &Digest, code: &Digest) -> Result<(), PullError> {
        self.write("modules", &module_name(manifest), &code.to_string())
    }

    /// What a tag meant last.
    pub fn tag(&self, reference: &Reference) -> Result<Option<Digest>, PullError> {
        Ok(self.read("tags", &tag_name(reference))?.and_then(|line| line.parse().ok()))
    }

    pub fn set_tag(&self, reference: &Reference, manifest: &Digest) -> Result<(), PullError> {
        if self.tag(reference)?.as_ref() == Some(manifest) {
            return Ok(());
        }
        self.write("tags", &tag_name(reference), &manifest.to_string())
    }

    /// The reference that a package had last.
    pub fn package(&self, name: &str) -> Result<Option<Reference>, PullError> {
        Ok(self.read("packages", &hashed(name))?.and_then(|line| line.parse().ok()))
    }

    pub fn set_package(&self, name: &str, reference: &Reference) -> Result<(), PullError> {
        if self.package(name)?.as_ref() == Some(reference) {
            return Ok(());
        }
        self.write("packages", &hashed(name), &reference.to_string())
    }

    /// Takes the bytes of a new blob.
    pub fn writer(&self, algorithm: DigestAlgorithm) -> Result<Writer, PullError> {
        Writer::new(&self.folder(&format!("blobs/{}", algorithm.name()))?, algorithm)
    }

    /// Removes the blobs that were not used for longest, but not `keep`, until the rest is within the limit. What
    /// cannot be removed now is met again next time.
    pub fn shrink(&self, keep: &Path) {
        let mut last_used: HashMap<String, SystemTime> = HashMap::new();
        let folders = ["modules", "used"].iter().flat_map(|folder| {
            let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
            entries.map(move |entry| (folder, entry))
        });
        for (folder, entry) in folders {
            let line = self.read(folder, &entry.file_name().to_string_lossy()).ok().flatten();
            let code = line.and_then(|line| line.parse::<Digest>().ok());
            let time = entry.metadata().and_then(|metadata| metadata.modified());
            if let (Some(code), Ok(time)) = (code, time) {
                let latest = last_used.entry(code.hex).or_insert(time);
                *latest = time.max(*latest);
            }
        }
        let mut all = Vec::new();
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            let folder = self.root.join("blobs").join(algorithm.name());
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if entry.file_name().to_string_lossy().starts_with('.') {
                    // On its way here.
                    continue;
                }
                let used = last_used.get(&*entry.file_name().to_string_lossy()).copied();
                let used = used.or(metadata.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH);
                all.push((used, metadata.len(), entry.path()));
            }
        }
        let mut total: u64 = all.iter().map(|(_, bytes, _)| bytes).sum();
        all.sort();
        for (_, bytes, path) in all {
            if total <= self.max_bytes {
                return;
            }
            if path != keep && fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }

    fn read(&self, folder: &str, name: &str) -> Result<Option<String>, PullError> {
        let path = self.folder(folder)?.join(name);
        let mut text = String::new();
        match File::open(path).and_then(|file| file.take(LINE_MAX_BYTES).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(self.failed(error)),
            Ok(_) => Ok(Some(text)),
        }
    }

    fn write(&self, folder: &str, name: &str, text: &str) -> Result<(), PullError> {
        let folder = self.folder(folder)?;
        let writing = || {
            let mut file = NamedTempFile::new_in(&folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(folder.join(name))?;
            Ok(())
        };
        writing().map_err(|error| self.failed(error))
    }

    fn folder(&self, name: &str) -> Result<PathBuf, PullError> {
        let folder = self.root.join(name);
        blob::make_private(&folder).map_err(|error| self.failed(error))?;
        Ok(folder)
    }

    fn failed(&self, error: io::Error) -> PullError {
        PullError::Store { path: self.root.clone(), error }
    }
}

fn module_name(manifest: &Digest) -> String {
    format!("{}-{}", manifest.algorithm.name(), manifest.hex)
}

fn tag_name(reference: &Reference) -> String {
    hashed(&reference.to_string())
}

fn hashed(name: &str) -> String {
    Hasher::digest(DigestAlgorithm::Sha256, name.as_bytes()).hex
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
