//! Secrets of Kubernetes, as the kubelet mounts them: a folder for each Secret, in it a file for each key
//! (Kubernetes' documentation, "Using Secrets as files from a Pod").
//!
//! Dapr's `secretstores.kubernetes` asks Kubernetes' API instead, with the rights to read every Secret of a
//! namespace. Here a guest gets what the pod's author has mounted, and nothing else.

use super::{NAME_BYTES_MAX, SECRET_BYTES_MAX, STORE_BYTES_MAX, SecretError, Values};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sampan_app::Secret;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tokio::runtime::Handle;

/// Secrets, and keys of one.
const ENTRIES_MAX: usize = 1000;

pub struct Folder {
    root: OwnedFd,
    /// The namespace of the pod, where it is known.
    namespace: Option<String>,
    pub runtime: Handle,
}

impl Folder {
    pub fn open(path: &Path, namespace: Option<String>, runtime: Handle) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Folder { root, namespace, runtime })
    }

    pub fn check_namespace(&self, metadata: &BTreeMap<String, String>) -> Result<(), SecretError> {
        let wanted = metadata.get("namespace").filter(|wanted| !wanted.is_empty());
        match (wanted, &self.namespace) {
            (Some(wanted), Some(own)) if wanted != own => Err(SecretError::OtherNamespace(wanted.clone())),
            _ => Ok(()),
        }
    }

    /// Reads the files anew: the kubelet exchanges them when the Secret changes.
    pub fn get(&self, name: &str) -> Result<Option<Values>, SecretError> {
        if !is_name(name) {
            return Ok(None);
        }
        let secret = match open_beneath(&self.root, name, OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.map_err(unavailable)?,
        };
        let (mut values, mut left) = (Values::new(), SECRET_BYTES_MAX);
        for key in names(&secret)? {
            // The kubelet's links lead to files of the same mount; whatever leads elsewhere is none of its.
            let file = match open_beneath(&secret, &key, OFlags::NONBLOCK) {
                Err(Errno::XDEV | Errno::LOOP | Errno::NOENT) => continue,
                opened => File::from(opened.map_err(unavailable)?),
            };
            if !file.metadata().map_err(unavailable)?.is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            file.take(left as u64 + 1).read_to_end(&mut bytes).map_err(unavailable)?;
            let max = SECRET_BYTES_MAX;
            left = left.checked_sub(bytes.len()).ok_or(SecretError::TooLarge { what: "a secret", max })?;
            values.insert(key, Secret::new(String::from_utf8_lossy(&bytes)));
        }
        Ok(Some(values))
    }

    pub fn all(&self) -> Result<BTreeMap<String, Values>, SecretError> {
        let (mut secrets, mut bytes) = (BTreeMap::new(), 0);
        for name in names(&self.root)? {
            let Some(values) = self.get(&name)? else { continue };
            bytes += values.iter().map(|(key, value)| key.len() + value.reveal().len()).sum::<usize>();
            if bytes > STORE_BYTES_MAX {
                return Err(SecretError::TooLarge { what: "the store", max: STORE_BYTES_MAX });
            }
            secrets.insert(name, values);
        }
        Ok(secrets)
    }
}

/// One step down. Links may be followed, but not out of the folder.
fn open_beneath(folder: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat2(folder, name, flags, Mode::empty(), ResolveFlags::BENEATH)
}

/// A secret's name as Kubernetes allows it is one part of a path, and not one of the kubelet's own.
fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(['/', '\0']);
    fits && name != "." && !name.starts_with("..")
}

/// What lies in a folder, but for the kubelet's own entries (`..data` and the folder it leads to).
fn names(folder: &OwnedFd) -> Result<Vec<String>, SecretError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder.as_fd()).map_err(unavailable)? {
        let entry = entry.map_err(unavailable)?;
        let kinds = [FileType::Directory, FileType::RegularFile, FileType::Symlink, FileType::Unknown];
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !is_name(name) || !kinds.contains(&entry.file_type()) {
            continue;
        }
        if names.len() == ENTRIES_MAX {
            return Err(SecretError::TooLarge { what: "the list of secrets or keys", max: ENTRIES_MAX });
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn unavailable(error: impl std::fmt::Display) -> SecretError {
    SecretError::Unavailable(error.to_string())
}
