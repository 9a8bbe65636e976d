//! The VMs of one worker for plug-ins that may share one, and which of them an exchange gets.
//!
//! While they are well, all exchanges of a worker share a VM, as in Envoy: that is cheap, and filters keep what they
//! have learned in its root context. After one has failed, exchanges are kept apart for a while, each in a VM of its
//! own as far as there are places, so that a request that ends the guest hurts nobody else, and their calls are run apart
//! from the worker, so that one that never returns keeps no connection waiting.

use super::slot::{Look, Slot};
use super::vm::Step;
use crate::code::Code;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long exchanges are kept apart after a failure.
const QUARANTINE: Duration = Duration::from_secs(10);

pub struct Group {
    code: Arc<Code>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The first is the one that is shared.
    slots: Vec<Arc<Slot>>,
    suspect_until: Option<Instant>,
}

/// An exchange's right to use a VM.
pub struct Lease(pub Arc<Slot>);

/// What an exchange gets.
pub enum Chosen {
    Old(Lease),
    /// An empty slot to be filled by whoever got it.
    New(Lease),
}

impl Lease {
    fn of(slot: &Arc<Slot>, apart: bool) -> Self {
        slot.streams.fetch_add(1, Relaxed);
        slot.apart.store(apart, Relaxed);
        Lease(Arc::clone(slot))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.lease_ended();
    }
}

impl Group {
    pub fn new(code: &Arc<Code>) -> Arc<Self> {
        Arc::new(Group { code: Arc::clone(code), inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.lock().slots.clone()
    }

    pub fn choose(self: &Arc<Self>) -> Chosen {
        let mut inner = self.lock();
        let apart = inner.is_suspect();
        let found = match inner.slots.first() {
            Some(first) if !apart && matches!(first.look(), Look::Here | Look::Making) => Some(first),
            _ => inner
                .slots
                .iter()
                .find(|slot| slot.look() == Look::Here && !(apart && slot.streams.load(Relaxed) > 0)),
        };
        if let Some(found) = found {
            let lease = Lease::of(found, apart);
            let idle = if apart { Vec::new() } else { inner.take_idle() };
            drop(inner);
            idle.iter().for_each(|slot| slot.background(Step::EndRoot { facts: None }));
            return Chosen::Old(lease);
        }
        let places = self.code.spec.instances.max(1) as usize;
        let least = inner.slots.iter().min_by_key(|slot| slot.streams.load(Relaxed));
        if let Some(least) = least.filter(|_| inner.slots.len() >= places) {
            return Chosen::Old(Lease::of(least, apart));
        }
        let slot = Slot::new(&self.code, self);
        inner.slots.push(Arc::clone(&slot));
        Chosen::New(Lease::of(&slot, apart))
    }

    /// A VM ended; its slot is not used again.
    pub fn failed(&self, slot: &Arc<Slot>) {
        let mut inner = self.lock();
        inner.slots.retain(|one| !Arc::ptr_eq(one, slot));
        inner.suspect_until = Some(Instant::now() + QUARANTINE);
    }

    /// No exchange uses a VM any more. Where exchanges share, one is enough.
    pub fn released(&self, slot: &Arc<Slot>) {
        let mut inner = self.lock();
        if inner.is_suspect() || inner.slots.first().is_none_or(|first| Arc::ptr_eq(first, slot)) {
            return;
        }
        let before = inner.slots.len();
        inner.slots.retain(|one| !Arc::ptr_eq(one, slot));
        let was_here = inner.slots.len() < before;
        drop(inner);
        if was_here {
            slot.background(Step::EndRoot { facts: None });
        }
    }
}

impl Inner {
    /// What was needed while exchanges were kept apart.
    fn take_idle(&mut self) -> Vec<Arc<Slot>> {
        if self.slots.len() < 2 {
            return Vec::new();
        }
        let first = Arc::clone(&self.slots[0]);
        let idle = |slot: &mut Arc<Slot>| !Arc::ptr_eq(slot, &first) && slot.streams.load(Relaxed) == 0;
        self.slots.extract_if(.., idle).collect()
    }

    fn is_suspect(&mut self) -> bool {
        let Some(until) = self.suspect_until else { return false };
        let suspect = Instant::now() < until;
        if !suspect {
            self.suspect_until = None;
        }
        suspect
    }
}
