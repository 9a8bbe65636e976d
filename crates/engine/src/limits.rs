//! A bound on the memory of one guest: one sum over all of its memories and tables.
//!
//! Wasmtime's own `StoreLimits` bounds each memory apart, so that a guest with ten memories gets ten times
//! the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{ResourceLimiter, Result};

/// What an element of a table takes, in bytes.
const TABLE_ELEMENT_BYTES: u64 = 8;
/// Components consist of many instances, each with memories and tables; beyond this it is an attack.
pub const MAX_INSTANCES: usize = 10_000;

/// What a memory's growth adds; `None` where the guest's own maximum forbids it, which is a refusal and no end.
pub fn memory_growth_bytes(current: usize, desired: usize, maximum: Option<usize>) -> Option<u64> {
    maximum.is_none_or(|maximum| desired <= maximum).then(|| (desired - current) as u64)
}

/// The same for a table; sizes are in elements.
pub fn table_growth_bytes(current: usize, desired: usize, maximum: Option<usize>) -> Option<u64> {
    memory_growth_bytes(current, desired, maximum).map(|elements| elements * TABLE_ELEMENT_BYTES)
}

/// The guest wanted more memory than it may have. The error of the call that asked for it.
#[derive(Debug, thiserror::Error)]
#[error("the guest asked for {wanted_bytes} bytes of memory; its limit is {limit_bytes}")]
pub struct MemoryExceeded {
    pub wanted_bytes: u64,
    pub limit_bytes: u64,
}

/// What a guest's memories and tables take, in bytes; readable while it runs.
#[derive(Clone, Debug, Default)]
pub struct MemoryUse(Arc<[AtomicU64; 2]>);

impl MemoryUse {
    pub fn current_bytes(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// The most at any time.
    pub fn peak_bytes(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        self.0[0].store(bytes, Ordering::Relaxed);
        self.0[1].fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Counts, and refuses what exceeds the limit by ending the guest.
pub struct Limiter {
    limit_bytes: Option<u64>,
    used: MemoryUse,
}

impl Limiter {
    pub fn new(limit_bytes: Option<u64>) -> Self {
        Limiter { limit_bytes, used: MemoryUse::default() }
    }

    /// A handle on what is counted here.
    pub fn usage(&self) -> MemoryUse {
        self.used.clone()
    }

    fn grow(&mut self, more_bytes: u64) -> Result<bool> {
        let wanted_bytes = self.used.current_bytes().saturating_add(more_bytes);
        match self.limit_bytes {
            Some(limit_bytes) if wanted_bytes > limit_bytes => {
                Err(MemoryExceeded { wanted_bytes, limit_bytes }.into())
            }
            _ => {
                self.used.set(wanted_bytes);
                Ok(true)
            }
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        memory_growth_bytes(current, desired, maximum).map_or(Ok(false), |more_bytes| self.grow(more_bytes))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        table_growth_bytes(current, desired, maximum).map_or(Ok(false), |more_bytes| self.grow(more_bytes))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(Some(1000));
        let used = limiter.usage();
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert_eq!(used.current_bytes(), 1000);
        let error = limiter.memory_growing(600, 601, None).unwrap_err();
        let exceeded = error.downcast_ref::<MemoryExceeded>().unwrap();
        assert_eq!((exceeded.wanted_bytes, exceeded.limit_bytes), (1001, 1000));
        assert_eq!(used.peak_bytes(), 1000);
    }

    #[test]
    fn a_guests_own_maximum_is_a_refusal_not_an_end() {
        let mut limiter = Limiter::new(Some(1000));
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert_eq!(limiter.usage().current_bytes(), 0);
    }
}
