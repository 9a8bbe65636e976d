//! The files of an image: unpacked once, checked while they are, and shared by all who only read them.

mod spin;
mod spin_toml;
pub mod tree;
pub mod unpack;

use crate::blob::Hasher;
use crate::compression::plain;
use crate::document::Descriptor;
use crate::form::Piece;
use crate::images::{Image, Images};
use crate::{Digest, DigestAlgorithm, ImageError};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tree::{Meta, Tree, TreeError};
use unpack::{Budget, UnpackError};

/// What an image may have, unpacked. How well it was compressed says nothing: an image of zeros is one, too.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the plain archives of all layers.
    pub bytes_max: u64,
    pub entries_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes_max: 4 << 30, entries_max: 1_000_000 }
    }
}

/// Where something goes wrong that a file or an archive has: its layer.
pub(crate) struct Layer<'a> {
    pub images: &'a Images,
    pub described: &'a Descriptor,
}

impl Images {
    /// The folder with the files of an image, which nobody may change: it is unpacked if that was not done before, and
    /// shared by all that have the same files.
    ///
    /// # Errors
    /// If a layer is damaged, missing, or would write elsewhere. Nothing half-done stays.
    pub fn rootfs(&self, image: &Image) -> Result<PathBuf, ImageError> {
        self.unpacked(&image.plan.root, &image.plan.pieces)
    }

    /// The same, of pieces that no image has yet.
    pub(crate) fn unpacked(&self, root: &Digest, pieces: &[Piece]) -> Result<PathBuf, ImageError> {
        let path = self.layout.root.join("roots").join(&root.hex);
        if path.is_dir() {
            return Ok(path);
        }
        let _adding = self.layout.adding()?;
        let _unpacking = self.layout.unpacking()?;
        if path.is_dir() {
            return Ok(path);
        }
        let roots = self.layout.folder("roots")?;
        let failed = |error| ImageError::io(&roots, error);
        let folder = tempfile::Builder::new().prefix(".making-").tempdir_in(&roots).map_err(failed)?;
        let mut budget = Budget { bytes: self.limits.bytes_max, entries: self.limits.entries_max };
        for piece in pieces {
            self.lay(piece, folder.path(), &mut budget)?;
        }
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(failed)?;
        // Whole on the disk before it has its name, also after a power failure.
        let handle = fs::File::open(&roots).map_err(failed)?;
        rustix::fs::syncfs(&handle).map_err(|error| failed(error.into()))?;
        fs::rename(folder.path(), &path).map_err(failed)?;
        // It is not there any more under its first name.
        let _ = folder.keep();
        Ok(path)
    }

    /// What an image starts without further words: its entrypoint and its arguments; of an image that says nothing, its
    /// only wasm file.
    pub fn command(&self, image: &Image) -> Result<Vec<String>, ImageError> {
        let config = image.config.config().clone().unwrap_or_default();
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let command = [words(config.entrypoint()), words(config.cmd())].concat();
        if !command.is_empty() {
            return Ok(command);
        }
        let root = self.rootfs(image)?;
        let mut found = Vec::new();
        let entries = fs::read_dir(&root).map_err(|error| ImageError::io(&root, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| ImageError::io(&root, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".wasm") || name.ends_with(".wat") {
                found.push(name);
            }
        }
        found.sort();
        match found.as_slice() {
            [name] => Ok(vec![format!("/{name}")]),
            [] => Err(ImageError::NoEntrypoint("there is no wasm file in its folder /".to_owned())),
            names => Err(ImageError::NoEntrypoint(format!("there are {}", names.join(", ")))),
        }
    }

    /// Adds a piece to the files.
    fn lay(&self, piece: &Piece, root: &Path, budget: &mut Budget) -> Result<(), ImageError> {
        match piece {
            Piece::Archive { layer, diff_id } => {
                Layer { images: self, described: layer }.archive(diff_id.as_ref(), root, budget)
            }
            Piece::File { layer, name } => {
                Layer { images: self, described: layer }.file(&[name.as_bytes()], root, budget)
            }
            Piece::Spin { app, layers } => spin::lay(self, app, layers, root, budget),
        }
    }
}

impl Layer<'_> {
    /// Unpacks it as an archive. Both its digests are checked.
    fn archive(&self, diff_id: Option<&Digest>, root: &Path, budget: &mut Budget) -> Result<(), ImageError> {
        let file = self.images.layout.open(&self.described.digest)?;
        let mut packed = Hashing::new(file, self.described.digest.algorithm);
        let algorithm = diff_id.map_or(DigestAlgorithm::Sha256, |one| one.algorithm);
        let unpacked = {
            let plain = plain(&mut packed).map_err(|error| self.wrong(&error))?;
            let mut plain = Hashing::new(plain, algorithm);
            unpack::unpack(&mut plain, root, budget).map_err(|error| match error {
                UnpackError::Tree(TreeError::Io { error, .. }) => ImageError::io(root, error),
                other => self.wrong(&other),
            })?;
            // What follows the archive's end counts for the digests.
            drain(&mut plain, &mut budget.bytes).map_err(|error| self.wrong(&error))?;
            plain.hasher.finish()
        };
        io::copy(&mut packed, &mut io::sink()).map_err(|error| self.wrong(&error))?;
        self.check("the layer", &self.described.digest, packed.hasher.finish())?;
        diff_id.map_or(Ok(()), |expected| self.check("the unpacked layer", expected, unpacked))
    }

    /// Puts it as a file below the root.
    pub fn file(&self, parts: &[&[u8]], root: &Path, budget: &mut Budget) -> Result<(), ImageError> {
        let file = self.images.layout.open(&self.described.digest)?;
        let size = file.metadata().map_err(|error| self.wrong(&error))?.len();
        budget.bytes = budget.bytes.checked_sub(size).ok_or_else(|| self.wrong(&UnpackError::TooLarge))?;
        budget.entries = budget.entries.checked_sub(1).ok_or_else(|| self.wrong(&UnpackError::TooMany))?;
        let mut content = Hashing::new(file, self.described.digest.algorithm);
        let put = Tree::new(root).and_then(|mut tree| {
            tree.file(parts, Meta { mode: 0o755, user: 0, group: 0, modified_s: 0 }, size, &mut content)
        });
        put.map_err(|error| match error {
            TreeError::Io { error, .. } => ImageError::io(root, error),
            other => self.wrong(&other),
        })?;
        self.check("the layer", &self.described.digest, content.hasher.finish())
    }

    pub fn wrong(&self, why: &dyn std::fmt::Display) -> ImageError {
        ImageError::Unpack { what: format!("the layer {}", self.described.digest), why: why.to_string() }
    }

    fn check(&self, what: &'static str, expected: &Digest, found: Digest) -> Result<(), ImageError> {
        if *expected == found {
            return Ok(());
        }
        Err(ImageError::Damaged { what, expected: expected.clone(), found })
    }
}

/// Reads to the end, within a limit.
fn drain(from: &mut impl Read, left: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        *left = left.checked_sub(count as u64).ok_or_else(|| io::Error::other(UnpackError::TooLarge))?;
    }
}

/// Digests what is read through it.
pub(crate) struct Hashing<R> {
    from: R,
    pub hasher: Hasher,
}

impl<R> Hashing<R> {
    pub fn new(from: R, algorithm: DigestAlgorithm) -> Self {
        Hashing { from, hasher: Hasher::new(algorithm) }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
