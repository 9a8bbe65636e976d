//! What can go wrong with images that are kept here, and what to do about it.

use crate::{Digest, PullError};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("there is no image {0} here")]
    NotFound(String),
    #[error("{prefix} could be any of {count} images")]
    Ambiguous { prefix: String, count: usize },
    #[error("image {name} is used by a container")]
    InUse { name: String },
    #[error("image {name} has {count} names")]
    ManyNames { name: String, count: usize },
    #[error("{text:?} is no name of an image: {what}")]
    Name { text: String, what: &'static str, help: &'static str },
    /// What the registry, or the way to it, has to do with it.
    #[error(transparent)]
    Registry(PullError),
    /// Not as the specification says.
    #[error("{0}")]
    Malformed(String),
    #[error("{what} {expected} is not what its digest says: its bytes have {found}")]
    Damaged { what: &'static str, expected: Digest, found: Digest },
    #[error("a part of the image is not here: {0}")]
    Missing(Digest),
    #[error("the image is for {found}, not for {wanted}")]
    Platform { wanted: String, found: String },
    /// An archive that would write where it must not, or too much.
    #[error("{what} cannot be unpacked: {why}")]
    Unpack { what: String, why: String },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the image says not what to run: {0}")]
    NoEntrypoint(String),
    #[error("there is no place for images")]
    NoPlace,
}

impl ImageError {
    pub fn io(path: &Path, error: io::Error) -> Self {
        ImageError::Io { path: path.to_owned(), error }
    }

    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            ImageError::NotFound(_) => "`sampan images` lists what is here; `sampan pull` fetches more",
            ImageError::Ambiguous { .. } => "write more digits of the id, or a name",
            ImageError::InUse { .. } => {
                "remove the container first, or use -f to take the name away and keep the rest until then"
            }
            ImageError::ManyNames { .. } => "name the one to remove, or use -f to remove them all",
            ImageError::Name { help, .. } => help,
            ImageError::Registry(error) => error.help(),
            ImageError::Malformed(_) => "make the image anew, by a tool that follows the OCI specifications",
            ImageError::Damaged { .. } | ImageError::Missing(_) => {
                "pull the image again, or load it from a whole archive"
            }
            ImageError::Platform { .. } => {
                "push it for wasi/wasm, or name the platform that you want with --platform OS/ARCHITECTURE"
            }
            ImageError::Unpack { .. } => "do not use this image, unless you know who made it and why",
            ImageError::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
                "make room on the disk (`sampan rmi`), or set SAMPAN_DATA_DIR to another folder"
            }
            ImageError::Io { .. } => "check the path, and who may read and write there",
            ImageError::NoEntrypoint(_) => {
                "name the wasm file after the image, or build it with an ENTRYPOINT"
            }
            ImageError::NoPlace => "set HOME, XDG_DATA_HOME or SAMPAN_DATA_DIR",
        }
        .to_owned()
    }
}

impl From<PullError> for ImageError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Store { path, error } => ImageError::Io { path, error },
            other => ImageError::Registry(other),
        }
    }
}
