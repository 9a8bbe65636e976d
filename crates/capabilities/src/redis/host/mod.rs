//! The interfaces that guests see.

mod spin_v1;
mod spin_v2;
mod spin_v3;

use super::{Error, Pool, Session};
use crate::Host;
use crate::services::Services;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};

/// Connections that a guest may have open at once.
const OPEN_MAX: usize = 32;
/// Connections that are kept for a guest whose interface has none, one for each address it names.
const KEPT_MAX: usize = 8;

/// A connection as guests of the versions with resources hold it. Commands of one connection follow each other.
#[derive(Clone)]
pub struct Connection(Arc<tokio::sync::Mutex<Session>>);

/// What one guest has to do with Redis.
pub struct Redis {
    services: Arc<Services>,
    pool: Arc<Pool>,
    table: ResourceTable,
    /// For the interface that names the address in each call; the one used last is at the end.
    kept: Vec<(String, Session)>,
}

impl Default for Redis {
    fn default() -> Self {
        Redis::new(Arc::default(), Arc::default())
    }
}

impl Redis {
    pub fn new(services: Arc<Services>, pool: Arc<Pool>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(OPEN_MAX);
        Redis { services, pool, table, kept: Vec::new() }
    }

    fn session(&self, handle: &Resource<Connection>) -> Result<Connection> {
        Ok(self.table.get(handle)?.clone())
    }

    fn keep(&mut self, session: Session) -> Result<Resource<Connection>, Error> {
        let connection = Connection(Arc::new(tokio::sync::Mutex::new(session)));
        self.table.push(connection).map_err(|_| Error::TooManyConnections)
    }
}

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    type Own = HasSelf<Redis>;
    fn own(host: &mut Host) -> &mut Redis {
        &mut host.redis
    }
    match name {
        "fermyon:spin/redis" => spin_v1::redis::add_to_linker::<_, Own>(linker, own)?,
        "fermyon:spin/redis-types" => spin_v1::redis_types::add_to_linker::<_, Own>(linker, own)?,
        "fermyon:spin/redis@2.0.0" => spin_v2::add_to_linker::<_, Own>(linker, own)?,
        "spin:redis/redis@3.0.0" => spin_v3::add_to_linker::<_, Own>(linker, own)?,
        _ => return Ok(false),
    }
    Ok(true)
}
