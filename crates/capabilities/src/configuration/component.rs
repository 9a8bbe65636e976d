//! From the metadata of a Dapr component to a configuration store.

use super::file::File;
use super::redis::Redis;
use super::{Backend, Configuration, ConfigurationError};
use crate::redis::{link::Link, metadata};
use crate::{GrantError, Properties, PropertyError};
use sampan_app::Secret;
use std::path::PathBuf;
use tokio::runtime::Handle;

/// A configuration store as its component file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationDescription {
    /// `configuration.redis`
    Redis { url: Secret },
    /// `configuration.file`, which Dapr does not have.
    File { path: PathBuf },
}

/// `None`: the type is no configuration store's.
pub fn describe(
    kind: &str,
    properties: &Properties,
) -> Result<Option<ConfigurationDescription>, PropertyError> {
    Ok(Some(match kind {
        "configuration.redis" => ConfigurationDescription::Redis { url: metadata::url(properties)? },
        "configuration.file" => ConfigurationDescription::File { path: properties.required("path")?.into() },
        _ => return Ok(None),
    }))
}

/// Opens a configuration store, which must be there. Must be called inside the runtime in which its drivers
/// shall run.
pub async fn open(name: &str, description: &ConfigurationDescription) -> Result<Configuration, GrantError> {
    let error = |why: &ConfigurationError, help: &str| GrantError {
        what: format!("the configuration store `{name}` cannot be opened: {why}"),
        help: Some(help.to_owned()),
    };
    let runtime = Handle::current();
    let backend = match description {
        ConfigurationDescription::Redis { url } => {
            let wrong =
                |why: PropertyError| error(&ConfigurationError::Other(why.to_string()), metadata::HELP);
            let server = metadata::server(url).map_err(wrong)?;
            let redis = Redis::new(Link::new(server, runtime.clone()), runtime);
            redis.check().await.map_err(|why| error(&why, metadata::HELP))?;
            Backend::Redis(redis)
        }
        ConfigurationDescription::File { path } => {
            let store = File { path: path.clone(), runtime };
            let help = "let path name a JSON file such as {\"key\": \"value\"}";
            store.get(&[]).await.map_err(|why| error(&why, help))?;
            Backend::File(store)
        }
    };
    Ok(Configuration::new(backend))
}
