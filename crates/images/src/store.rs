//! What is kept of images: blobs by their digest, and what is known of manifests and tags. Shared by all processes
//! of this user.
//!
//! Layout of the folder (`$XDG_CACHE_HOME/sampan/images`, by default below `~/.cache`):
//!
//! - `blobs/ALGORITHM/HEX`: the bytes with this digest.
//! - `modules/ALGORITHM-HEX`: of a manifest, the digest of the code in it.
//! - `tags/HEX`: of a reference with a tag, the digest of the manifest that it meant last.
//!
//! Every file is written under another name and renamed. A blob is hashed each time before it is used.

use crate::{Digest, DigestAlgorithm, PullError, Reference};
use ring::digest::{Context, SHA256, SHA512};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// The blobs that were not used for longest go when there are more bytes than this.
const BLOBS_MAX_BYTES: u64 = 4 << 30;
/// A temporary file of this age belongs to a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// A digest is one short line.
const LINE_MAX_BYTES: u64 = 200;

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
            // Only the order of removal depends on it. The blob's own time must not change: by it, a server sees
            // that it serves the same file as before.
            let known =
                File::options().append(true).open(self.root.join("modules").join(module_name(manifest)));
            let _ = known.and_then(|file| file.set_modified(SystemTime::now()));
        }
        Ok(path)
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

    /// Takes the bytes of a new blob.
    pub fn writer(&self, algorithm: DigestAlgorithm) -> Result<Writer, PullError> {
        let folder = self.folder(&format!("blobs/{}", algorithm.name()))?;
        sweep(&folder);
        let file = NamedTempFile::new_in(&folder).map_err(|error| self.failed(error))?;
        Ok(Writer { file, hasher: Hasher::new(algorithm), folder })
    }

    /// Removes the blobs that were not used for longest, but not `keep`, until the rest is within the limit. What
    /// cannot be removed now is met again next time.
    pub fn shrink(&self, keep: &Path) {
        let mut last_used: HashMap<String, SystemTime> = HashMap::new();
        for entry in fs::read_dir(self.root.join("modules")).into_iter().flatten().flatten() {
            let line = self.read("modules", &entry.file_name().to_string_lossy()).ok().flatten();
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

    /// A folder of the store, for this user alone: whoever can write here can choose what is executed.
    fn folder(&self, name: &str) -> Result<PathBuf, PullError> {
        let folder = self.root.join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let metadata = made.and_then(|()| fs::metadata(&folder)).map_err(|error| self.failed(error))?;
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user || metadata.mode() & 0o022 != 0 {
            let what = format!("{} belongs to another user or is writable by others", folder.display());
            return Err(self.failed(io::Error::new(io::ErrorKind::PermissionDenied, what)));
        }
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
    Hasher::digest(DigestAlgorithm::Sha256, reference.to_string().as_bytes()).hex
}

/// Whether a file is there with these bytes.
fn is_whole(path: &Path, digest: &Digest) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    let mut file = File::from(file);
    let mut hasher = Hasher::new(digest.algorithm);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(_) => return false,
        }
    }
    hasher.finish() == *digest
}

/// Removes what processes left behind that were killed.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        let old = matches!(age, Ok(Ok(age)) if age > ABANDONED_AFTER);
        if old && entry.file_name().to_string_lossy().starts_with('.') {
            // Another process may have done it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A digest in the making.
pub struct Hasher {
    algorithm: DigestAlgorithm,
    context: Context,
}

impl Hasher {
    fn new(algorithm: DigestAlgorithm) -> Self {
        let context = Context::new(match algorithm {
            DigestAlgorithm::Sha256 => &SHA256,
            DigestAlgorithm::Sha512 => &SHA512,
        });
        Hasher { algorithm, context }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    fn finish(self) -> Digest {
        let bytes = self.context.finish();
        let hex = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { algorithm: self.algorithm, hex }
    }

    pub fn digest(algorithm: DigestAlgorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// A blob that comes. If it is dropped, nothing of it stays.
pub struct Writer {
    file: NamedTempFile,
    hasher: Hasher,
    folder: PathBuf,
}

impl Writer {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|error| PullError::Store { path: self.folder.clone(), error })
    }

    pub fn done(self) -> Blob {
        Blob { file: self.file, digest: self.hasher.finish(), folder: self.folder }
    }
}

/// A blob that has come, and has no name yet. If it is dropped, nothing of it stays.
pub struct Blob {
    file: NamedTempFile,
    digest: Digest,
    folder: PathBuf,
}

impl Blob {
    pub fn digest(&self) -> Digest {
        self.digest.clone()
    }

    /// Its bytes, from the first.
    pub fn open(&self) -> Result<File, PullError> {
        let mut file = self.file.reopen().map_err(|error| self.failed(error))?;
        file.rewind().map_err(|error| self.failed(error))?;
        Ok(file)
    }

    /// Gives it its name; where.
    pub async fn keep(self) -> Result<PathBuf, PullError> {
        let folder = self.folder.clone();
        let path = folder.join(&self.digest.hex);
        let keeping = tokio::task::spawn_blocking(move || {
            self.file.as_file().sync_all()?;
            self.file.persist(&path)?;
            Ok(path)
        });
        let kept = keeping.await.map_err(io::Error::other).and_then(|kept: io::Result<_>| kept);
        kept.map_err(|error| PullError::Store { path: folder, error })
    }

    fn failed(&self, error: io::Error) -> PullError {
        PullError::Store { path: self.folder.clone(), error }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
