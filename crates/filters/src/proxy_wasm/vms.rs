//! The VMs of plug-ins that agree in `vm_id`, code and VM configuration, on all workers.

use super::driver::Driver;
use super::exports::Callbacks;
use super::facts::{Facts, vm_id};
use super::group::{Chosen, Group, Lease};
use super::host;
use super::slot::{Lost, Slot};
use super::vm::Vm;
use crate::code::Code;
use sampan_capabilities::LinkedModule;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

type Key = [u8; 32];

/// All there are: looked into when a plug-in is loaded.
static ALL: LazyLock<Mutex<HashMap<Key, Weak<Vms>>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// This worker's groups, by the number of their [`Vms`].
    static GROUPS: RefCell<Vec<(u64, Weak<Group>)>> = const { RefCell::new(Vec::new()) };
}

/// An exchange whose VM ends before it began tries another so often.
const TRIES: usize = 3;

pub struct Vms {
    number: u64,
    code: Arc<Code>,
    linked: LinkedModule,
    driver: Driver,
    pub callbacks: Callbacks,
    groups: Mutex<Vec<Arc<Group>>>,
    plugins: Mutex<Vec<Weak<Facts>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vms {
    /// Those that a plug-in uses: others' where they agree.
    pub fn of(facts: &Facts) -> Result<Arc<Vms>, String> {
        let code = &facts.code;
        let key = key(code);
        if let Some(vms) = lock(&ALL).get(&key).and_then(Weak::upgrade) {
            return Ok(vms);
        }
        // Not under the lock: linking takes a while.
        let (linked, driver) = link(facts)?;
        let mut all = lock(&ALL);
        if let Some(vms) = all.get(&key).and_then(Weak::upgrade) {
            return Ok(vms);
        }
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let vms = Arc::new(Vms {
            number: NUMBER.fetch_add(1, Relaxed),
            code: Arc::clone(code),
            linked,
            driver,
            callbacks: Callbacks::of(code),
            groups: Mutex::default(),
            plugins: Mutex::default(),
        });
        all.retain(|_, vms| vms.strong_count() > 0);
        all.insert(key, Arc::downgrade(&vms));
        Ok(vms)
    }

    /// Makes a VM that serves nobody, to see whether the plug-in works.
    pub async fn try_out(&self, facts: &Arc<Facts>) -> Result<(), String> {
        let making = self.vm(facts, Vec::new(), Weak::new());
        let call = self.code.bounded(making);
        let run = self.code.machine.overflow.spawn(call);
        match run.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ended)) => Err(ended.message()),
            Err(_) => Err("the server is shutting down".to_owned()),
        }
    }

    fn vm(
        &self,
        facts: &Arc<Facts>,
        all: Vec<Arc<Facts>>,
        slot: Weak<Slot>,
    ) -> impl Future<Output = wasmtime::Result<Box<Vm>>> + Send + use<> {
        Vm::make(self.linked.clone(), self.driver.clone(), Arc::clone(facts), all, slot)
    }

    /// From now on every new VM has a root context for it.
    pub fn add(&self, facts: &Arc<Facts>) {
        let mut plugins = lock(&self.plugins);
        plugins.retain(|one| one.strong_count() > 0);
        plugins.push(Arc::downgrade(facts));
    }

    /// A VM for an exchange.
    pub async fn lease(&self, facts: &Arc<Facts>) -> Result<Lease, Lost> {
        let group = self.group();
        for _ in 0..TRIES {
            match group.choose() {
                Chosen::Old(lease) => {
                    if lease.0.settled().await.is_ok() {
                        return Ok(lease);
                    }
                }
                Chosen::New(lease) => {
                    let all = lock(&self.plugins).iter().filter_map(Weak::upgrade).collect();
                    let slot = Arc::downgrade(&lease.0);
                    Box::pin(lease.0.fill(self.vm(facts, all, slot))).await?;
                    return Ok(lease);
                }
            }
        }
        Err(Lost::Gone)
    }

    /// This worker's VMs.
    fn group(&self) -> Arc<Group> {
        let found = GROUPS.with_borrow(|groups| {
            let (_, group) = groups.iter().find(|(number, _)| *number == self.number)?;
            group.upgrade()
        });
        found.unwrap_or_else(|| {
            let group = Group::new(&self.code);
            lock(&self.groups).push(Arc::clone(&group));
            GROUPS.with_borrow_mut(|groups| {
                groups.retain(|(_, group)| group.strong_count() > 0);
                groups.push((self.number, Arc::downgrade(&group)));
            });
            group
        })
    }

    /// Calls for every VM there is.
    pub fn each_slot(&self, mut see: impl FnMut(&Arc<super::slot::Slot>)) {
        for group in lock(&self.groups).iter() {
            group.slots().iter().for_each(&mut see);
        }
    }
}

/// Filters that differ in what they may touch never share a VM.
fn key(code: &Code) -> Key {
    let spec = &code.spec;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let rights = format!("{:?} {:?} {:?}", spec.grants.env, spec.grants, spec.limits);
    for part in [
        code.app.as_bytes(),
        vm_id(code).as_bytes(),
        &code.digest,
        spec.vm_config.as_bytes(),
        rights.as_bytes(),
    ] {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn link(facts: &Facts) -> Result<(LinkedModule, Driver), String> {
    let code = &facts.code;
    let sampan_engine::Code::Module(module) = &code.code else {
        return Err("proxy-wasm filters are modules, and this is a component".to_owned());
    };
    let mut store = code.store(code.wasi()).map_err(|ended| ended.message())?;
    let linked = LinkedModule::with(&mut store, module, &host::function);
    let driver = Driver::new(&code.engine, module);
    linked.and_then(|linked| Ok((linked, driver?))).map_err(|error| format!("{error:#}"))
}
