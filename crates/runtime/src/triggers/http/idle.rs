//! Instances between two requests.

use crate::serve::Unit;
use sampan_capabilities::Host;
use sampan_telemetry::Gauge;
use std::any::Any;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Store;
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::p2::{body, types};

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
        Instance { store, exports, served: 0, _live: Live(unit.metrics.live.clone()) }
    }

    /// Whether it may serve another request after one that ended well.
    pub fn is_fit(&mut self, unit: &Unit, wasi_0_3: bool) -> bool {
        let reuse = unit.component.serving.reuse.unwrap_or(if wasi_0_3 { REUSE_0_3 } else { 1 });
        if self.served >= reuse {
            return false;
        }
        // What is left of the last request would show it to the next one, or grow without end.
        let mut kept = 0;
        self.store.data_mut().ctx().table.iter_mut().all(|entry| {
            kept += 1;
            kept <= RESOURCES_KEPT_MAX && !belongs_to_request(entry)
        })
    }
}

fn belongs_to_request(entry: &(dyn Any + Send)) -> bool {
    entry.is::<types::HostIncomingRequest>()
        || entry.is::<types::HostResponseOutparam>()
        || entry.is::<types::HostOutgoingResponse>()
        || entry.is::<body::HostIncomingBody>()
        || entry.is::<body::HostOutgoingBody>()
        || entry.is::<body::HostFutureTrailers>()
        || entry.is::<wasmtime_wasi_http::p3::Request>()
        || entry.is::<wasmtime_wasi_http::p3::Response>()
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
