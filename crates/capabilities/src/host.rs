//! The store's data: one guest's capabilities, as the host calls see them.

use crate::config::Config;
use crate::explain::Explain;
use crate::files::Files;
use crate::http::{Door, Http, Local};
use crate::keyvalue::KeyValue;
use crate::messaging::host::Messaging;
use crate::preview1::Preview1;
use crate::redis::Redis;
use crate::services::Services;
use crate::sockets::Sockets;
use crate::sql::Sql;
use sampan_app::Program;
use sampan_service::Traffic;
use std::any::Any;
use std::sync::Arc;
use wasmtime_wasi::{WasiCtxBuilder, WasiCtxView, WasiView};

/// Why the grants of a guest cannot be honoured on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct GrantError {
    pub what: String,
    /// What the user can do next.
    pub help: Option<String>,
}

/// What one guest may touch. There is one field per capability; a host call reaches nothing else.
pub struct Host {
    /// Set by whoever creates the store; consulted by Wasmtime when a memory or table grows.
    pub limiter: Box<dyn wasmtime::ResourceLimiter + Send + Sync>,
    /// Arguments, environment, clocks, random numbers, standard streams and preopened folders for every
    /// version of WASI, behind preview 1's descriptor table.
    pub preview1: Preview1,
    pub files: Files,
    pub sockets: Sockets,
    pub http: Http,
    pub keyvalue: KeyValue,
    pub messaging: Messaging,
    pub redis: Redis,
    pub config: Config,
    /// Nothing, until `Prepared` puts in what is granted.
    pub sql: Sql,
    /// What the host calls of a filter's ABI work on; nothing for every other guest. Their crate knows its type.
    pub filter: Option<Box<dyn Any + Send>>,
}

/// What instances of a component may share, each as one instance has it.
pub(crate) struct Parts {
    /// `None`: made for this guest alone.
    pub sockets: Option<Sockets>,
    pub http: Http,
    pub keyvalue: KeyValue,
    pub messaging: Messaging,
    pub redis: Redis,
    pub config: Config,
    pub sql: Sql,
}

impl Host {
    /// Builds the capabilities of a guest from its grants; opens folders and host ports.
    /// `wasi` comes with the standard streams, which depend on how the guest is run.
    ///
    /// Must be called inside a Tokio runtime.
    pub fn new(
        program: &Program,
        wasi: WasiCtxBuilder,
        limiter: Box<dyn wasmtime::ResourceLimiter + Send + Sync>,
    ) -> Result<Self, GrantError> {
        let explain = Explain::new(program.explain);
        let services = Services::new(program.grants.services.clone(), &explain);
        // A program has no stores: those are an app's, and `Prepared` brings them.
        let parts = Parts {
            sockets: None,
            http: Http::new(&program.grants.http, &explain),
            keyvalue: KeyValue::new(Arc::default(), &explain),
            messaging: Messaging::new(Arc::default(), &explain),
            redis: Redis::new(Arc::new(services), Arc::default()),
            config: Config::new(program.grants.config.clone(), &explain),
            sql: Sql::default(),
        };
        Host::of(program, wasi, limiter, &explain, parts)
    }

    /// The same for a program that reaches handlers of its process, as its grant `dapr` says.
    pub fn with_local(self, program: &Program, local: Arc<Local>) -> Self {
        let door = Door::new(&program.grants.http, &Explain::new(program.explain));
        let door = door.with_local(local).with_dapr(&program.grants.dapr);
        Host { http: Http::behind(Arc::new(door)), ..self }
    }

    /// Counts what the guest receives and sends over the network.
    pub fn count(&self, traffic: &Arc<Traffic>) {
        self.sockets.count(traffic);
        self.http.door.count(traffic);
    }

    /// The same with parts that were made before.
    pub(crate) fn of(
        program: &Program,
        mut wasi: WasiCtxBuilder,
        limiter: Box<dyn wasmtime::ResourceLimiter + Send + Sync>,
        explain: &Explain,
        parts: Parts,
    ) -> Result<Self, GrantError> {
        wasi.args(&program.args).envs(&program.grants.env);
        if let Some(workdir) = &program.workdir {
            wasi.initial_cwd(workdir);
        }
        let files = Files::new(&program.grants.mounts, program.workdir.as_deref(), &mut wasi, explain)?;
        let Parts { sockets, http, keyvalue, messaging, redis, config, sql } = parts;
        let sockets = match sockets {
            Some(sockets) => {
                sockets.allow(&mut wasi);
                sockets
            }
            None => Sockets::new(&program.grants, &mut wasi, explain)?,
        };
        let preview1 = Preview1::new(wasi.build_p1(), &files);
        Ok(Host {
            limiter,
            preview1,
            files,
            sockets,
            http,
            keyvalue,
            messaging,
            redis,
            config,
            sql,
            filter: None,
        })
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.preview1.wasi.ctx()
    }
}
