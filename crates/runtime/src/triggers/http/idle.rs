//! Instances between two requests.

use crate::serve::{BudgetExceeded, Ready, Unit, begin_call};
use sampan_capabilities::Host;
use sampan_telemetry::Gauge;
use std::any::Any;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::p2::{self, body, types};
use wasmtime_wasi_http::p3;

/// Resources that an instance may keep from one request to the next: streams for its log, a clock, a client.
const RESOURCES_KEPT_MAX: usize = 64;
/// Requests that an instance of WASI 0.3 serves unless the manifest says otherwise: enough that making it costs
/// nothing, few enough that what it leaks is soon freed.
const REUSE_0_3: u32 = 1000;

/// A guest in its store.
pub struct Instance<E> {
    pub store: Store<Host>,
    pub exports: E,
    /// Requests that it has begun to serve.
    pub served: u32,
    _live: Live,
}

/// Counts an instance as living.
struct Live(Gauge);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl<E> Instance<E> {
    pub fn new(unit: &Unit, store: Store<Host>, exports: E) -> Self {
        unit.metrics.created.inc();
        unit.metrics.live.inc();
        Instance { store, exports, served: 1, _live: Live(unit.metrics.live.clone()) }
    }

    /// Whether it may serve another request after one that ended well.
    pub fn is_fit(&mut self, unit: &Unit, wasi_0_3: bool) -> bool {
        self.served < reuse(unit, wasi_0_3) && is_clean(self.store.data_mut())
    }
}

/// How many requests an instance serves.
pub(super) fn reuse(unit: &Unit, wasi_0_3: bool) -> u32 {
    unit.component.serving.reuse.unwrap_or(if wasi_0_3 { REUSE_0_3 } else { 1 })
}

/// Whether nothing is left of requests: it would show them to the next one, or grow without end.
pub(super) fn is_clean(host: &mut Host) -> bool {
    let mut kept = 0;
    host.ctx().table.iter_mut().all(|entry| {
        kept += 1;
        kept <= RESOURCES_KEPT_MAX && !belongs_to_request(entry)
    })
}

fn belongs_to_request(entry: &(dyn Any + Send)) -> bool {
    entry.is::<types::HostIncomingRequest>()
        || entry.is::<types::HostResponseOutparam>()
        || entry.is::<types::HostOutgoingResponse>()
        || entry.is::<body::HostIncomingBody>()
        || entry.is::<body::HostOutgoingBody>()
        || entry.is::<body::HostFutureTrailers>()
        || entry.is::<p3::Request>()
        || entry.is::<p3::Response>()
}

/// A component that is linked and checked: what is left is to make an instance.
pub(super) trait Pre: Sync {
    type Exports: Send;
    fn instantiate(
        &self,
        store: &mut Store<Host>,
    ) -> impl Future<Output = wasmtime::Result<Self::Exports>> + Send;
}

impl Pre for p2::bindings::ProxyPre<Host> {
    type Exports = p2::bindings::Proxy;

    async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Self::Exports> {
        self.instantiate_async(store).await
    }
}

impl Pre for p3::bindings::ServicePre<Host> {
    type Exports = p3::bindings::Service;

    async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Self::Exports> {
        self.instantiate_async(store).await
    }
}

/// An instance for one more request: an idle one, else a new one.
pub(super) async fn check_out<P: Pre>(
    unit: &Unit,
    ready: &Ready,
    idle: &Idle<P::Exports>,
    pre: &P,
) -> wasmtime::Result<Instance<P::Exports>> {
    if let Some(mut instance) = idle.take() {
        unit.metrics.reused.inc();
        begin_call(&mut instance.store);
        instance.served += 1;
        return Ok(instance);
    }
    create(unit, ready, pre).await
}

/// A new instance. Where memory or places are short, idle ones of other components make room first.
pub(super) async fn create<P: Pre>(
    unit: &Unit,
    ready: &Ready,
    pre: &P,
) -> wasmtime::Result<Instance<P::Exports>> {
    let mut again = true;
    loop {
        let mut store = unit.store(&ready.engine, unit.wasi())?;
        match pre.instantiate(&mut store).await {
            Ok(exports) => return Ok(Instance::new(unit, store, exports)),
            Err(error) if again && is_for_want_of_room(&error) => {
                again = false;
                drop(store);
                unit.machine.drop_idle_instances();
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_for_want_of_room(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>() || error.is::<BudgetExceeded>()
}

/// Instances that wait for a request, the one that was used last on top: its memory is the warmest.
pub struct Idle<E>(Mutex<Vec<(Instant, Instance<E>)>>);

impl<E> Default for Idle<E> {
    fn default() -> Self {
        Idle(Mutex::default())
    }
}

impl<E> Idle<E> {
    pub fn take(&self) -> Option<Instance<E>> {
        self.list().pop().map(|(_, instance)| instance)
    }

    pub fn put(&self, instance: Instance<E>) {
        self.list().push((Instant::now(), instance));
    }

    pub fn drop_older(&self, idle: Duration) {
        let mut list = self.list();
        let keep = list.iter().position(|(since, _)| since.elapsed() < idle).unwrap_or(list.len());
        let old: Vec<_> = list.drain(..keep).collect();
        // Freeing memory takes time, in which requests may want the list.
        drop(list);
        drop(old);
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Instance<E>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
