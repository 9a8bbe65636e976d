//! The folder of images, an OCI image layout (opencontainers/image-spec, `image-layout.md`) that other tools can read.
//!
//! - `oci-layout`, `index.json`: which images there are. Each entry is a manifest; its annotation
//!   `org.opencontainers.image.ref.name` is the whole reference. An entry without it is an image that lost its name.
//! - `blobs/sha256/HEX`: manifests, configurations and layers.
//! - `roots/HEX`: unpacked layers, by chain id.
//! - `partial/HEX`: what came of blobs whose pull broke off.
//! - `steps/HEX`: what steps of builds made. `contexts/`: what builds unpack while they run.
//! - `blobs.lock`, `index.lock`, `roots.lock`, `use.lock`: see below.
//!
//! Several processes share it. Every file is written under another name and renamed. `index.json` is changed under
//! `index.lock`. Who adds blobs that nothing names yet holds `blobs.lock` with others, and who collects garbage holds it
//! alone. Who makes a container of an image holds `use.lock` with others, and who removes an image holds it alone.

use crate::blob::{Hasher, Writer, make_private};
use crate::document::Descriptor;
use crate::{Digest, DigestAlgorithm, ImageError};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Some ten thousands of images.
const INDEX_MAX_BYTES: u64 = 64 << 20;
/// The reference of an entry (image-spec, `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same for containerd, whose `ref.name` is the tag alone (containerd, `core/images/annotations.go`).
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Of an image that was taken from an index of a registry, the digest of that index.
pub const INDEX_DIGEST: &str = "dev.sampan.index.digest";

/// The folder; nothing is made before something is written.
#[derive(Clone, Debug)]
pub struct Layout {
    pub root: PathBuf,
}

/// A lock that is held as long as the value lives.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Layout {
    /// A folder in the layout, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, ImageError> {
        let folder = self.root.join(name);
        make_private(&folder).map_err(|error| ImageError::io(&folder, error))?;
        Ok(folder)
    }

    /// For whoever adds blobs, until something names them.
    pub fn adding(&self) -> Result<Held, ImageError> {
        self.lock("blobs.lock", FlockOperation::LockShared)
    }

    /// For whoever removes blobs; `None` while somebody adds some.
    pub fn collecting(&self) -> Result<Option<Held>, ImageError> {
        match self.lock("blobs.lock", FlockOperation::NonBlockingLockExclusive) {
            Err(ImageError::Io { error, .. }) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            held => held.map(Some),
        }
    }

    /// For whoever makes something that needs an image, until that is known.
    pub fn using(&self) -> Result<Held, ImageError> {
        self.lock("use.lock", FlockOperation::LockShared)
    }

    /// For whoever removes images that nothing needs.
    pub fn removing(&self) -> Result<Held, ImageError> {
        self.lock("use.lock", FlockOperation::LockExclusive)
    }

    /// For whoever unpacks: one at a time, so that nobody does what another does already.
    pub fn unpacking(&self) -> Result<Held, ImageError> {
        self.lock("roots.lock", FlockOperation::LockExclusive)
    }

    fn lock(&self, name: &str, how: FlockOperation) -> Result<Held, ImageError> {
        let path = self.folder("")?.join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let locked = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).and_then(|file| {
            flock(&file, how)?;
            Ok(file)
        });
        let file = locked.map_err(|error| ImageError::io(&path, error.into()))?;
        Ok(Held { _file: File::from(file) })
    }

    /// What `index.json` says now.
    pub fn entries(&self) -> Result<Vec<Descriptor>, ImageError> {
        let path = self.root.join("index.json");
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(INDEX_MAX_BYTES).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ImageError::io(&path, error)),
            Ok(_) => {}
        }
        let index: Result<Index, _> = serde_json::from_slice(&bytes);
        let index = index.map_err(|error| {
            let what =
                format!("{} is malformed: {error}; move it away and pull the images again", path.display());
            ImageError::Malformed(what)
        })?;
        Ok(index.manifests)
    }

    /// Changes `index.json`, with nobody in between. Nothing changes if `change` fails.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Descriptor>) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let _held = self.lock("index.lock", FlockOperation::LockExclusive)?;
        let mut manifests = self.entries()?;
        let before = manifests.clone();
        let result = change(&mut manifests)?;
        if manifests == before {
            return Ok(result);
        }
        if !self.root.join("oci-layout").exists() {
            self.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        self.write("index.json", &index(manifests)?)?;
        Ok(result)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let path = self.root.join(name);
        write_whole(&path, bytes).map_err(|error| ImageError::io(&path, error))
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm.name()).join(&digest.hex)
    }

    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// A blob as it lies there. Who reads it checks its digest.
    pub fn open(&self, digest: &Digest) -> Result<File, ImageError> {
        let path = self.path(digest);
        match rustix::fs::open(&path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(rustix::io::Errno::NOENT) => Err(ImageError::Missing(digest.clone())),
            Err(error) => Err(ImageError::io(&path, error.into())),
        }
    }

    /// A document that is what its digest says.
    pub fn read(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, ImageError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let reading = self.open(digest)?.take(max_bytes + 1).read_to_end(&mut bytes);
        reading.map_err(|error| ImageError::io(&path, error))?;
        if bytes.len() as u64 > max_bytes {
            return Err(ImageError::Malformed(format!(
                "the document {digest} has more than {max_bytes} bytes"
            )));
        }
        let found = Hasher::digest(digest.algorithm, &bytes);
        if found != *digest {
            return Err(ImageError::Damaged { what: "the document", expected: digest.clone(), found });
        }
        Ok(bytes)
    }

    /// Takes the bytes of a new blob. The caller holds [`Layout::adding`].
    pub fn writer(&self, algorithm: DigestAlgorithm) -> Result<Writer, ImageError> {
        Ok(Writer::new(&self.folder(&format!("blobs/{}", algorithm.name()))?, algorithm)?)
    }

    /// Keeps some bytes as a blob. The caller holds [`Layout::adding`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        let mut writer = self.writer(DigestAlgorithm::Sha256)?;
        writer.write(bytes)?;
        let blob = writer.done();
        let digest = blob.digest();
        if !self.has(&digest) {
            blob.keep_now()?;
        }
        Ok(digest)
    }
}

/// The text of an `index.json`.
pub fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>, ImageError> {
    let media_type = crate::document::INDEX.to_owned();
    let index = Index { schema_version: 2, media_type, manifests };
    serde_json::to_vec(&index).map_err(|error| ImageError::Malformed(error.to_string()))
}

/// The entries in the text of an `index.json`.
pub fn parse_index(bytes: &[u8]) -> Result<Vec<Descriptor>, serde_json::Error> {
    serde_json::from_slice::<Index>(bytes).map(|index| index.manifests)
}

/// Under another name first, and on the disk before it gets its own.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is on the disk when its folder is.
    fs::File::open(folder)?.sync_all()
}
