//! Memory budgets: what all instances of an app, and of all apps, may take together.

use sampan_engine::{MAX_INSTANCES, MemoryExceeded, memory_growth_bytes, table_growth_bytes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{ResourceLimiter, Result};

/// Memory that is shared out among instances.
pub struct Budget {
    /// Whose it is, for messages.
    name: String,
    limit_bytes: u64,
    used_bytes: AtomicU64,
    /// What this is a part of.
    within: Option<Arc<Budget>>,
}

/// An instance was to grow beyond what its app, or all apps together, may take.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the memory budget of {name}, {}, is used up by running instances", super::ended::mebibytes(*limit_bytes))]
pub struct BudgetExceeded {
    pub name: String,
    pub limit_bytes: u64,
}

impl Budget {
    /// `None`: as much as the budget around it has.
    pub fn new(name: impl Into<String>, limit_bytes: Option<u64>, within: Option<Arc<Budget>>) -> Arc<Self> {
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX);
        Arc::new(Budget { name: name.into(), limit_bytes, used_bytes: AtomicU64::new(0), within })
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        if let Some(outer) = &self.within {
            outer.take(bytes)?;
        }
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limit_bytes {
            return Ok(());
        }
        self.give(bytes);
        Err(BudgetExceeded { name: self.name.clone(), limit_bytes: self.limit_bytes })
    }

    fn give(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(outer) = &self.within {
            outer.give(bytes);
        }
    }
}

/// One instance's part: bounded by its own limit, counted against the budget, given back with the instance.
pub struct Allowance {
    limit_bytes: Option<u64>,
    used_bytes: u64,
    budget: Arc<Budget>,
}

impl Allowance {
    pub fn new(limit_bytes: Option<u64>, budget: Arc<Budget>) -> Self {
        Allowance { limit_bytes, used_bytes: 0, budget }
    }

    fn grow(&mut self, more_bytes: u64) -> Result<bool> {
        let wanted_bytes = self.used_bytes.saturating_add(more_bytes);
        if let Some(limit_bytes) = self.limit_bytes
            && wanted_bytes > limit_bytes
        {
            return Err(MemoryExceeded { wanted_bytes, limit_bytes }.into());
        }
        self.budget.take(more_bytes)?;
        self.used_bytes = wanted_bytes;
        Ok(true)
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.budget.give(self.used_bytes);
    }
}

impl ResourceLimiter for Allowance {
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
    fn instances_share_an_apps_budget_and_apps_the_total() {
        let total = Budget::new("all apps", Some(1000), None);
        let shop = Budget::new("shop", Some(600), Some(Arc::clone(&total)));
        let blog = Budget::new("blog", None, Some(Arc::clone(&total)));
        let mut first = Allowance::new(None, Arc::clone(&shop));
        let mut second = Allowance::new(None, Arc::clone(&shop));
        assert!(first.memory_growing(0, 500, None).unwrap());
        let error = second.memory_growing(0, 200, None).unwrap_err();
        assert_eq!(error.downcast_ref::<BudgetExceeded>().unwrap().name, "shop");
        let mut third = Allowance::new(None, Arc::clone(&blog));
        let error = third.memory_growing(0, 501, None).unwrap_err();
        assert_eq!(error.downcast_ref::<BudgetExceeded>().unwrap().name, "all apps");
        assert_eq!((shop.used_bytes(), total.used_bytes()), (500, 500));
        drop(first);
        assert!(second.memory_growing(0, 600, None).unwrap());
        drop(second);
        assert_eq!((shop.used_bytes(), total.used_bytes()), (0, 0));
    }

    #[test]
    fn an_instances_own_limit_comes_first() {
        let budget = Budget::new("shop", Some(600), None);
        let mut one = Allowance::new(Some(100), Arc::clone(&budget));
        assert!(one.table_growing(0, 10, None).unwrap());
        assert!(one.memory_growing(0, 21, None).unwrap_err().is::<MemoryExceeded>());
        assert!(!one.memory_growing(0, 21, Some(20)).unwrap());
        assert_eq!(budget.used_bytes(), 80);
    }
}
