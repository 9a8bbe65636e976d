//! Unpacks archives of layers (opencontainers/image-spec, `layer.md`) into a folder that nobody else uses yet.
//!
//! An archive is a stranger's. Nothing is written but below the root: names with `..` are refused, links are kept as
//! text, and where a name leads through one, it is looked up as inside a container: the root is `/`. Devices, pipes and
//! sockets are left out, and so are the bits by which a program would get another's rights.

use super::tree::{Tree, TreeError};
use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use tar::{Archive, Entry, EntryType, Header};

/// Extended headers and long names; real ones have some hundred bytes.
const EXTENDED_MAX_BYTES: u64 = 1 << 20;
/// PATH_MAX of Linux.
const NAME_MAX_BYTES: usize = 4096;
/// What marks that something of a lower layer is gone.
const WHITEOUT: &[u8] = b".wh.";
/// All that lower layers have in the folder is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What all layers of an image may have together.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Of the plain archives.
    pub bytes: u64,
    pub entries: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("it is no archive that could be read: {0}")]
    Damaged(io::Error),
    #[error("{name:?} {why}")]
    Entry { name: OsString, why: &'static str },
    #[error("it has more bytes than an image may have")]
    TooLarge,
    #[error("it has more files than an image may have")]
    TooMany,
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What an entry says beside its header.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Unpacks one plain archive on top of what is in the root already. Reads to the archive's end, and no further.
pub fn unpack(archive: impl Read, root: &Path, budget: &mut Budget) -> Result<(), UnpackError> {
    let mut tree = Tree::new(root)?;
    let limited = Limited { from: archive, left: budget.bytes, is_exceeded: false };
    let mut archive = Archive::new(limited);
    let result = entries(&mut archive, &mut tree, budget);
    let limited = archive.into_inner();
    budget.bytes = limited.left;
    if limited.is_exceeded {
        return Err(UnpackError::TooLarge);
    }
    result?;
    Ok(tree.finish()?)
}

fn entries(
    archive: &mut Archive<impl Read>,
    tree: &mut Tree,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    // What this layer wrote, which its own whiteouts do not mean. The lowest layer has nothing below it.
    let mut written = (!tree.is_empty()?).then(Written::default);
    let mut extended = Extended::default();
    for entry in archive.entries().map_err(UnpackError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Damaged)?;
        budget.entries = budget.entries.checked_sub(1).ok_or(UnpackError::TooMany)?;
        // One that says so itself is not written until the disk or the limit says it.
        if entry.header().size().map_err(UnpackError::Damaged)? > budget.bytes {
            return Err(UnpackError::TooLarge);
        }
        match entry.header().entry_type() {
            EntryType::GNULongName => extended.path = Some(text(&mut entry)?),
            EntryType::GNULongLink => extended.link = Some(text(&mut entry)?),
            EntryType::XHeader => pax(&mut entry, &mut extended)?,
            // Comments of git, and nothing that a file would need.
            EntryType::XGlobalHeader => {}
            _ => one(&mut entry, std::mem::take(&mut extended), tree, written.as_mut())?,
        }
        let implied = std::mem::take(&mut tree.implied);
        budget.entries = budget.entries.checked_sub(implied).ok_or(UnpackError::TooMany)?;
    }
    Ok(())
}

/// A long name, which a zero byte ends.
fn text(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = extension(entry)?;
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    Ok(bytes)
}

