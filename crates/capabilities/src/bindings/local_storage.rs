//! The output binding of a folder: files by name, as Dapr's `bindings.localstorage` (dapr/components-contrib,
//! bindings/localstorage/localstorage.go).
//!
//! Every path is resolved beneath the open folder. A `..` at the folder stays there, as in Dapr, and a link that
//! leads out of it is an error.

use super::{BindingError, DATA_BYTES_MAX, Invoked, no_such_operation};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom as _;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

pub const OPERATIONS: &[&str] = &["create", "get", "list", "delete"];

/// Folders in folders that are listed.
const DEPTH_MAX: usize = 64;
/// Files in one list.
const FILES_MAX: usize = 10_000;

/// Roots that no component file may name, with the links that lead to them resolved: from there a caller would
/// read the process's own secrets.
const FORBIDDEN: [&str; 5] = ["/proc", "/sys", "/boot", "/var/run/secrets", "/run/secrets"];

pub struct LocalStorage {
    folder: Arc<Folder>,
    runtime: Handle,
}

struct Folder {
    path: PathBuf,
    root: OwnedFd,
}

impl LocalStorage {
    /// Makes the folder if it is not there.
    pub fn open(path: &Path, runtime: Handle) -> Result<Self, String> {
        let why = |error: std::io::Error| format!("cannot open the folder {}: {error}", path.display());
        // Before anything is made in there.
        refuse_forbidden(&std::path::absolute(path).map_err(why)?)?;
        std::fs::create_dir_all(path).map_err(why)?;
        let path = path.canonicalize().map_err(why)?;
        refuse_forbidden(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| why(error.into()))?;
        Ok(LocalStorage { folder: Arc::new(Folder { path, root }), runtime })
    }

