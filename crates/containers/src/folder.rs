//! The folder of all containers, and of one.
//!
//! Layout of `containers/` in the data folder:
//!
//! - `ID/`: a container. `container.json` says what was asked for, `state.json` how it is, `config.json` is the OCI
//!   runtime spec that its guest gets, `rootfs/` its files, `log.json` its output. `lock` is held by its supervisor as
//!   long as that lives, and `control.sock` is where it listens.
//! - `names/NAME`: a symbolic link to the id.
//! - `lock`: held while names change.

use crate::record::{self, Config, State, Status};
use crate::{Error, events};
use chrono::Utc;
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// As Docker shows ids.
pub const SHORT_ID: usize = 12;
/// Of an id that stands for a container.
const ID_MIN: usize = 1;
const NAME_MAX_BYTES: usize = 128;

/// All containers of this user.
#[derive(Clone, Debug)]
pub struct Containers {
    root: PathBuf,
}

/// One container. What it knows is on the disk, so that every process sees the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub(crate) folder: PathBuf,
}

impl Containers {
    /// Those in a data folder; it is made where it is missing.
    ///
    /// # Errors
    /// If the folder cannot be made, or others could write to it.
    pub fn at(data: &Path) -> Result<Self, Error> {
        let root = data.join("containers");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join("names"))
            .map_err(Error::file(&root))?;
        let metadata = fs::metadata(&root).map_err(Error::file(&root))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            let error = io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to another user or is writable by others",
            );
            return Err(Error::File { path: root, error });
        }
        Ok(Containers { root })
    }

    /// Those that a container is one of.
    pub(crate) fn of(container: &Container) -> Self {
        Containers { root: container.folder.parent().unwrap_or(Path::new("/")).to_owned() }
    }

    /// The folder that named volumes are in.
    pub fn volumes(&self) -> PathBuf {
        self.root.with_file_name("volumes")
    }

    pub fn events(&self) -> events::Events {
        events::Events::at(self.root.join("events.json"))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Held while names change.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        let file = lock_file(&path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| Error::File { path, error: error.into() })?;
        Ok(file)
    }

    /// A container by its name, its id, or the beginning of its id.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn find(&self, name: &str) -> Result<Container, Error> {
        let name = name.strip_prefix('/').unwrap_or(name);
        if let Some(found) = self.by_name(name) {
            return Ok(found);
        }
        let is_id = name.len() >= ID_MIN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err(Error::NotFound(name.to_owned()));
        }
        let mut found = self.ids()?.into_iter().filter(|id| id.starts_with(name));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(self.container(id)),
            (Some(_), Some(_)) => Err(Error::Ambiguous(name.to_owned())),
            _ => Err(Error::NotFound(name.to_owned())),
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Container> {
        check_name(name).ok()?;
        let id = fs::read_link(self.name_path(name)).ok()?;
        let container = self.container(id.to_str()?.to_owned());
        // A process that died between the two left a name without a container.
        container.folder.is_dir().then_some(container)
    }

    /// All of them, the newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Container>, Error> {
        let mut all: Vec<_> = self
            .ids()?
            .into_iter()
            .map(|id| self.container(id))
            .map(|one| (one.state().ok().and_then(|state| state.created_at), one))
            .collect();
        all.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(all.into_iter().map(|(_, container)| container).collect())
    }

    fn ids(&self) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::file(&self.root))?.flatten() {
            let name = entry.file_name();
            if let Some(id) = name.to_str().filter(|name| is_id(name)) {
                ids.push(id.to_owned());
            }
        }
        Ok(ids)
    }

    pub(crate) fn container(&self, id: String) -> Container {
        Container { folder: self.root.join(&id), id }
    }

    pub(crate) fn name_path(&self, name: &str) -> PathBuf {
        self.root.join("names").join(name)
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As Docker has it: a letter or digit, then those, `_`, `.` and `-`.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && name.len() <= NAME_MAX_BYTES;
    if good { Ok(()) } else { Err(Error::Name(name.to_owned())) }
}

fn lock_file(path: &Path) -> Result<File, Error> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(Error::file(path))
}

impl Container {
    pub fn short_id(&self) -> &str {
        &self.id[..SHORT_ID]
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn log_path(&self) -> PathBuf {
        self.path("log.json")
    }

    /// The container's own files. Of a read-only one, the image's.
    ///
    /// # Errors
    /// If the container's spec cannot be read.
    pub fn rootfs(&self) -> Result<PathBuf, Error> {
        let spec = self.spec()?;
        let root = spec.root().as_ref().map(|root| root.path().clone());
        root.ok_or_else(|| Error::Damaged { path: self.path("config.json"), why: "it has no root".into() })
    }

    /// What the guest gets.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn spec(&self) -> Result<oci_spec::runtime::Spec, Error> {
        record::read(&self.path("config.json"))
    }

    /// What was asked for.
    ///
    /// # Errors
    /// If the record is gone or damaged.
    pub fn config(&self) -> Result<Config, Error> {
        record::read(&self.path("container.json")).map_err(|error| self.gone(error))
    }

    pub(crate) fn set_config(&self, config: &Config) -> Result<(), Error> {
        record::write(&self.path("container.json"), config)
    }

    pub(crate) fn set_state(&self, state: &State) -> Result<(), Error> {
        record::write(&self.path("state.json"), state)
    }

    /// How it is. Of a container whose supervisor was killed, that it has ended.
    ///
    /// # Errors
    /// If the record is gone or damaged.
    pub fn state(&self) -> Result<State, Error> {
        let state = self.state_as_written()?;
        if !state.status.is_live() {
            return Ok(state);
        }
        let Some(_held) = self.try_lock()? else { return Ok(state) };
        // Nobody is in the way now: what was read before may be old.
        let mut state = self.state_as_written()?;
        if state.status.is_live() {
            state.status = Status::Exited;
            state.pid = 0;
            state.exit_code = 137;
            state.error = "its supervisor was killed".to_owned();
            state.finished_at = Some(Utc::now());
            self.set_state(&state)?;
        }
        Ok(state)
    }

    pub(crate) fn state_as_written(&self) -> Result<State, Error> {
        record::read(&self.path("state.json")).map_err(|error| self.gone(error))
    }

    fn gone(&self, error: Error) -> Error {
        match error {
            Error::File { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                Error::NotFound(self.short_id().to_owned())
            }
            other => other,
        }
    }

    /// The supervisor's lock, if no supervisor lives.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, Error> {
        let path = self.path("lock");
        let file = lock_file(&path).map_err(|error| self.gone(error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::File { path, error: error.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "web-1", "A_b.c", "0"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "..", "a/b", "a b", "ä", &"a".repeat(NAME_MAX_BYTES + 1)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
