//! A tree of files in the making, below a folder that is ours alone until it is done.
//!
//! Names are looked up here, component by component, as inside a container: a symbolic link leads on from the root, and
//! `..` at the root is the root. So what is written is always below it.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// As in Linux.
const LINKS_MAX: usize = 40;
/// Deeper trees than those of real images.
const DEPTH_MAX: usize = 256;
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("cannot write {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} {why}", path.display())]
    Name { path: PathBuf, why: &'static str },
    /// What is to be written cannot be read.
    #[error("{0}")]
    Source(io::Error),
}

/// What is kept of an entry beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub modified_s: i64,
}

pub struct Tree<'a> {
    root: &'a Path,
    /// Owners can be set.
    is_root: bool,
    /// The folder that was looked up last, by the name under which it was asked for.
    last: Option<(Vec<u8>, PathBuf)>,
    /// Times of folders, which change whenever something is written there, are set at the end.
    folders: Vec<(PathBuf, i64)>,
    /// Folders that were made without an entry of their own.
    pub implied: u64,
    buffer: Vec<u8>,
}

type Parts<'a> = [&'a [u8]];

impl<'a> Tree<'a> {
    pub fn new(root: &'a Path) -> Result<Self, TreeError> {
        let is_root = rustix::process::geteuid().is_root();
        Ok(Tree { root, is_root, last: None, folders: Vec::new(), implied: 0, buffer: vec![0; BUFFER_BYTES] })
    }

    pub fn is_empty(&self) -> Result<bool, TreeError> {
        let mut entries = fs::read_dir(self.root).map_err(|error| self.failed(self.root, error))?;
        Ok(entries.next().is_none())
    }

