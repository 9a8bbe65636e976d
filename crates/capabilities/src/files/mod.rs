//! Files: folders and single files of the host that the guest may open (`-v HOST:GUEST[:ro]`).
//!
//! WASI hands a guest directories only ("preopens"), in an order that preview 1 numbers 3, 4, 5… and all
//! paths are resolved beneath one of them by wasmtime-wasi, which never leaves it. A mounted *file* is
//! therefore opened through the preopened directory that its guest path lies in: [`Files::intercept`] turns
//! (preopen, path) into the file's real directory, which is preopened too but never shown to the guest,
//! and its real name there. Every interface asks it before it hands a path to wasmtime-wasi.
//!
//! What a mounted file is not: it does not appear when the directory is listed, and it does not hide a file
//! of the same name in a mounted directory from a guest that looks for it by another way.

pub(crate) mod host;
mod mount;
mod path;
#[cfg(test)]
mod tests;

use crate::{Explain, GrantError};
use mount::Opened;
use sampan_app::Mount;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// The mounts of one guest.
#[derive(Clone, Default)]
pub struct Files {
    /// Every preopen, in wasmtime-wasi's order: the working directory, mounted directories, empty
    /// directories that hold mounted files, and last the hidden ones.
    preopens: Vec<Preopen>,
    files: Vec<MountedFile>,
    explain: Explain,
    /// For components: see `host::preopened_descriptors`.
    descriptors: Option<std::sync::Arc<[u32]>>,
}

/// One directory that wasmtime-wasi holds open for the guest.
#[derive(Clone, Debug)]
struct Preopen {
    /// The name that the guest is told.
    name: String,
    /// The absolute guest path where it lies; of a directory mounted as `.`, that.
    place: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The name `.`, against which the C library resolves relative paths. (Components can also ask for their
    /// working directory by a call, but not every C library does.)
    WorkingDirectory,
    /// A mounted directory.
    Mounted,
    /// An empty directory: the place of mounted files that lie in no mounted directory.
    Synthetic,
    /// The real directory of a mounted file. Showing it to a guest would grant the file's neighbours.
    Hidden,
}

/// A mounted file, as it is found beneath one preopen.
#[derive(Clone, Debug)]
struct MountedFile {
    /// Index of the preopen that the guest goes through.
    preopen: usize,
    /// Path from there, without empty, `.` or `..` parts.
    path: String,
    target: Redirect,
}

/// Where a mounted file really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Index of a hidden preopen, in the order of [`Files::shown`]. It has the rights of the mount.
    pub preopen: usize,
    /// The file's name there: one part. To be opened without following symbolic links.
    pub name: String,
}

impl Files {
    /// Opens what is mounted and preopens it in `wasi`.
    ///
    /// `workdir` is an absolute path in the guest; it must lie in a mounted directory.
    pub fn new(
        mounts: &[Mount],
        workdir: Option<&str>,
        wasi: &mut WasiCtxBuilder,
        explain: &Explain,
    ) -> Result<Self, GrantError> {
        let opened = mount::open_all(mounts)?;
        let mut files = Files { explain: explain.clone(), ..Files::default() };
        files.preopen_workdir(mounts, &opened, workdir, wasi)?;
        for (mount, opened) in mounts.iter().zip(&opened) {
            if matches!(opened, Opened::Directory) {
                files.preopen(&mount.host, &mount.guest, &mount.guest, Kind::Mounted, perms(mount), wasi)?;
            }
        }
        files.preopen_synthetic(mounts, &opened, wasi)?;
        for (mount, opened) in mounts.iter().zip(&opened) {
            if let Opened::File { directory, name } = opened {
                let hidden = files.preopens.len();
                files.preopen(directory, "", "", Kind::Hidden, perms(mount), wasi)?;
                files.find_beneath_preopens(&mount.guest, Redirect { preopen: hidden, name: name.clone() });
            }
        }
        Ok(files)
    }

    /// The names of the preopens that the guest may see, in order: in preview 1, descriptor `3 + index` is
    /// preopen `index`. wasmtime-wasi holds more preopens than these; the rest are hidden and must not be
    /// reachable by any descriptor of the guest.
    pub fn shown(&self) -> impl ExactSizeIterator<Item = &str> {
        let shown = self.preopens.iter().take_while(|one| one.kind != Kind::Hidden).count();
        self.preopens[..shown].iter().map(|one| one.name.as_str())
    }

