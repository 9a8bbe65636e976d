//! What guests use, readable while they run: for containers, which are asked for it.

use crate::serve::Budget;
use sampan_capabilities::Host;
use sampan_engine::MemoryUse;
use sampan_service::Traffic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wasmtime::{CallHook, Store};

/// Of one program, or of all instances of a server.
#[derive(Default)]
pub struct Counters {
    memory: OnceLock<Memory>,
    host_calls: AtomicU64,
    traffic: Arc<Traffic>,
}

enum Memory {
    Guest(MemoryUse),
    Served(Arc<Budget>),
}

impl Counters {
    /// All memories and tables: now, and the most at any time, which of a server is not known.
    pub fn memory_bytes(&self) -> (u64, u64) {
        match self.memory.get() {
            Some(Memory::Guest(memory)) => (memory.current_bytes(), memory.peak_bytes()),
            Some(Memory::Served(budget)) => (budget.used_bytes(), budget.used_bytes()),
            None => (0, 0),
        }
    }

    pub fn host_calls(&self) -> u64 {
        self.host_calls.load(Ordering::Relaxed)
    }

    /// What the guest receives and sends over the network, and what is received and sent in its name.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    // Both are told once, by whoever makes the one thing that is counted here.

    pub(crate) fn set_guest(&self, memory: MemoryUse) {
        let _ = self.memory.set(Memory::Guest(memory));
    }

    pub(crate) fn set_served(&self, memory: &Arc<Budget>) {
        let _ = self.memory.set(Memory::Served(Arc::clone(memory)));
    }

    /// Counts each entry into the host. It costs a guest some nanoseconds for each, so nobody else pays for it.
    pub(crate) fn count_calls(self: &Arc<Self>, store: &mut Store<Host>) {
        let counters = Arc::clone(self);
        store.call_hook(move |_, hook| {
            if matches!(hook, CallHook::CallingHost) {
                counters.host_calls.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
}