fn extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    let size = entry.header().size().map_err(UnpackError::Damaged)?;
    if size > EXTENDED_MAX_BYTES {
        return Err(UnpackError::Damaged(io::Error::other("a header in it is too long")));
    }
    entry.read_to_end(&mut bytes).map_err(UnpackError::Damaged)?;
    if (bytes.len() as u64) < size {
        return Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

/// `LENGTH KEY=VALUE\n` (POSIX, pax Extended Header).
fn pax(entry: &mut Entry<'_, impl Read>, extended: &mut Extended) -> Result<(), UnpackError> {
    let bytes = extension(entry)?;
    for record in tar::PaxExtensions::new(&bytes) {
        let record = record.map_err(UnpackError::Damaged)?;
        match record.key_bytes() {
            b"path" => extended.path = Some(record.value_bytes().to_vec()),
            b"linkpath" => extended.link = Some(record.value_bytes().to_vec()),
            // Needed for files of 8 GiB, which an image may not have.
            b"size" => return Err(UnpackError::TooLarge),
            key if key.starts_with(b"GNU.sparse") => {
                let name = OsString::from_vec(extended.path.take().unwrap_or_default());
                return Err(UnpackError::Entry { name, why: "is a sparse file, which layers do not have" });
            }
            _ => {}
        }
    }
    Ok(())
}

fn one(
    entry: &mut Entry<'_, impl Read>,
    extended: Extended,
    tree: &mut Tree,
    mut written: Option<&mut Written>,
) -> Result<(), UnpackError> {
    let name = extended.path.unwrap_or_else(|| entry.header().path_bytes().into_owned());
    let parts = parts(&name)?;
    if let Some(written) = written.as_deref_mut() {
        written.insert(&parts);
    }
    let Some((last, folder)) = parts.split_last() else {
        // The root itself: its rights are ours to choose.
        return Ok(());
    };
    if *last == OPAQUE {
        let is_lower =
            |name: &[u8]| !written.as_ref().is_some_and(|written| written.has(&[folder, &[name]].concat()));
        return Ok(tree.clear(folder, &is_lower)?);
    }
    if let Some(gone) = last.strip_prefix(WHITEOUT) {
        if gone.starts_with(WHITEOUT) {
            // What AUFS kept for itself.
            return Ok(());
        }
        if gone.is_empty() || gone == b"." || gone == b".." {
            return refuse(&name, "marks nothing that could be gone");
        }
        let path = [folder, &[gone]].concat();
        if !written.is_some_and(|written| written.has(&path)) {
            tree.remove(&path)?;
        }
        return Ok(());
    }
    let header = entry.header().clone();
    let meta = meta(&header)?;
    match header.entry_type() {
        EntryType::Directory => tree.folder(&parts, meta)?,
        EntryType::Regular | EntryType::Continuous => {
            let size = header.size().map_err(UnpackError::Damaged)?;
            tree.file(&parts, meta, size, entry).map_err(|error| match error {
                TreeError::Source(error) => UnpackError::Damaged(error),
                other => UnpackError::Tree(other),
            })?;
        }
        EntryType::Symlink => tree.symlink(&parts, &link(&header, extended.link, &name)?)?,
        EntryType::Link => {
            let target = link(&header, extended.link, &name)?;
            tree.hard_link(&parts, &self::parts(&target)?)?;
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {}
        EntryType::GNUSparse => return refuse(&name, "is a sparse file, which layers do not have"),
        _ => return refuse(&name, "is of a kind that layers do not have"),
    }
    Ok(())
}

/// The names that a layer wrote, and the folders that they are in; as hashes, because names are long and many.
#[derive(Default)]
struct Written {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Written {
    fn insert(&mut self, parts: &[&[u8]]) {
        for count in (1..=parts.len()).rev() {
            if !self.hashes.insert(self.hasher.hash_one(&parts[..count])) {
                return;
            }
        }
    }

    fn has(&self, parts: &[&[u8]]) -> bool {
        self.hashes.contains(&self.hasher.hash_one(parts))
    }
}

/// The components of a name. A leading `/` means the root.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, UnpackError> {
    if name.len() > NAME_MAX_BYTES {
        return refuse(&name[..100], "… is too long a name");
    }
    if name.contains(&0) {
        return refuse(name, "has a zero byte in its name");
    }
    let parts: Vec<&[u8]> =
        name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        return refuse(name, "would be outside of the image");
    }
    Ok(parts)
}

fn link(header: &Header, long: Option<Vec<u8>>, name: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let target =
        long.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
    if target.is_empty() || target.len() >= NAME_MAX_BYTES || target.contains(&0) {
        return refuse(name, "is a link to nothing");
    }
    Ok(target)
}

fn meta(header: &Header) -> Result<super::tree::Meta, UnpackError> {
    Ok(super::tree::Meta {
        mode: header.mode().map_err(UnpackError::Damaged)? & 0o1777,
        // Owners that are no numbers are nobody's.
        user: header.uid().ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
        group: header.gid().ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
        modified_s: header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
    })
}

fn refuse<T>(name: &[u8], why: &'static str) -> Result<T, UnpackError> {
    Err(UnpackError::Entry { name: OsString::from_vec(name.to_vec()), why })
}

/// So many bytes, and then an error.
struct Limited<R> {
    from: R,
    left: u64,
    is_exceeded: bool,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.is_exceeded = true;
                return Err(io::Error::other("it is too large"));
            }
        }
        Ok(count)
    }
}
