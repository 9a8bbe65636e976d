//! Named volumes: folders that containers share and that outlive them. A volume's files are in `_data`, as Docker's
//! are.

use crate::Error;
use crate::folder::{Containers, check_name};
use crate::record::{self, Source};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

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
        record::write(&folder.join("volume.json"), &volume)?;
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
        let volume: Result<Volume, Error> = record::read(&folder.join("volume.json"));
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