    pub async fn invoke(
        &self,
        operation: &str,
        data: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Invoked, BindingError> {
        let name = metadata.get("fileName").cloned().unwrap_or_default();
        let folder = Arc::clone(&self.folder);
        let done = match operation {
            "create" => {
                let data = decoded(data);
                self.runtime.spawn_blocking(move || folder.create(&name, &data)).await
            }
            "get" => self.runtime.spawn_blocking(move || folder.get(&name)).await,
            "list" => self.runtime.spawn_blocking(move || folder.list(&name)).await,
            "delete" => self.runtime.spawn_blocking(move || folder.delete(&name)).await,
            _ => return Err(no_such_operation(operation, OPERATIONS)),
        };
        done.map_err(|error| BindingError::Unavailable(error.to_string()))?
    }
}

fn refuse_forbidden(path: &Path) -> Result<(), String> {
    match FORBIDDEN.iter().any(|root| path.starts_with(root)) {
        true => Err("property rootPath points to a disallowed location".to_owned()),
        false => Ok(()),
    }
}

/// What a caller sends is JSON, and may be base64 for what is no text: Dapr tries one after the other.
fn decoded(data: &[u8]) -> Vec<u8> {
    let text = serde_json::from_slice::<String>(data).map(String::into_bytes);
    let data = text.unwrap_or_else(|_| data.to_vec());
    STANDARD.decode(&data).unwrap_or(data)
}

impl Folder {
    fn create(&self, name: &str, data: &[u8]) -> Result<Invoked, BindingError> {
        let path = match name {
            "" => random_name()?,
            name => relative(name)?,
        };
        let (parents, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let parent =
            self.make_folders(parents).map_err(|error| self.failed("creating directory", parents, error))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let opened = beneath(&parent, last, flags, mode);
        let mut file = File::from(opened.map_err(|error| self.failed("creating file", &path, error))?);
        file.write_all(data).map_err(|error| self.failed("writing to file", &path, error))?;
        let data = serde_json::json!({ "fileName": path }).to_string().into_bytes();
        Ok(Invoked { data: Some(data), ..Invoked::default() })
    }

    /// The folder of this path, which is made where it is not there.
    fn make_folders(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut folder = beneath(&self.root, ".", flags, Mode::empty())?;
        for (end, _) in path.match_indices('/').chain((!path.is_empty()).then_some((path.len(), ""))) {
            let (whole, part) = (&path[..end], path[..end].rsplit('/').next().unwrap_or_default());
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            // From the root: a link may lead to any place beneath it.
            folder = beneath(&self.root, whole, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    fn get(&self, name: &str) -> Result<Invoked, BindingError> {
        let path = relative(name)?;
        let opened = beneath(&self.root, &path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let file = match opened {
            Err(Errno::NOENT) => {
                return Err(BindingError::Other(format!("file not found: {}", self.shown(&path))));
            }
            opened => File::from(opened.map_err(|error| self.failed("opening path", &path, error))?),
        };
        let reading = |error| self.failed("reading file", &path, error);
        if !file.metadata().map_err(reading)?.is_file() {
            return Err(BindingError::Other(format!("error reading file {}: it is none", self.shown(&path))));
        }
        let mut data = Vec::new();
        file.take(DATA_BYTES_MAX as u64 + 1).read_to_end(&mut data).map_err(reading)?;
        if data.len() > DATA_BYTES_MAX {
            return Err(BindingError::TooLarge { what: "the file", max: DATA_BYTES_MAX });
        }
        Ok(Invoked { data: Some(data), ..Invoked::default() })
    }

    /// An empty folder goes too.
    fn delete(&self, name: &str) -> Result<Invoked, BindingError> {
        let path = relative(name)?;
        let (parents, last) = path.rsplit_once('/').unwrap_or((".", &path));
        let deleting = |error| self.failed("deleting file", &path, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = beneath(&self.root, parents, flags, Mode::empty()).map_err(deleting)?;
        match rustix::fs::unlinkat(&parent, last, AtFlags::empty()) {
            Err(Errno::ISDIR) => rustix::fs::unlinkat(&parent, last, AtFlags::REMOVEDIR).map_err(deleting)?,
            removed => removed.map_err(deleting)?,
        }
        Ok(Invoked::default())
    }

    /// All files below a folder, by their paths on this machine.
    fn list(&self, name: &str) -> Result<Invoked, BindingError> {
        let path = if name.is_empty() { String::new() } else { relative(name)? };
        let from = if path.is_empty() { "." } else { &path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = match beneath(&self.root, from, flags, Mode::empty()) {
            Err(Errno::NOTDIR) => {
                let what = "unable to list files as the file specified is not a directory";
                return Err(BindingError::Other(format!("{what}: {}", self.shown(&path))));
            }
            opened => opened.map_err(|error| self.failed("getting stats for path", &path, error))?,
        };
        let mut files = Vec::new();
        self.walk(&folder, &self.path.join(&path), 0, &mut files)?;
        files.sort_unstable();
        let data = serde_json::to_vec(&files).map_err(|error| BindingError::Other(error.to_string()))?;
        Ok(Invoked { data: Some(data), ..Invoked::default() })
    }

    /// Links are listed, not followed.
    fn walk(
        &self,
        folder: &OwnedFd,
        path: &Path,
        depth: usize,
        files: &mut Vec<String>,
    ) -> Result<(), BindingError> {
        if depth == DEPTH_MAX {
            return Err(BindingError::TooLarge { what: "the depth of the folder", max: DEPTH_MAX });
        }
        let listing = |error: Errno| {
            BindingError::Other(format!("error listing files in the directory {}: {error}", path.display()))
        };
        for entry in Dir::read_from(folder.as_fd()).map_err(listing)? {
            let entry = entry.map_err(listing)?;
            let name = entry.file_name().to_string_lossy();
            if name == "." || name == ".." {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
                && let Ok(below) = rustix::fs::openat(folder, entry.file_name(), flags, Mode::empty())
            {
                self.walk(&below, &path.join(&*name), depth + 1, files)?;
                continue;
            }
            if files.len() == FILES_MAX {
                return Err(BindingError::TooLarge { what: "the list of files", max: FILES_MAX });
            }
            files.push(path.join(&*name).display().to_string());
        }
        Ok(())
    }

    fn shown(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    fn failed(&self, doing: &str, path: &str, error: impl std::fmt::Display) -> BindingError {
        BindingError::Other(format!("error {doing} {}: {error}", self.shown(path)))
    }
}

fn beneath(folder: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(folder, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::BENEATH)
}

/// A name as a path below the folder, without `.`, `..` and slashes that lead nowhere.
fn relative(name: &str) -> Result<String, BindingError> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    match parts.is_empty() || name.contains('\0') {
        true => Err(BindingError::Metadata("the metadata's fileName is no name of a file".to_owned())),
        false => Ok(parts.join("/")),
    }
}

/// A name of our own choice.
fn random_name() -> Result<String, BindingError> {
    let mut bytes = [0; 16];
    let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| BindingError::Unavailable("there are no random numbers".to_owned()))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}
