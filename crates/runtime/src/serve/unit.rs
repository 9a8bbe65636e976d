//! One component of an app as it is served: its code while that is loaded, its grants, limits and places.

use super::budget::{Allowance, Budget};
use super::ended::Ended;
use super::gate::{Gate, Place, Refused};
use super::habit::Habit;
use super::load::{LoadFailure, load_code};
use super::machine::Machine;
use super::output::{Output, Target};
use super::slice::{self, Bounded, TimeLimits};
use crate::triggers::Entry;
use sampan_app::{Component, ComponentKind};
use sampan_capabilities::{Host, Prepared};
use sampan_telemetry::ComponentMetrics;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use wasmtime::{Engine, Store};
use wasmtime_wasi::WasiCtxBuilder;

pub struct Unit {
    pub app: String,
    pub component: Component,
    pub machine: Arc<Machine>,
    pub prepared: Prepared,
    pub metrics: ComponentMetrics,
    /// What the app's instances may take together.
    pub memory: Arc<Budget>,
    habit: Habit,
    gate: Gate,
    output: Arc<Target>,
    ready: RwLock<Option<Arc<Ready>>>,
    /// Held while the code is loaded, so that concurrent requests load it once.
    loading: tokio::sync::Mutex<()>,
    last_used_ms: AtomicU64,
}

/// A component's code, proven: it can be instantiated under its grants.
pub struct Ready {
    pub engine: Engine,
    /// What a request enters, and what is kept from one request to the next.
    pub entry: Entry,
}

impl Unit {
    pub fn new(
        app: &str,
        component: Component,
        machine: &Arc<Machine>,
        prepared: Prepared,
        memory: &Arc<Budget>,
    ) -> Arc<Self> {
        let target = Target { name: format!("{app}/{}", component.name), log: Arc::clone(&machine.log) };
        Arc::new(Unit {
            metrics: sampan_telemetry::metrics().component(app, &component.name),
            habit: Habit::default(),
            gate: Gate::new(&component.serving, machine.engines.instances),
            app: app.to_owned(),
            component,
            machine: Arc::clone(machine),
            prepared,
            memory: Arc::clone(memory),
            output: Arc::new(target),
            ready: RwLock::new(None),
            loading: tokio::sync::Mutex::new(()),
            last_used_ms: AtomicU64::new(machine.now_ms()),
        })
    }

    /// `app/component`, for messages.
    pub fn name(&self) -> &str {
        &self.output.name
    }

    /// The code, loaded if it is not. Loading is done by the overflow runtime's threads.
    pub async fn code(self: &Arc<Self>) -> Result<Arc<Ready>, LoadFailure> {
        self.last_used_ms.store(self.machine.now_ms(), Ordering::Relaxed);
        if let Some(ready) = self.loaded() {
            return Ok(ready);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(ready) = self.loaded() {
            return Ok(ready);
        }
        let ready = Arc::new(load_code(self, &super::load::Progress::none()).await?);
        self.keep(&ready);
        Ok(ready)
    }

    /// Takes code that was loaded elsewhere.
    pub(crate) fn keep(self: &Arc<Self>, ready: &Arc<Ready>) {
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(ready));
        self.machine.note_loaded(self);
    }

    fn loaded(&self) -> Option<Arc<Ready>> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_loaded(&self) -> bool {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Milliseconds of the machine's clock.
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// Forgets the code, unless the entry is in use for itself (a guest that listens). Requests under way keep it
    /// until they end.
    pub fn unload(&self) {
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.as_ref().is_some_and(|ready| !ready.entry.is_pinned()) {
            *ready = None;
        }
    }

    /// Drops instances that nobody used for `serving.idle`.
    pub fn drop_idle_instances(&self) {
        if let Some(ready) = self.loaded() {
            ready.entry.drop_idle_instances(self.component.serving.idle);
        }
    }

    pub fn drop_all_instances(&self) {
        if let Some(ready) = self.loaded() {
            ready.entry.drop_idle_instances(Duration::ZERO);
        }
    }

    /// A place among the requests that run at once; waits in the bounded queue.
    pub async fn admit(&self) -> Result<Place, Refused> {
        self.gate.admit(&self.metrics).await.inspect_err(|refused| self.metrics.refused(refused.0))
    }

    /// A context with the component's standard streams.
    pub fn wasi(&self) -> WasiCtxBuilder {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Output::new(&self.output)).stderr(Output::new(&self.output));
        wasi
    }

    /// A store for one instance, with its limits. [`slice::begin_call`] is for the second call on.
    pub fn store(&self, engine: &Engine, wasi: WasiCtxBuilder) -> Result<Store<Host>, Ended> {
        let allowance = Allowance::new(self.component.limits.memory_bytes, Arc::clone(&self.memory));
        let host =
            self.prepared.host(wasi, Box::new(allowance)).map_err(|error| Ended::Error(error.to_string()))?;
        let mut store = Store::new(engine, host);
        if let Some(counters) = &self.machine.counters {
            counters.count_calls(&mut store);
            // What a server that listens for itself says to its clients passes our listener, and counts there.
            if !matches!(self.component.kind, Some(ComponentKind::Server { .. })) {
                store.data().count(counters.traffic());
            }
        }
        store.limiter(|host| host.limiter.as_mut());
        slice::interruptible(&mut store);
        Ok(store)
    }

    /// Bounds a call by the component's limits. It must own what it runs on, because it may go on elsewhere.
    pub fn bounded<T: Send + 'static>(
        &self,
        call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
    ) -> Bounded<T> {
        let limits = &self.component.limits;
        let limits = TimeLimits { wall: limits.timeout, cpu: limits.cpu_time };
        Bounded::new(Arc::clone(&self.machine), limits, call).habitual(&self.habit)
    }

    /// Counts and logs a guest that ended before its time.
    pub fn ended(&self, ended: &Ended) {
        self.metrics.failed(ended.reason());
        let mut text = ended.message();
        for frame in ended.backtrace() {
            text.push_str("\n    ");
            text.push_str(frame);
        }
        self.log(&text);
    }

    /// One message about this component.
    pub fn log(&self, text: &str) {
        (self.machine.log)(self.name(), text);
    }
}
