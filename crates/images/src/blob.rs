//! Blobs on their way into a folder: hashed while they come, and under their names only when they are whole.

use crate::{Digest, DigestAlgorithm, PullError};
use ring::digest::{Context, SHA256, SHA512};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// A temporary file of this age belongs to a process that was killed.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Makes a folder for this user alone: whoever can write here can choose what is executed.
pub fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = fs::metadata(folder)?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user || metadata.mode() & 0o022 != 0 {
        let what = format!("{} belongs to another user or is writable by others", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

/// Whether a file is there with these bytes.
pub fn is_whole(path: &Path, digest: &Digest) -> bool {
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
#[derive(Clone)]
pub struct Hasher {
    algorithm: DigestAlgorithm,
    context: Context,
}

impl Hasher {
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let context = Context::new(match algorithm {
            DigestAlgorithm::Sha256 => &SHA256,
            DigestAlgorithm::Sha512 => &SHA512,
        });
        Hasher { algorithm, context }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub fn finish(self) -> Digest {
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
    /// In `folder`, where the blob is to be.
    pub fn new(folder: &Path, algorithm: DigestAlgorithm) -> Result<Self, PullError> {
        sweep(folder);
        let file = NamedTempFile::new_in(folder)
            .map_err(|error| PullError::Store { path: folder.to_owned(), error })?;
        Ok(Writer { file, hasher: Hasher::new(algorithm), folder: folder.to_owned() })
    }

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
        let keeping = tokio::task::spawn_blocking(move || self.keep_now()).await;
        keeping.unwrap_or_else(|error| Err(PullError::Store { path: folder, error: io::Error::other(error) }))
    }

    /// The same, in the calling thread.
    pub fn keep_now(self) -> Result<PathBuf, PullError> {
        let path = self.folder.join(&self.digest.hex);
        let keeping = || {
            self.file.as_file().sync_all()?;
            self.file.persist(&path)?;
            Ok(path)
        };
        keeping().map_err(|error| PullError::Store { path: self.folder, error })
    }

    fn failed(&self, error: io::Error) -> PullError {
        PullError::Store { path: self.folder.clone(), error }
    }
}