    /// Whether `path`, beneath the preopen with this index, is a mounted file, and where that really is.
    ///
    /// To be asked for opening and for reading metadata by path (follow the redirect, without following
    /// symbolic links), and for creating, renaming, linking, unlinking at a path (answer "busy", as
    /// systems do for a mount point). Costs nothing when no file is mounted.
    pub fn intercept(&self, preopen: usize, path: &str) -> Option<&Redirect> {
        if self.files.is_empty() {
            return None;
        }
        let path = path::normalise(path)?;
        self.files.iter().find(|file| file.preopen == preopen && file.path == path).map(|file| &file.target)
    }

    /// Whether any file is mounted, so that [`Files::intercept`] can find something.
    pub fn has_mounted_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Says which flag would have allowed a change that was refused. `path` where the caller knows it.
    pub(crate) fn explain_read_only(&self, path: Option<&str>) {
        let what = path.unwrap_or("something");
        self.explain.refused(&format!("change {what} in a read-only mount"), "-v HOST:GUEST (without :ro)");
    }

    /// To be called when the guest looks for its mounts: says how to give it some, if it has none.
    pub(crate) fn explain_nothing_mounted(&self) {
        if self.shown().len() == 0 {
            self.explain.refused("use files and folders: none is mounted", "-v HOST:GUEST");
        }
    }

    fn preopen(
        &mut self,
        host: &std::path::Path,
        name: &str,
        place: &str,
        kind: Kind,
        perms: FsPerms,
        wasi: &mut WasiCtxBuilder,
    ) -> Result<(), GrantError> {
        wasi.preopened_dir(host, name, perms).map_err(|error| mount::cannot_open(host, &error))?;
        self.preopens.push(Preopen { name: name.to_owned(), place: place.to_owned(), kind });
        Ok(())
    }

    /// Preopens `.`, first: in wasi-libc the last of several preopens that fit equally well wins, and a
    /// directory mounted at `/` fits absolute paths as well as `.` does.
    fn preopen_workdir(
        &mut self,
        mounts: &[Mount],
        opened: &[Opened],
        workdir: Option<&str>,
        wasi: &mut WasiCtxBuilder,
    ) -> Result<(), GrantError> {
        let Some(workdir) = workdir.filter(|workdir| *workdir != "/") else { return Ok(()) };
        let found = mount::open_workdir(mounts, opened, workdir)?;
        if mounts.iter().any(|mount| mount.guest == ".") {
            return Ok(());
        }
        // wasmtime-wasi opens by path only; this path is the directory that is already open.
        let host = mount::path_of_descriptor(&found.directory);
        self.preopen(&host, ".", &found.place, Kind::WorkingDirectory, perms(found.mount), wasi)
    }

    /// Preopens an empty directory for each parent of mounted files that lies in no mounted directory.
    fn preopen_synthetic(
        &mut self,
        mounts: &[Mount],
        opened: &[Opened],
        wasi: &mut WasiCtxBuilder,
    ) -> Result<(), GrantError> {
        for (mount, opened) in mounts.iter().zip(opened) {
            let covers = |one: &Preopen| {
                one.kind != Kind::WorkingDirectory && path::beneath(&mount.guest, &one.place).is_some()
            };
            if matches!(opened, Opened::Directory) || self.preopens.iter().any(covers) {
                continue;
            }
            let parent = path::parent(&mount.guest);
            let empty = mount::empty_directory()?;
            let host = mount::path_of_descriptor(&empty);
            self.preopen(&host, parent, parent, Kind::Synthetic, FsPerms::ReadOnly, wasi)?;
        }
        Ok(())
    }

    fn find_beneath_preopens(&mut self, guest: &str, target: Redirect) {
        for (preopen, one) in self.preopens.iter().enumerate() {
            if one.kind == Kind::Hidden {
                continue;
            }
            if let Some(path) = path::beneath(guest, &one.place) {
                self.files.push(MountedFile { preopen, path: path.to_owned(), target: target.clone() });
            }
        }
    }
}

fn perms(mount: &Mount) -> FsPerms {
    if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite }
}
