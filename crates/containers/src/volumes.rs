//! Named volumes: folders that containers share and that outlive them. A volume's files are in `_data`, as Docker's
//! are.

use crate::folder::{Containers, check_name};
use crate::record::{self, Source};
use crate::{Error, copy};
use chrono::{DateTime, Utc};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const RECORD: &str = "volume.json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub path: PathBuf,
    pub created_at: DateTime<Utc>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Containers {
    /// Makes a volume, or finds the one of that name.
    ///
    /// # Errors
    /// For a wrong name, or if the folder cannot be made.
    pub fn create_volume(&self, name: &str, labels: BTreeMap<String, String>) -> Result<Volume, Error> {
        check_name(name)?;
        let _names = self.lock()?;
        if let Ok(volume) = self.volume(name) {
            return Ok(volume);
        }
        let folder = self.volumes().join(name);
        let path = folder.join("_data");
        fs::create_dir_all(&path).map_err(Error::file(&path))?;
        let volume = Volume { name: name.to_owned(), path, created_at: Utc::now(), labels };
        record::write(&folder.join(RECORD), &volume)?;
        self.events().tell("volume", "create", name, BTreeMap::new());
        Ok(volume)
    }

    /// A volume by its name.
    ///
    /// # Errors
    /// If there is none.
    pub fn volume(&self, name: &str) -> Result<Volume, Error> {
        check_name(name)?;
        let folder = self.volumes().join(name);
        let volume: Result<Volume, Error> = record::read(&folder.join(RECORD));
        let volume = volume.map_err(|_| Error::Invalid(format!("there is no volume {name}")))?;
        Ok(Volume { name: name.to_owned(), path: folder.join("_data"), ..volume })
    }

    /// All volumes, by name.
    pub fn list_volumes(&self) -> Vec<Volume> {
        let entries = fs::read_dir(self.volumes()).into_iter().flatten().flatten();
        let mut all: Vec<_> =
            entries.filter_map(|entry| self.volume(entry.file_name().to_str()?).ok()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Gives an empty volume what the image has in its place, as Docker does.
    ///
    /// # Errors
    /// The file that could not be copied; the volume is empty then.
    pub(crate) fn fill_volume(&self, name: &str, image: &Path, target: &str) -> Result<(), Error> {
        let Some(from) = copy::folder_of(image, target) else { return Ok(()) };
        let volume = self.volume(name)?;
        // Whoever comes at the same time waits, and finds it filled.
        let record = volume.path.with_file_name(RECORD);
        let held = File::open(&record).map_err(Error::file(&record))?;
        rustix::fs::flock(&held, FlockOperation::LockExclusive)
            .map_err(|error| Error::file(&record)(error.into()))?;
        let is_empty = fs::read_dir(&volume.path).map_err(Error::file(&volume.path))?.next().is_none();
        if !is_empty {
            return Ok(());
        }
        let copied = copy::tree(&from, &volume.path).and_then(|()| {
            // Ours to write to, whatever the image says.
            let mode = fs::metadata(&from).map(|metadata| metadata.mode() | 0o700);
            mode.and_then(|mode| fs::set_permissions(&volume.path, Permissions::from_mode(mode)))
                .map_err(|error| (from, error))
        });
        copied.map_err(|(path, error)| {
            // Half of the files would be taken for all of them.
            let _ = fs::remove_dir_all(&volume.path).and_then(|()| fs::create_dir(&volume.path));
            Error::File { path, error }
        })
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// If there is none, or a container uses it.
    pub fn remove_volume(&self, name: &str) -> Result<(), Error> {
        let _names = self.lock()?;
        let volume = self.volume(name)?;
        for container in self.list()? {
            let config = container.config()?;
            if config.mounts.iter().any(|mount| mount.source == Source::Volume(name.to_owned())) {
                let id = container.short_id();
                return Err(Error::Invalid(format!("the volume {name} is used by the container {id}")));
            }
        }
        let folder = volume.path.with_file_name("");
        fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
        self.events().tell("volume", "destroy", name, BTreeMap::new());
        Ok(())
    }
}
