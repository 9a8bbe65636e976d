//! Secrets by name: from a file, from the environment, from folders that Kubernetes mounts.
//!
//! A secret is a set of keys with values, often one under the secret's own name. Values are texts that no
//! message shows; they leave as plain strings only where a caller asked for them.

pub mod component;
mod environment;
mod file;
mod folder;

use environment::Environment;
use file::File;
use folder::Folder;
use sampan_app::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest name of a secret.
pub const NAME_BYTES_MAX: usize = 4 << 10;
/// One secret with all its keys, as Kubernetes has it.
pub const SECRET_BYTES_MAX: usize = 1 << 20;
/// A file of secrets, and all secrets of a store together.
pub const STORE_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("secret {0} not found")]
    NotFound(String),
    #[error("{what} is larger than {max} bytes")]
    TooLarge { what: &'static str, max: usize },
    /// Only what is mounted can be read, and that is of one namespace.
    #[error("secrets of the namespace {0} are not mounted here")]
    OtherNamespace(String),
    /// It may be better later.
    #[error("the secret store is not available: {0}")]
    Unavailable(String),
}

/// A secret's keys and values.
type Values = BTreeMap<String, Secret>;

/// An open secret store.
pub struct Secrets(Backend);

enum Backend {
    File(File),
    Environment(Environment),
    Folder(Arc<Folder>),
}

impl Secrets {
    /// The keys and values of one secret. The request's metadata may name a `namespace`, which only the store
    /// of Kubernetes knows.
    pub async fn get(
        &self,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(SecretError::TooLarge { what: "the name of a secret", max: NAME_BYTES_MAX });
        }
        let not_found = || SecretError::NotFound(name.to_owned());
        match &self.0 {
            Backend::File(file) => file.secrets.get(name).map(reveal).ok_or_else(not_found),
            Backend::Environment(environment) => Ok(reveal(&environment.get(name))),
            Backend::Folder(folder) => {
                folder.check_namespace(metadata)?;
                let wanted = name.to_owned();
                let found = in_folder(folder, move |folder| folder.get(&wanted)).await?;
                found.as_ref().map(reveal).ok_or_else(not_found)
            }
        }
    }

    /// Every secret of the store.
    pub async fn all(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, SecretError> {
        let found = match &self.0 {
            Backend::File(file) => return Ok(reveal_all(&file.secrets)),
            Backend::Environment(environment) => environment.all(),
            Backend::Folder(folder) => in_folder(folder, Folder::all).await?,
        };
        Ok(reveal_all(&found))
    }

    /// What Dapr's metadata call says the store can do.
    pub fn capabilities(&self) -> &'static [&'static str] {
        match &self.0 {
            Backend::File(file) if file.multi_valued => &["MULTIPLE_KEY_VALUES_PER_SECRET"],
            _ => &[],
        }
    }
}

/// Reads files on a thread that may wait for a disk.
async fn in_folder<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> Result<T, SecretError> + Send + 'static,
) -> Result<T, SecretError> {
    let (runtime, folder) = (folder.runtime.clone(), Arc::clone(folder));
    let done = runtime.spawn_blocking(move || work(&folder)).await;
    done.map_err(|error| SecretError::Unavailable(error.to_string()))?
}

fn reveal(values: &Values) -> BTreeMap<String, String> {
    values.iter().map(|(key, value)| (key.clone(), value.reveal().to_owned())).collect()
}

fn reveal_all(secrets: &BTreeMap<String, Values>) -> BTreeMap<String, BTreeMap<String, String>> {
    secrets.iter().map(|(name, values)| (name.clone(), reveal(values))).collect()
}
