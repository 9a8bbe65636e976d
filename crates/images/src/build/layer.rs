//! Layers of files: the same files make the same bytes, on every day and machine.

use super::context::{Content, Entry};
use crate::blob::Hasher;
use crate::document::Descriptor;
use crate::images::Images;
use crate::layout::write_whole;
use crate::rootfs::Hashing;
use crate::{Digest, DigestAlgorithm, ImageError};
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

const KIND: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A step is a short document.
const STEP_MAX_BYTES: u64 = 64 << 10;
/// Changes whenever the same step would make something else.
const VERSION: &str = "1";
/// What is made must be what its key says.
const CHANGED: &str = "it changed while it was read";

/// What a step of a build made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Step {
    pub layer: Descriptor,
    /// Of its plain bytes.
    pub diff_id: String,
}

/// What a step of an earlier build made, if it is known.
pub fn read_step(path: &Path) -> Option<Step> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(STEP_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The layer with these entries, which are sorted; `true` if an earlier step made it.
pub fn layer(
    images: &Images,
    entries: &[Entry],
    epoch_s: u64,
    no_cache: bool,
) -> Result<(Step, bool), ImageError> {
    let (key, contents) = key(entries, epoch_s)?;
    let steps = images.layout.folder("steps")?;
    let path = steps.join(&key.hex);
    if !no_cache
        && let Some(step) = read_step(&path)
        && images.layout.has(&step.layer.digest)
    {
        return Ok((step, true));
    }
    let writer = images.layout.writer(DigestAlgorithm::Sha256)?;
    // No name and no time of its own in the head.
    let gzip =
        GzBuilder::new().mtime(0).write(Blob { writer, bytes: 0, error: None }, Compression::default());
    let mut builder = Builder::new(Hashed { to: gzip, hasher: Hasher::new(DigestAlgorithm::Sha256) });
    for (entry, content) in entries.iter().zip(&contents) {
        append(&mut builder, entry, epoch_s, content.as_ref())?;
    }
    let place = images.layout.path(&key);
    let failed = |error| ImageError::io(&place, error);
    let hashed = builder.into_inner().map_err(failed)?;
    let diff_id = hashed.hasher.finish();
    let blob = hashed.to.finish().map_err(failed)?;
    if let Some(error) = blob.error {
        return Err(error);
    }
    let (bytes, blob) = (blob.bytes, blob.writer.done());
    let digest = blob.digest();
    if !images.layout.has(&digest) {
        blob.keep_now()?;
    }
    let layer = Descriptor {
        media_type: KIND.to_owned(),
        digest,
        size: bytes,
        platform: None,
        annotations: BTreeMap::new(),
    };
    let step = Step { layer, diff_id: diff_id.to_string() };
    let text = serde_json::to_vec(&step).map_err(|error| ImageError::Malformed(error.to_string()))?;
    write_whole(&path, &text).map_err(|error| ImageError::io(&path, error))?;
    Ok((step, false))
}

/// What says all of a layer: its entries with the digests of their contents. And those of files.
fn key(entries: &[Entry], epoch_s: u64) -> Result<(Digest, Vec<Option<Digest>>), ImageError> {
    let mut contents = Vec::with_capacity(entries.len());
    let mut hasher = Hasher::new(DigestAlgorithm::Sha256);
    hasher.update(format!("{VERSION} {epoch_s}\n").as_bytes());
    for entry in entries {
        let mut of_file = None;
        let content = match &entry.content {
            Content::Folder => "folder".to_owned(),
            Content::Link(target) => {
                format!("link {}", Hasher::digest(DigestAlgorithm::Sha256, target.as_bytes()))
            }
            Content::Bytes(bytes) => format!("file {}", Hasher::digest(DigestAlgorithm::Sha256, bytes)),
            Content::File(path) => format!("file {}", of_file.insert(digest_of(path)?)),
        };
        contents.push(of_file);
        let Entry { path, mode, user, group, .. } = entry;
        // The name is last and its length known, so that no two lists read alike.
        hasher.update(format!("{content} {mode:o} {user} {group} {} {path}\n", path.len()).as_bytes());
    }
    Ok((hasher.finish(), contents))
}

fn digest_of(path: &Path) -> Result<Digest, ImageError> {
    let reading = || {
        let mut hashing = Hashing::new(File::open(path)?, DigestAlgorithm::Sha256);
        io::copy(&mut hashing, &mut io::sink())?;
        Ok(hashing.hasher.finish())
    };
    reading().map_err(|error| ImageError::io(path, error))
}

fn append<W: Write>(
    builder: &mut Builder<W>,
    entry: &Entry,
    epoch_s: u64,
    expected: Option<&Digest>,
) -> Result<(), ImageError> {
    let mut header = Header::new_ustar();
    header.set_mode(entry.mode);
    header.set_uid(u64::from(entry.user));
    header.set_gid(u64::from(entry.group));
    header.set_mtime(epoch_s);
    header.set_size(0);
    let path = Path::new(&entry.path);
    let appended = match &entry.content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{}/", entry.path), io::empty())
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
        Content::File(file) => {
            let opened = File::open(file).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
            let (size, opened) = opened.map_err(|error| ImageError::io(file, error))?;
            header.set_size(size);
            let exactly = Exactly { from: opened, left: size };
            let mut content = Hashing::new(exactly, DigestAlgorithm::Sha256);
            builder.append_data(&mut header, path, &mut content).and_then(|()| {
                if Some(&content.hasher.finish()) == expected {
                    Ok(())
                } else {
                    Err(io::Error::other(CHANGED))
                }
            })
        }
    };
    appended.map_err(|error| ImageError::io(path, error))
}

/// So many bytes of a file that may change meanwhile: fewer are an error, and more are not read.
struct Exactly {
    from: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.from.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::other(CHANGED));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Digests what goes through it.
struct Hashed<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A blob that is written as a stream.
struct Blob {
    writer: crate::blob::Writer,
    bytes: u64,
    error: Option<ImageError>,
}

impl Write for Blob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.writer.write(bytes) {
            Ok(()) => self.bytes += bytes.len() as u64,
            Err(error) => {
                let error = ImageError::from(error);
                // Of the same kind, because a full disk is told otherwise than a wrong path.
                let kind = match &error {
                    ImageError::Io { error, .. } => error.kind(),
                    _ => io::ErrorKind::Other,
                };
                let passed_on = io::Error::new(kind, error.to_string());
                self.error = Some(error);
                return Err(passed_on);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Forgets steps whose layer is gone.
pub fn forget_steps(images: &Images) {
    let steps = images.layout.root.join("steps");
    for entry in fs::read_dir(steps).into_iter().flatten().flatten() {
        if !read_step(&entry.path()).is_some_and(|step| images.layout.has(&step.layer.digest)) {
            // It is met again next time.
            let _ = fs::remove_file(entry.path());
        }
    }
}
