//! One component's grants, made ready once: each instance gets its own [`Host`] from them cheaply.

use crate::config::Config;

use crate::http::{Door, Local};
use crate::keyvalue::{Granted, KeyValue, Slot};
use crate::redis::{Pool, Redis};
use crate::services::Services;
use crate::sql::{Granted as GrantedSql, Sql};
use crate::{Backends, Explain, GrantError, Host};
use sampan_app::{Program, StoreGrant};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime_wasi::WasiCtxBuilder;

pub struct Prepared {
    program: Program,
    explain: Explain,
    door: Arc<Door>,
    keyvalue: Granted,
    services: Arc<Services>,
    redis: Arc<Pool>,
    config: Config,
    sql: Arc<GrantedSql>,
}

impl Prepared {
    /// Checks that the grants can be honoured, and finds the stores that they name.
    pub fn new(mut program: Program, backends: &Backends) -> Result<Self, GrantError> {
        let explain = Explain::new(program.explain);
        let door = Arc::new(Door::new(&program.grants.http, &explain));
        let sql = Arc::new(GrantedSql::new(&backends.sql, &program.grants, &explain)?);
        // Taken out of the program: what is shared need not be copied for each instance.
        let grants = &mut program.grants;
        let keyvalue = Arc::new(find_stores(std::mem::take(&mut grants.keyvalue), backends)?);
        let services = Arc::new(Services::new(std::mem::take(&mut grants.services), &explain));
        let config = Config::new(std::mem::take(&mut grants.config), &explain);
        let redis = Arc::clone(&backends.redis);
        Ok(Prepared { program, explain, door, keyvalue, services, redis, config, sql })
    }

    /// Leads requests for the app's own components to them.
    pub fn with_local(mut self, local: Arc<Local>) -> Self {
        let door = Door::new(&self.program.grants.http, &Explain::new(self.program.explain));
        self.door = Arc::new(door.with_local(local));
        self
    }

    /// What an instance may touch. `wasi` comes with the standard streams.
    ///
    /// Must be called inside a Tokio runtime.
    pub fn host(
        &self,
        wasi: WasiCtxBuilder,
        limiter: Box<dyn wasmtime::ResourceLimiter + Send + Sync>,
    ) -> Result<Host, GrantError> {
        let mut host = Host::new(&self.program, wasi, limiter)?;
        host.http = crate::http::Http::behind(Arc::clone(&self.door));
        host.keyvalue = KeyValue::new(Arc::clone(&self.keyvalue), &self.explain);
        host.redis = Redis::new(Arc::clone(&self.services), Arc::clone(&self.redis));
        host.config = self.config.clone();
        host.sql = Sql::new(&self.sql);
        Ok(host)
    }
}

/// The key-value stores that are granted, by the guest's names.
fn find_stores(
    grants: Vec<StoreGrant>,
    backends: &Backends,
) -> Result<BTreeMap<String, Arc<Slot>>, GrantError> {
    let mut found = BTreeMap::new();
    for StoreGrant { name, store } in grants {
        let slot = backends.keyvalue.get(&store).ok_or_else(|| GrantError {
            what: format!("the key-value store `{store}` is granted, but the app has none of this name"),
            help: Some(format!("add [keyvalue.{store}] to the manifest, or correct the grant")),
        })?;
        found.insert(name, Arc::clone(slot));
    }
    Ok(found)
}