    /// A folder. One that is there keeps what is in it.
    pub fn folder(&mut self, parts: &Parts<'_>, meta: Meta) -> Result<(), TreeError> {
        let path = self.place(parts)?;
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                self.last = None;
                fs::remove_file(&path).map_err(|error| self.failed(&path, error))?;
                self.make_folder(&path)?;
            }
            Err(_) => self.make_folder(&path)?,
        }
        // Whoever unpacked it must be able to remove it.
        let mode = Permissions::from_mode(meta.mode | 0o700);
        fs::set_permissions(&path, mode).map_err(|error| self.failed(&path, error))?;
        self.own(&path, meta)?;
        self.folders.push((path, meta.modified_s));
        Ok(())
    }

    pub fn file(
        &mut self,
        parts: &Parts<'_>,
        meta: Meta,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), TreeError> {
        let path = self.place(parts)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_at(&path)?;
                options.open(&path)
            }
            opened => opened,
        }
        .map_err(|error| self.failed(&path, error))?;
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            let count = content.read(&mut self.buffer[..wanted]).map_err(TreeError::Source)?;
            if count == 0 {
                return Err(TreeError::Source(io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&self.buffer[..count]).map_err(|error| self.failed(&path, error))?;
            left -= count as u64;
        }
        self.own(&path, meta)?;
        let done = file.set_permissions(Permissions::from_mode(meta.mode));
        let done = done.and_then(|()| set_modified(&file, meta.modified_s));
        done.map_err(|error| self.failed(&path, error))
    }

    pub fn symlink(&mut self, parts: &Parts<'_>, target: &[u8]) -> Result<(), TreeError> {
        let path = self.place(parts)?;
        self.remove_at(&path)?;
        let made = std::os::unix::fs::symlink(OsStr::from_bytes(target), &path);
        made.map_err(|error| self.failed(&path, error))
    }

    /// Another name for a file that is there.
    pub fn hard_link(&mut self, parts: &Parts<'_>, target: &Parts<'_>) -> Result<(), TreeError> {
        let (target, path) = (self.existing(target)?, self.place(parts)?);
        let found = target.map(|target| (fs::symlink_metadata(&target), target));
        let target = match found {
            Some((Ok(found), _)) if found.is_dir() => return self.refuse(&path, "is a link to a folder"),
            Some((Ok(_), target)) if target == path => return Ok(()),
            Some((Ok(_), target)) => target,
            _ => return self.refuse(&path, "is a link to a file that is not there"),
        };
        self.remove_at(&path)?;
        let made = rustix::fs::linkat(CWD, &target, CWD, &path, AtFlags::empty());
        made.map_err(|error| self.failed(&path, error.into()))
    }

    /// Removes what is there, if anything is.
    pub fn remove(&mut self, parts: &Parts<'_>) -> Result<(), TreeError> {
        match self.existing(parts)? {
            Some(path) => self.remove_at(&path),
            None => Ok(()),
        }
    }

    /// Removes what is in a folder and belongs to lower layers.
    pub fn clear(&mut self, parts: &Parts<'_>, is_lower: &dyn Fn(&[u8]) -> bool) -> Result<(), TreeError> {
        let Some(folder) = self.existing(&[parts, &[&b"."[..]]].concat())? else { return Ok(()) };
        let entries = fs::read_dir(&folder).map_err(|error| self.failed(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed(&folder, error))?;
            if is_lower(entry.file_name().as_bytes()) {
                self.remove_at(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Sets what had to wait.
    pub fn finish(self) -> Result<(), TreeError> {
        for (path, modified_s) in self.folders.iter().rev() {
            // One that was removed again needs none.
            if let Ok(folder) = File::open(path) {
                set_modified(&folder, *modified_s).map_err(|error| self.failed(path, error))?;
            }
        }
        Ok(())
    }

    /// Where a name is, with its folder, which is made if it is not there.
    fn place(&mut self, parts: &Parts<'_>) -> Result<PathBuf, TreeError> {
        let Some((last, folder)) = parts.split_last() else {
            return self.refuse(Path::new("/"), "is the root itself");
        };
        let folder = self.look_up(folder, true)?.unwrap_or_else(|| self.root.to_owned());
        Ok(folder.join(OsStr::from_bytes(last)))
    }

    /// Where something is that may be there; `None` if its folder is not.
    fn existing(&mut self, parts: &Parts<'_>) -> Result<Option<PathBuf>, TreeError> {
        let Some((last, folder)) = parts.split_last() else { return Ok(None) };
        let Some(folder) = self.look_up(folder, false)? else { return Ok(None) };
        if *last == b"." { Ok(Some(folder)) } else { Ok(Some(folder.join(OsStr::from_bytes(last)))) }
    }

    /// The folder that a name means, through links inside the root.
    fn look_up(&mut self, parts: &Parts<'_>, make: bool) -> Result<Option<PathBuf>, TreeError> {
        let name = parts.join(&b'/');
        if let Some((asked, found)) = &self.last
            && *asked == name
        {
            return Ok(Some(found.clone()));
        }
        let mut path = self.root.to_owned();
        let mut depth = 0;
        let mut links = 0;
        // The next component is the last.
        let mut to_do: Vec<Vec<u8>> = parts.iter().rev().map(|part| part.to_vec()).collect();
        while let Some(part) = to_do.pop() {
            if part == b".." {
                if depth > 0 {
                    path.pop();
                    depth -= 1;
                }
                continue;
            }
            path.push(OsStr::from_bytes(&part));
            depth += 1;
            if depth > DEPTH_MAX {
                return self.refuse(&path, "is too deep");
            }
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    let target = fs::read_link(&path).map_err(|error| self.failed(&path, error))?;
                    let target = target.into_os_string().into_vec();
                    if links > LINKS_MAX {
                        return self.refuse(&path, "leads through too many links");
                    }
                    path.pop();
                    depth -= 1;
                    if target.starts_with(b"/") {
                        path = self.root.to_owned();
                        depth = 0;
                    }
                    let steps = target.split(|byte| *byte == b'/');
                    to_do.extend(steps.rev().filter(|step| !matches!(*step, b"" | b".")).map(<[u8]>::to_vec));
                }
                // A folder where a lower layer has a file.
                Ok(_) if make => {
                    self.remove_at(&path)?;
                    self.make_folder(&path)?;
                    self.implied += 1;
                }
                Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                    self.make_folder(&path)?;
                    self.implied += 1;
                }
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(self.failed(&path, error)),
            }
        }
        self.last = Some((name, path.clone()));
        Ok(Some(path))
    }

    fn make_folder(&self, path: &Path) -> Result<(), TreeError> {
        fs::DirBuilder::new().mode(0o755).create(path).map_err(|error| self.failed(path, error))
    }

    /// Whatever it is. Links are removed, not followed.
    fn remove_at(&mut self, path: &Path) -> Result<(), TreeError> {
        self.last = None;
        let removed = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
        };
        removed.map_err(|error| self.failed(path, error))
    }

    /// Gives it to the owner that the archive names, where we may.
    fn own(&self, path: &Path, meta: Meta) -> Result<(), TreeError> {
        if !self.is_root || (meta.user, meta.group) == (0, 0) {
            return Ok(());
        }
        match std::os::unix::fs::lchown(path, Some(meta.user), Some(meta.group)) {
            // Inside a user namespace, not every number is somebody.
            Err(error) if matches!(error.raw_os_error(), Some(code) if is_unmapped(code)) => Ok(()),
            done => done.map_err(|error| self.failed(path, error)),
        }
    }

    /// Errors name what the archive names, not where we put it.
    fn failed(&self, path: &Path, error: io::Error) -> TreeError {
        TreeError::Io { path: self.inside(path), error }
    }

    fn refuse<T>(&self, path: &Path, why: &'static str) -> Result<T, TreeError> {
        Err(TreeError::Name { path: self.inside(path), why })
    }

    fn inside(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(self.root).unwrap_or(path))
    }
}

fn is_unmapped(code: i32) -> bool {
    code == rustix::io::Errno::INVAL.raw_os_error() || code == rustix::io::Errno::PERM.raw_os_error()
}

fn set_modified(file: &File, modified_s: i64) -> io::Result<()> {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: modified_s, tv_nsec: 0 };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access, last_modification })?)
}
