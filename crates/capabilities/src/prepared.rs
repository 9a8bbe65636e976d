//! One component's grants, made ready once: each instance gets its own [`Host`] from them cheaply.

use crate::http::{Door, Local};
use crate::{Backends, Explain, GrantError, Host};
use sampan_app::Program;
use std::sync::Arc;
use wasmtime_wasi::WasiCtxBuilder;

pub struct Prepared {
    program: Program,
    door: Arc<Door>,
}

impl Prepared {
    /// Checks that the grants can be honoured, and finds the stores that they name.
    pub fn new(program: Program, backends: &Backends) -> Result<Self, GrantError> {
        let _ = backends;
        let door = Arc::new(Door::new(&program.grants.http, &Explain::new(program.explain)));
        Ok(Prepared { program, door })
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
        Ok(host)
    }
}
