//! From the metadata of a Dapr component to a lock store.

use super::memory::Memory;
use super::redis::Redis;
use super::{Backend, Lock};
use crate::redis::{link::Link, metadata};
use crate::{GrantError, Properties, PropertyError};
use sampan_app::Secret;
use tokio::runtime::Handle;

/// A lock store as its component file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockDescription {
    /// `lock.in-memory`, which Dapr does not have.
    Memory,
    /// `lock.redis`
    Redis { url: Secret },
}

/// `None`: the type is no lock store's.
pub fn describe(kind: &str, properties: &Properties) -> Result<Option<LockDescription>, PropertyError> {
    Ok(Some(match kind {
        "lock.in-memory" => LockDescription::Memory,
        "lock.redis" => LockDescription::Redis { url: metadata::url(properties)? },
        _ => return Ok(None),
    }))
}

/// Opens a lock store, which must be reachable. Must be called inside the runtime in which its driver shall run.
pub async fn open(name: &str, description: &LockDescription) -> Result<Lock, GrantError> {
    let error = |why: &str, help: &str| GrantError {
        what: format!("the lock store `{name}` cannot be opened: {why}"),
        help: Some(help.to_owned()),
    };
    let url = match description {
        LockDescription::Memory => return Ok(Lock(Backend::Memory(Memory::default()))),
        LockDescription::Redis { url } => url,
    };
    let server = metadata::server(url).map_err(|why| error(&why.to_string(), metadata::HELP))?;
    let redis = Redis(Link::new(server, Handle::current()));
    let replicas = redis.replicas().await.map_err(|why| error(&why.to_string(), metadata::HELP))?;
    if replicas > 0 {
        let why = format!("its Redis has {replicas} replicas, and a lock may be lost when one takes over");
        return Err(error(&why, "use a Redis without replicas for locks"));
    }
    Ok(Lock(Backend::Redis(redis)))
}
