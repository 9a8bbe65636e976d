//! A filter's code and everything that its instances need: what `Unit` is for components.

use crate::health::Health;
use bytes::Bytes;
use sampan_app::Filter as Spec;
use sampan_capabilities::{Backends, Host, Prepared};
use sampan_runtime::serve::{
    Allowance, Bounded, Budget, Ended, Machine, Output, Target, TimeLimits, interruptible,
};
use sampan_service::Handler;
use sampan_telemetry::FilterMetrics;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use wasmtime::{Engine, Store};
use wasmtime_wasi::WasiCtxBuilder;

pub struct Code {
    pub app: Arc<str>,
    /// As the manifest says.
    pub spec: Spec,
    pub machine: Arc<Machine>,
    pub engine: Engine,
    pub code: sampan_engine::Code,
    /// As it came.
    pub wasm: Bytes,
    /// SHA-256 of the wasm: the same digest, the same code.
    pub digest: [u8; 32],
    pub prepared: Prepared,
    /// The app's stores, by the names of the manifest; those that this filter may use are in `spec.grants`.
    pub backends: Arc<Backends>,
    pub memory: Arc<Budget>,
    pub metrics: FilterMetrics,
    /// Whom the filter may call.
    pub destinations: Arc<Destinations>,
    pub health: Health,
    output: Arc<Target>,
}

/// What a [`Code`] is made of.
pub struct Parts {
    pub app: Arc<str>,
    pub spec: Spec,
    pub engine: Engine,
    pub code: sampan_engine::Code,
    pub wasm: Bytes,
    pub prepared: Prepared,
    pub backends: Arc<Backends>,
    pub memory: Arc<Budget>,
    pub destinations: Arc<Destinations>,
}

impl Code {
    pub fn new(parts: Parts, machine: Arc<Machine>) -> Arc<Self> {
        let Parts { app, spec, engine, code, wasm, prepared, backends, memory, destinations } = parts;
        let digest = ring::digest::digest(&ring::digest::SHA256, &wasm);
        let metrics = sampan_telemetry::metrics().filter(&app, &spec.name);
        Arc::new(Code {
            digest: digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
            output: Arc::new(Target { name: format!("{app}/{}", spec.name), log: Arc::clone(&machine.log) }),
            health: Health::new(metrics.clone()),
            metrics,
            app,
            spec,
            machine,
            engine,
            code,
            wasm,
            prepared,
            backends,
            memory,
            destinations,
        })
    }

    /// `app/filter`, for messages.
    pub fn name(&self) -> &str {
        &self.output.name
    }

    /// One message about this filter.
    pub fn log(&self, text: &str) {
        (self.machine.log)(self.name(), text);
    }

    /// Counts and logs an instance that ended before its time.
    pub fn ended(&self, ended: &Ended) {
        self.metrics.failed(ended.reason());
        let mut text = ended.message();
        for frame in ended.backtrace() {
            text.push_str("\n    ");
            text.push_str(frame);
        }
        self.log(&text);
    }

    /// A context whose standard streams go to the log.
    pub fn wasi(&self) -> WasiCtxBuilder {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Output::new(&self.output)).stderr(Output::new(&self.output));
        wasi
    }

    /// A store for one instance, with its limits and grants.
    pub fn store(&self, wasi: WasiCtxBuilder) -> Result<Store<Host>, Ended> {
        let allowance = Allowance::new(self.spec.limits.memory_bytes, Arc::clone(&self.memory));
        let host =
            self.prepared.host(wasi, Box::new(allowance)).map_err(|error| Ended::Error(error.to_string()))?;
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| host.limiter.as_mut());
        interruptible(&mut store);
        Ok(store)
    }

    /// Whether an instance whose memory is so large may have another exchange. One that has grown to half of what it
    /// may have is likely to leak, and would fail in the middle of an exchange.
    pub fn leaves_room(&self, memory_bytes: usize) -> bool {
        self.spec.limits.memory_bytes.is_none_or(|limit_bytes| memory_bytes as u64 <= limit_bytes / 2)
    }

    /// Bounds one call of the filter by its time, wall and processor alike: a filter never waits inside of a call.
    /// The call must own what it runs on, because one that takes long goes on elsewhere.
    pub fn bounded<T: Send + 'static>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
    ) -> Bounded<T> {
        let limits = &self.spec.limits;
        // Waiting for a processor is not the filter's fault: a limit of wall time alone would end filters of a busy
        // machine.
        let limits = TimeLimits { wall: limits.timeout.map(|time| time * 10), cpu: limits.timeout };
        Bounded::new(Arc::clone(&self.machine), limits, call)
    }

    /// Bounds a call that lives as long as its exchange: by its processor time, of which `refund` gives it some back.
    pub fn living<T: Send + 'static>(
        &self,
        refund: &Arc<AtomicU64>,
        call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
    ) -> Bounded<T> {
        let limits = TimeLimits { wall: None, cpu: self.spec.limits.timeout };
        Bounded::new(Arc::clone(&self.machine), limits, call).refunded(Arc::clone(refund))
    }

    /// Bounds a call that may wait inside of itself, for a body or a store: by its processor time, and by how long
    /// a filter may hold an exchange up.
    pub fn waiting<T: Send + 'static>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
    ) -> Bounded<T> {
        let limits = TimeLimits { wall: Some(self.spec.pause), cpu: self.spec.limits.timeout };
        Bounded::new(Arc::clone(&self.machine), limits, call)
    }
}

/// Whom filters call by name: an app's upstreams and components. Filled by whoever composes the app, when the
/// handlers exist; holds none of them alive.
#[derive(Default)]
pub struct Destinations(RwLock<HashMap<String, Weak<dyn Handler>>>);

impl Destinations {
    /// A later handler of the same name takes the place of the one before.
    pub fn set(&self, name: &str, handler: &Arc<dyn Handler>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), Arc::downgrade(handler));
    }

    pub fn find(&self, name: &str) -> Option<Arc<dyn Handler>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name)?.upgrade()
    }
}
