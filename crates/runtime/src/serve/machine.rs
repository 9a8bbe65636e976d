//! What all served guests of a process share.

use super::budget::Budget;
use super::output::Log;
use super::plan::Plan;
use super::ticker::Ticker;
use super::unit::Unit;
use crate::Counters;
use crate::Failure;
use sampan_engine::artifact::PublicKey;
use sampan_engine::cache::Cache;
use sampan_engine::server::Engines;
use sampan_service::be_patient;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};

/// Unused code and instances are looked for this often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// A component that was not used for this long is unloaded; its next request maps its code again.
pub const CODE_IDLE: Duration = Duration::from_secs(300);

/// Two engines, the epoch ticker, the overflow runtime, budgets, and which components are loaded.
pub struct Machine {
    pub plan: Plan,
    pub engines: Engines,
    pub cache: Option<Cache>,
    /// The keys whose native code is executed, where wasm comes with some.
    pub trusted: Vec<PublicKey>,
    pub ticker: Ticker,
    /// Where guests go on that exceed their first slice, and where code is loaded.
    pub overflow: Handle,
    /// Where store drivers live: their work is short, and guests of every kind wait for it.
    pub drivers: Handle,
    /// What all apps may take together.
    pub memory: Arc<Budget>,
    /// Where guests' standard output goes.
    pub log: Log,
    /// Where what guests use is counted, if anybody asks.
    pub counters: Option<Arc<Counters>>,
    began: Instant,
    /// In milliseconds since `began`.
    code_idle_ms: AtomicU64,
    loaded: Mutex<Vec<Weak<Unit>>>,
    // Last: dropped after everything that may use it.
    runtimes: Mutex<Vec<Runtime>>,
}

/// What a machine is made with, besides its plan.
pub struct Setup {
    pub plan: Plan,
    pub cache: Option<Cache>,
    pub trusted: Vec<PublicKey>,
    pub log: Log,
    pub counters: Option<Arc<Counters>>,
}

impl Default for Setup {
    fn default() -> Self {
        let log = super::output::to_stderr();
        Setup { plan: Plan::default(), cache: None, trusted: Vec::new(), log, counters: None }
    }
}

impl Machine {
    pub fn new(setup: Setup) -> Result<Arc<Self>, Failure> {
        let Setup { plan, cache, trusted, log, counters } = setup;
        let failed = |what: String| Failure::new(what, "check the limits of this process");
        let engines = Engines::new(plan.pool, plan.wasi_0_3).map_err(|error| failed(error.to_string()))?;
        let ticker =
            Ticker::start(engines.all()).map_err(|error| failed(format!("cannot start: {error}")))?;
        let start = |name, on_start: fn()| {
            runtime(name, on_start).map_err(|error| failed(format!("cannot start: {error}")))
        };
        let (overflow, drivers) = (start("overflow", be_patient)?, start("drivers", || {})?);
        let machine = Arc::new(Machine {
            memory: Budget::new("all apps together", Some(plan.memory_bytes), None),
            overflow: overflow.handle().clone(),
            drivers: drivers.handle().clone(),
            began: Instant::now(),
            code_idle_ms: AtomicU64::new(CODE_IDLE.as_millis() as u64),
            loaded: Mutex::default(),
            runtimes: Mutex::new(vec![overflow, drivers]),
            plan,
            engines,
            cache,
            trusted,
            ticker,
            log,
            counters,
        });
        if let Some(counters) = &machine.counters {
            counters.set_served(&machine.memory);
        }
        machine.overflow.spawn(keep_house(Arc::downgrade(&machine)));
        Ok(machine)
    }

    /// Milliseconds since the machine was made: a clock for "last used" that fits an atomic.
    pub(crate) fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Changes after which time unused code is unloaded.
    pub fn set_code_idle(&self, idle: Duration) {
        self.code_idle_ms.store(idle.as_millis() as u64, Ordering::Relaxed);
    }

    /// How many components are loaded.
    pub fn loaded(&self) -> usize {
        self.list().iter().filter(|unit| unit.upgrade().is_some_and(|unit| unit.is_loaded())).count()
    }

    /// Notes that a component was loaded, and unloads others where there are too many.
    pub(crate) fn note_loaded(&self, unit: &Arc<Unit>) {
        let mut list = self.list();
        list.push(Arc::downgrade(unit));
        if list.len() <= self.plan.loaded {
            return;
        }
        let mut units: Vec<Arc<Unit>> = list.iter().filter_map(Weak::upgrade).collect();
        units.retain(|unit| unit.is_loaded());
        units.sort_by_key(|unit| std::cmp::Reverse(unit.last_used_ms()));
        // More than needed, so that not every load sorts them all.
        for unused in units.split_off((self.plan.loaded - self.plan.loaded / 8).min(units.len())) {
            if !Arc::ptr_eq(&unused, unit) {
                unused.unload();
            }
        }
        units.push(Arc::clone(unit));
        *list = units.iter().map(Arc::downgrade).collect();
    }

    /// Drops instances and code that nobody used for long.
    pub fn drop_unused(&self) {
        let (now, code_idle) = (self.now_ms(), self.code_idle_ms.load(Ordering::Relaxed));
        let units: Vec<Arc<Unit>> = self.list().iter().filter_map(Weak::upgrade).collect();
        for unit in &units {
            unit.drop_idle_instances();
            if now.saturating_sub(unit.last_used_ms()) >= code_idle {
                unit.unload();
            }
        }
        self.list().retain(|unit| unit.upgrade().is_some_and(|unit| unit.is_loaded()));
    }

    /// Drops all unused instances of all components: where memory or places are short.
    pub(crate) fn drop_idle_instances(&self) {
        let units: Vec<Arc<Unit>> = self.list().iter().filter_map(Weak::upgrade).collect();
        for unit in units {
            unit.drop_all_instances();
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Unit>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The last owner may be a task, where waiting for the threads would panic.
        for runtime in self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            runtime.shutdown_background();
        }
    }
}

fn runtime(name: &str, on_start: fn()) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_name(name).enable_all().on_thread_start(on_start).build()
}

async fn keep_house(machine: Weak<Machine>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let Some(machine) = machine.upgrade() else { return };
        machine.drop_unused();
    }
}
