//! One component's grants, made ready once: each instance gets its own [`Host`] from them cheaply.

use crate::http::Door;
use crate::sql::{Granted as GrantedSql, Sql};
use crate::{Backends, Explain, GrantError, Host};
use sampan_app::Program;
use std::sync::Arc;
use wasmtime_wasi::WasiCtxBuilder;

pub struct Prepared {
    program: Program,
    door: Arc<Door>,
    sql: Arc<GrantedSql>,
}

impl Prepared {
    /// Checks that the grants can be honoured, and finds the stores that they name.
    pub fn new(program: Program, backends: &Backends) -> Result<Self, GrantError> {
        let explain = Explain::new(program.explain);
        let door = Arc::new(Door::new(&program.grants.http, &explain));
        let sql = Arc::new(GrantedSql::new(&backends.sql, &program.grants, &explain)?);
        Ok(Prepared { program, door, sql })
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
        host.sql = Sql::new(&self.sql);
        Ok(host)
    }
}
