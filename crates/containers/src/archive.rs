//! Files into a container and out of it, as tar archives (`cp`, and the archive part of Docker's API).
//!
//! A container's files belong to a guest that may have put links anywhere: every path is looked up beneath the root
//! by the kernel (`openat2` with `RESOLVE_IN_ROOT`), so that a link that leaves the root leads nowhere.

use crate::Error;
use crate::folder::Container;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tar::{Archive, Builder, EntryType, Header};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    pub name: String,
    pub size: u64,
    /// As in `stat(2)`, with the type.
    pub mode: u32,
    pub modified_seconds: i64,
    /// Of a symbolic link.
    pub link_target: String,
}

/// Of an archive that comes in.
const ENTRIES_MAX: u64 = 1_000_000;

/// Where a path of the guest is: a mount's folder or the root, and the rest of the path.
struct Place {
    root: OwnedFd,
    rest: PathBuf,
    read_only: bool,
}

impl Container {
    fn place(&self, path: &str) -> Result<Place, Error> {
        let path = normal(path);
        let config = self.config()?;
        let spec = self.spec()?;
        let mounts = spec.mounts().iter().flatten();
        let within = |target: &Path| path.strip_prefix(normal(&target.to_string_lossy())).ok();
        let deepest = mounts
            .filter_map(|mount| {
                let rest = within(mount.destination())?;
                Some((mount.destination().components().count(), rest, mount.source().clone()?))
            })
            .max_by_key(|(depth, ..)| *depth);
        let (folder, rest, read_only) = match deepest {
            Some((_, rest, source)) => {
                let read_only = config
                    .mounts
                    .iter()
                    .any(|mount| mount.read_only && within(Path::new(&mount.target)).is_some());
                (source, rest.to_owned(), read_only)
            }
            None => (self.rootfs()?, path.clone(), config.read_only),
        };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::open(&folder, flags, Mode::empty())
            .map_err(|error| Error::File { path: folder, error: error.into() })?;
        Ok(Place { root, rest, read_only })
    }

    /// What is at a path, without following a link at its end.
    ///
    /// # Errors
    /// If nothing is there.
    pub fn stat(&self, path: &str) -> Result<PathStat, Error> {
        let place = self.place(path)?;
        let file = place.open(OFlags::PATH | OFlags::NOFOLLOW, path)?;
        let stat = rustix::fs::fstat(&file).map_err(|error| wrong(path, error.into()))?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let link_target = if is_link {
            let target = rustix::fs::readlinkat(&file, "", Vec::new());
            target.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
        } else {
            String::new()
        };
        let name =
            normal(path).file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
        Ok(PathStat {
            name,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode,
            modified_seconds: stat.st_mtime,
            link_target,
        })
    }

    /// Writes what is at a path as an archive; its entries begin with the path's last part.
    ///
    /// # Errors
    /// If nothing is there, or `out` takes no more.
    pub fn copy_out(&self, path: &str, out: impl Write) -> Result<(), Error> {
        let place = self.place(path)?;
        let name = normal(path).file_name().map_or_else(|| PathBuf::from("."), PathBuf::from);
        let mut builder = Builder::new(out);
        builder.follow_symlinks(false);
        // By its descriptor: the path may lead elsewhere a moment later.
        let file = place.open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, path);
        let appended = match file {
            Ok(file) => {
                let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
                let metadata = fs::metadata(&by_descriptor).map_err(|error| wrong(path, error))?;
                if metadata.is_dir() {
                    builder.append_dir_all(&name, &by_descriptor)
                } else if metadata.is_file() {
                    builder.append_file(&name, &mut File::from(file))
                } else {
                    return Err(Error::Invalid(format!("{path} is no file and no folder")));
                }
            }
            Err(error) => {
                let stat = self.stat(path)?;
                if stat.link_target.is_empty() {
                    return Err(error);
                }
                let mut header = Header::new_gnu();
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                builder.append_link(&mut header, &name, &stat.link_target)
            }
        };
        appended.and_then(|()| builder.finish()).map_err(|error| wrong(path, error))
    }

    /// Unpacks an archive into a folder that is there.
    ///
    /// # Errors
    /// If the path is no folder, may not be written to, or the archive is damaged. What came before the damage stays.
    pub fn copy_in(&self, path: &str, archive: impl Read) -> Result<(), Error> {
        let place = self.place(path)?;
        if place.read_only {
            return Err(Error::Invalid(format!("{path} is read-only")));
        }
        let folder = place.open(OFlags::RDONLY | OFlags::DIRECTORY, path)?;
        let mut archive = Archive::new(archive);
        let entries = archive.entries().map_err(|error| wrong(path, error))?;
        for (count, entry) in entries.enumerate() {
            if count as u64 >= ENTRIES_MAX {
                return Err(Error::Invalid(format!("the archive has more than {ENTRIES_MAX} entries")));
            }
            let mut entry = entry.map_err(|error| wrong(path, error))?;
            unpack(&folder, &mut entry).map_err(|error| wrong(path, error))?;
        }
        Ok(())
    }
}

impl Place {
    fn open(&self, flags: OFlags, path: &str) -> Result<OwnedFd, Error> {
        let rest = if self.rest.as_os_str().is_empty() { Path::new(".") } else { &self.rest };
        beneath(&self.root, rest, flags).map_err(|error| wrong(path, error))
    }
}

/// Opens beneath a folder as if that were the root.
fn beneath(folder: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolve)?)
}

fn unpack<R: Read>(folder: &OwnedFd, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
    let path = normal(&entry.path()?.to_string_lossy());
    let Some(name) = path.file_name() else { return Ok(()) };
    let mut at = beneath(folder, Path::new("."), OFlags::PATH)?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        at = folder_in(&at, Path::new(&part))?;
    }
    let mode = Mode::from_raw_mode(entry.header().mode()? & 0o777);
    match entry.header().entry_type() {
        EntryType::Directory => {
            let made = folder_in(&at, Path::new(name))?;
            rustix::fs::chmodat(CWD, format!("/proc/self/fd/{}", made.as_raw_fd()), mode, AtFlags::empty())?;
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            // Another one, so that what a hard link shares is not written to.
            remove(&at, Path::new(name))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mut file = File::from(beneath(&at, Path::new(name), flags)?);
            io::copy(entry, &mut file)?;
            rustix::fs::fchmod(&file, mode)?;
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?.into_owned();
            remove(&at, Path::new(name))?;
            rustix::fs::symlinkat(target, &at, name)?;
        }
        EntryType::Link => {
            let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?.into_owned();
            let target =
                beneath(folder, &normal(&target.to_string_lossy()), OFlags::PATH | OFlags::NOFOLLOW)?;
            remove(&at, Path::new(name))?;
            let by_descriptor = format!("/proc/self/fd/{}", target.as_raw_fd());
            rustix::fs::linkat(CWD, by_descriptor, &at, name, AtFlags::SYMLINK_FOLLOW)?;
        }
        // A guest has no devices.
        _ => {}
    }
    Ok(())
}

fn folder_in(at: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    beneath(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

fn remove(at: &OwnedFd, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Without `.`, `..` and slashes that say nothing; relative to the root.
fn normal(path: &str) -> PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.iter().collect()
}

fn wrong(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoPath(path.to_owned()),
        _ => Error::File { path: PathBuf::from(path), error },
    }
}
