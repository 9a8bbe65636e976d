//! What a mount is on the host: a directory, a file, or a reason to refuse it.

use super::path;
use crate::GrantError;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use sampan_app::Mount;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What a mount turned out to be.
#[derive(Debug)]
pub enum Opened {
    Directory,
    /// A regular file: its real directory, and its name there.
    File {
        directory: PathBuf,
        name: String,
    },
}

/// A working directory, opened.
pub struct Workdir<'a> {
    pub directory: OwnedFd,
    /// The mount in which it lies.
    pub mount: &'a Mount,
    /// Its absolute guest path, tidy.
    pub place: String,
}

/// Looks at every mount, and at how they lie in each other.
pub fn open_all(mounts: &[Mount]) -> Result<Vec<Opened>, GrantError> {
    let opened = mounts.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    for (index, mount) in mounts.iter().enumerate() {
        if let Some(earlier) = mounts[..index].iter().find(|earlier| earlier.guest == mount.guest) {
            return Err(GrantError {
                what: format!(
                    "{} and {} are both mounted at {}",
                    earlier.host.display(),
                    mount.host.display(),
                    mount.guest
                ),
                help: Some("give each -v its own guest path".to_owned()),
            });
        }
    }
    refuse_writable_cover(mounts)?;
    Ok(opened)
}

fn open(mount: &Mount) -> Result<Opened, GrantError> {
    let host = &mount.host;
    let metadata = std::fs::metadata(host).map_err(|error| cannot_open(host, &error.into()))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Ok(Opened::Directory);
    }
    if !kind.is_file() {
        return Err(GrantError {
            what: format!("cannot mount {}: it is {}", host.display(), describe(kind)),
            help: Some("only directories and regular files can be mounted with -v".to_owned()),
        });
    }
    if matches!(mount.guest.as_str(), "/" | ".") {
        return Err(GrantError {
            what: format!("cannot mount the file {} at {}", host.display(), mount.guest),
            help: Some(format!(
                "give the file a name in the guest, for example -v {}:/{}",
                host.display(),
                host.file_name().unwrap_or_default().to_string_lossy()
            )),
        });
    }
    File::open(host).map_err(|error| cannot_open(host, &error.into()))?;
    let real = std::fs::canonicalize(host).map_err(|error| cannot_open(host, &error.into()))?;
    match (real.parent(), real.file_name().and_then(|name| name.to_str())) {
        (Some(directory), Some(name)) => {
            Ok(Opened::File { directory: directory.to_owned(), name: name.to_owned() })
        }
        _ => Err(GrantError {
            what: format!("cannot mount {}: its name {} is not UTF-8", host.display(), real.display()),
            help: Some("rename the file, or mount its directory".to_owned()),
        }),
    }
}

fn describe(kind: std::fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "neither a directory nor a file"
    }
}

/// Refuses a read-only mount that the guest could write through another one: the same place of the host, at
/// the same place of the guest, inside a mount with more rights. The inner mount is its own preopen and
/// takes nothing from the outer one, so that its `:ro` would promise what nobody keeps.
fn refuse_writable_cover(mounts: &[Mount]) -> Result<(), GrantError> {
    for inner in mounts.iter().filter(|mount| mount.read_only) {
        for outer in mounts.iter().filter(|mount| !mount.read_only) {
            if path::beneath(&inner.guest, &outer.guest).is_none() || !lies_in(&inner.host, &outer.host) {
                continue;
            }
            return Err(GrantError {
                what: format!(
                    "{} cannot be read-only: the guest may write it through {}, mounted at {}",
                    inner.guest,
                    outer.host.display(),
                    outer.guest
                ),
                help: Some(format!(
                    "mount {} read-only too, or keep the two apart on the host",
                    outer.host.display()
                )),
            });
        }
    }
    Ok(())
}

fn lies_in(inner: &Path, outer: &Path) -> bool {
    match (std::fs::canonicalize(inner), std::fs::canonicalize(outer)) {
        (Ok(inner), Ok(outer)) => inner.starts_with(outer),
        _ => false,
    }
}

/// The sentence for a host path that cannot be opened.
pub fn cannot_open(host: &Path, error: &wasmtime::Error) -> GrantError {
    let error = error.downcast_ref::<io::Error>();
    let (why, help) = match error.map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => {
            ("it does not exist".to_owned(), "correct the path, or create it first".to_owned())
        }
        Some(io::ErrorKind::PermissionDenied) => (
            "permission denied".to_owned(),
            format!("see who may read it: ls -ld {}; Sampan runs with your rights", host.display()),
        ),
        _ if error.and_then(io::Error::raw_os_error) == Some(libc::ELOOP) => (
            "its symbolic links lead in a circle".to_owned(),
            format!("see where it points: ls -l {}", host.display()),
        ),
        _ => (
            error.map_or_else(|| "it cannot be opened".to_owned(), ToString::to_string),
            "mount another directory or file".to_owned(),
        ),
    };
    GrantError { what: format!("cannot mount {}: {why}", host.display()), help: Some(help) }
}

/// Opens the working directory beneath the mounted directory in which it lies, so that no symbolic link in
/// there leads out of it.
pub fn open_workdir<'a>(
    mounts: &'a [Mount],
    opened: &[Opened],
    workdir: &str,
) -> Result<Workdir<'a>, GrantError> {
    let Some(place) = path::absolute(workdir) else {
        return Err(GrantError {
            what: format!("the working directory {workdir} is not an absolute path without `..`"),
            help: Some("write it as the guest sees it, for example -w /app".to_owned()),
        });
    };
    let lies_in = mounts
        .iter()
        .zip(opened)
        .filter(|(_, opened)| matches!(opened, Opened::Directory))
        .filter_map(|(mount, _)| Some((mount, path::beneath(&place, &mount.guest)?)))
        .min_by_key(|(_, rest)| rest.len());
    let Some((mount, rest)) = lies_in else {
        return Err(GrantError {
            what: format!("the working directory {place} lies in no mounted directory"),
            help: Some(format!("mount one, for example -v .:{place}")),
        });
    };
    let directory = open_beneath(&mount.host, rest).map_err(|error| GrantError {
        what: format!("the working directory {place} cannot be opened: {error}"),
        help: Some(format!("it is {rest} in {} on the host", mount.host.display())),
    })?;
    Ok(Workdir { directory, mount, place })
}

fn open_beneath(root: &Path, rest: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let rest = if rest.is_empty() { "." } else { rest };
    Ok(rustix::fs::openat2(&root, rest, flags, Mode::empty(), resolve)?)
}

/// A path that names an open directory, whatever has become of the path by which it was opened.
pub fn path_of_descriptor(directory: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

/// An empty directory in which nothing can be created and which leaves nothing behind: it is removed while
/// it is open.
pub fn empty_directory() -> Result<File, GrantError> {
    let make = || -> io::Result<File> {
        let place = tempfile::tempdir()?;
        let directory = File::open(place.path())?;
        place.close()?;
        Ok(directory)
    };
    make().map_err(|error| GrantError {
        what: format!("cannot make a place for mounted files in {}: {error}", std::env::temp_dir().display()),
        help: Some("set TMPDIR to a directory that can be written, or mount a directory".to_owned()),
    })
}
