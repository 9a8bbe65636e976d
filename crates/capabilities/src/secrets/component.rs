//! From the metadata of a Dapr component to a secret store.

use super::environment::Environment;
use super::file::File;
use super::folder::Folder;
use super::{Backend, Secrets};
use crate::{GrantError, Properties, PropertyError};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Between the parts of a nested name.
const SEPARATOR: &str = ":";

/// A secret store as its component file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsDescription {
    /// `secretstores.local.file`. A relative path is relative to the folder in which the process runs.
    File { path: PathBuf, separator: String, multi_valued: bool },
    /// `secretstores.local.env`
    Environment { prefix: String },
    /// `secretstores.kubernetes`, from folders that are mounted below `path`.
    Folder { path: PathBuf, namespace: Option<String> },
}

/// `None`: the type is no secret store's.
pub fn describe(kind: &str, properties: &Properties) -> Result<Option<SecretsDescription>, PropertyError> {
    Ok(Some(match kind {
        "secretstores.local.file" => SecretsDescription::File {
            path: properties.required("secretsFile")?.into(),
            separator: properties.text("nestedSeparator").unwrap_or(SEPARATOR).to_owned(),
            multi_valued: properties.flag("multiValued")?.unwrap_or(false),
        },
        "secretstores.local.env" => SecretsDescription::Environment {
            prefix: properties.text("prefix").unwrap_or_default().to_owned(),
        },
        "secretstores.kubernetes" => {
            let path = properties.text("secretsPath").ok_or_else(|| {
                PropertyError::new(
                    "secretsPath",
                    "the metadata lacks `secretsPath`: Sampan does not ask Kubernetes' API for secrets",
                    "mount each Secret in a folder of its own name, and name the folder above as `secretsPath`",
                )
            })?;
            let namespace = properties.text("defaultNamespace").map(str::to_owned);
            SecretsDescription::Folder { path: path.into(), namespace }
        }
        _ => return Ok(None),
    }))
}

/// Opens a secret store. Must be called inside the runtime in which files shall be read.
pub async fn open(name: &str, description: &SecretsDescription) -> Result<Secrets, GrantError> {
    let error = |why: &dyn std::fmt::Display, help: &str| GrantError {
        what: format!("the secret store `{name}` cannot be opened: {why}"),
        help: Some(help.to_owned()),
    };
    let backend = match description {
        SecretsDescription::Environment { prefix } => {
            let variables = std::env::vars_os();
            let texts = variables
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
            Backend::Environment(Environment::new(prefix, texts))
        }
        SecretsDescription::File { path, separator, multi_valued } => {
            let help = "let secretsFile name a JSON file such as {\"name\": \"value\"}";
            let (path, separator, multi_valued) = (path.clone(), separator.clone(), *multi_valued);
            let read = tokio::task::spawn_blocking(move || File::read(&path, &separator, multi_valued)).await;
            let read = read.map_err(|why| error(&why, "start sampan again"))?;
            Backend::File(read.map_err(|why| error(&why, help))?)
        }
        SecretsDescription::Folder { path, namespace } => {
            let opened = Folder::open(path, namespace.clone(), Handle::current());
            let why = |cause| format!("cannot open {}: {cause}", path.display());
            let opened = opened.map_err(|cause| error(&why(cause), "let secretsPath name a folder"))?;
            Backend::Folder(Arc::new(opened))
        }
    };
    Ok(Secrets(backend))
}
