//! One component's grants, made ready once: each instance gets its own [`Host`] from them cheaply.

use crate::config::Config;
use crate::host::Parts;
use crate::http::{Door, Http, Local};
use crate::keyvalue::KeyValue;
use crate::messaging::host::Messaging;
use crate::redis::{Pool, Redis};
use crate::services::Services;
use crate::sockets::Sockets;
use crate::sql::{Granted as GrantedSql, Sql};
use crate::{Backends, Explain, GrantError, Host, keyvalue, messaging};
use sampan_app::{Program, StoreGrant};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime_wasi::WasiCtxBuilder;

pub struct Prepared {
    program: Program,
    explain: Explain,
    door: Arc<Door>,
    keyvalue: keyvalue::Granted,
    messaging: messaging::host::Granted,
    services: Arc<Services>,
    redis: Arc<Pool>,
    config: Config,
    sql: Arc<GrantedSql>,
    /// Shared by all instances, but where each has ports of its own.
    sockets: Option<Sockets>,
}

impl Prepared {
    /// Checks that the grants can be honoured, and finds the stores that they name.
    pub fn new(mut program: Program, backends: &Backends) -> Result<Self, GrantError> {
        let explain = Explain::new(program.explain);
        let door = Arc::new(Door::new(&program.grants.http, &explain));
        let sql = Arc::new(GrantedSql::new(&backends.sql, &program.grants, &explain)?);
        // Taken out of the program: what is shared need not be copied for each instance.
        let grants = &mut program.grants;
        let keyvalue = Arc::new(find(std::mem::take(&mut grants.keyvalue), &backends.keyvalue, &STORE)?);
        let messaging = Arc::new(find(std::mem::take(&mut grants.messaging), &backends.messaging, &BROKER)?);
        let services = Arc::new(Services::new(std::mem::take(&mut grants.services), &explain));
        let config = Config::new(std::mem::take(&mut grants.config), &explain);
        let redis = Arc::clone(&backends.redis);
        let sockets = match grants.ports.is_empty() {
            true => Some(Sockets::new(grants, &mut WasiCtxBuilder::new(), &explain)?),
            false => None,
        };
        Ok(Prepared { program, explain, door, keyvalue, messaging, services, redis, config, sql, sockets })
    }

    /// Leads requests for the app's own components to them.
    pub fn with_local(mut self, local: Arc<Local>) -> Self {
        let door = Door::new(&self.program.grants.http, &self.explain);
        self.door = Arc::new(door.with_local(local).with_dapr(&self.program.grants.dapr));
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
        let parts = Parts {
            sockets: self.sockets.clone(),
            http: Http::behind(Arc::clone(&self.door)),
            keyvalue: KeyValue::new(Arc::clone(&self.keyvalue), &self.explain),
            messaging: Messaging::new(Arc::clone(&self.messaging), &self.explain),
            redis: Redis::new(Arc::clone(&self.services), Arc::clone(&self.redis)),
            config: self.config.clone(),
            sql: Sql::new(&self.sql),
        };
        Host::of(&self.program, wasi, limiter, &self.explain, parts)
    }
}

/// How messages name what is granted: in words, and in the manifest.
type Kind = (&'static str, &'static str);

const STORE: Kind = ("key-value store", "keyvalue");
const BROKER: Kind = ("broker", "messaging");

/// What is granted of a kind, by the guest's names.
fn find<T>(
    grants: Vec<StoreGrant>,
    there: &BTreeMap<String, Arc<T>>,
    (kind, key): &Kind,
) -> Result<BTreeMap<String, Arc<T>>, GrantError> {
    let mut found = BTreeMap::new();
    for StoreGrant { name, store } in grants {
        let one = there.get(&store).ok_or_else(|| GrantError {
            what: format!("the {kind} `{store}` is granted, but the app has none of this name"),
            help: Some(format!("add [{key}.{store}] to the manifest, or correct the grant")),
        })?;
        found.insert(name, Arc::clone(one));
    }
    Ok(found)
}
