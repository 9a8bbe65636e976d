//! The engines of a server: one for guests of WASI 0.2 and modules, one for guests of WASI 0.3, both with
//! instances from pools that are made once.
//!
//! Why two: without concurrency support, which 0.3 needs, a fresh 0.2 instance is 1.6 times faster.

use crate::load::LoadError;
use crate::settings::{Profile, Settings};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How many instances the pools must hold; the machine may allow fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Instances of each engine that exist at once.
    pub instances: u32,
    /// The largest linear memory; `None`: what 32 bits can address.
    pub memory_bytes: Option<u64>,
}

/// The engines that all guests of a server share.
pub struct Engines {
    pub settings: Settings,
    pub plain: Engine,
    /// `None` where WASI 0.3 is switched off.
    pub concurrent: Option<Engine>,
    /// The instances that each engine's pool holds.
    pub instances: u32,
    /// Why instances do not come from a pool, in a sentence for the user.
    pub unpooled: Option<String>,
}

/// A component consists of several core instances (the program, adapters, shims), some with tables and
/// memories of their own. The pool holds so many for each instance of a component.
const CORE_INSTANCES_EACH: u32 = 6;
const MEMORIES_EACH: u32 = 2;
const TABLES_EACH: u32 = 4;
/// Interpreters in wasm have some ten thousand functions in their tables.
const TABLE_ELEMENTS: usize = 128 << 10;
/// Types and imports of a large component take more than Wasmtime's default of 1 MiB.
const INSTANCE_BYTES: usize = 4 << 20;
/// Address space of one memory with its guards.
const MEMORY_RESERVATION_BYTES: u64 = (4 << 30) + (64 << 20);
/// What user space can address on the processors that we know: 47 bits; half of it for pools, two of them.
const POOL_ADDRESS_BYTES: u64 = 1 << 45;
/// Mappings that a live instance takes in each pool: memory, its image, guards, stack (measured: 4 to 7).
const MAPPINGS_EACH: u64 = 10;
/// Never fewer than this: a server that serves nothing at once is none.
const INSTANCES_MIN: u32 = 16;
/// Slots that keep their image mapped while unused: what a burst can take again without a system call.
const WARM_SLOTS: u32 = 256;
/// Memory is given back to the system in batches, because each call interrupts all processors.
const DECOMMIT_BATCH: usize = 32;

/// Of a memory that is free again, so much stays in place where only what was written needs to be reset.
const KEPT_MEMORY_BYTES: usize = 1 << 20;
/// The same of a table.
const KEPT_TABLE_BYTES: usize = 64 << 10;

impl Engines {
    /// Makes both engines. Where the machine has no room for pools, instances are allocated on demand.
    pub fn new(pool: Pool, concurrency: bool) -> Result<Self, LoadError> {
        let settings = Settings::new(Profile::Server);
        let instances = pool.instances.min(most_instances()).max(INSTANCES_MIN);
        let pool = Pool { instances, ..pool };
        let mut unpooled = settings.small_address_space.then(|| {
            "the address space of this process is limited (ulimit -v), so instances are made on demand, which is \
             slower"
                .to_owned()
        });
        if unpooled.is_none() {
            match Engines::with(settings.clone(), concurrency, instances, Some(pool)) {
                Ok(engines) => return Ok(engines),
                Err(error) => {
                    unpooled = Some(format!(
                        "no pool of {instances} instances can be made, so instances are made on demand, which is \
                         slower: {error:#}"
                    ));
                }
            }
        }
        let mut engines = Engines::with(settings, concurrency, instances, None)
            .map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        engines.unpooled = unpooled;
        Ok(engines)
    }

    fn with(
        settings: Settings,
        concurrency: bool,
        instances: u32,
        pool: Option<Pool>,
    ) -> wasmtime::Result<Self> {
        let engine = |concurrent| -> wasmtime::Result<Engine> {
            let mut config = settings.config(concurrent)?;
            if let Some(pool) = pool {
                allocate_from(pool, &mut config);
            }
            Engine::new(&config)
        };
        let plain = engine(false)?;
        let concurrent = if concurrency { Some(engine(true)?) } else { None };
        Ok(Engines { settings, plain, concurrent, instances, unpooled: None })
    }

    /// Both, for whoever advances their epochs.
    pub fn all(&self) -> impl Iterator<Item = &Engine> {
        std::iter::once(&self.plain).chain(&self.concurrent)
    }
}

fn allocate_from(pool: Pool, config: &mut Config) {
    let count = pool.instances;
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_EACH))
        .total_memories(count.saturating_mul(MEMORIES_EACH))
        .total_tables(count.saturating_mul(TABLES_EACH))
        .total_stacks(count)
        .total_gc_heaps(count)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_memories_per_module(16)
        .max_tables_per_module(16)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS)
        .decommit_batch_size(DECOMMIT_BATCH);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        // The kernel tells which pages a guest wrote; only these are reset, in place, so that the next guest meets
        // no page fault (4 for each request otherwise, a fifth of its time). Without that knowledge it would be
        // cheaper to give the pages back.
        pooling
            .pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
            .table_keep_resident(KEPT_TABLE_BYTES);
    }
    if let Some(bytes) = pool.memory_bytes {
        pooling.max_memory_size(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling)).memory_init_cow(true);
}

/// What this machine has room for, in each pool.
fn most_instances() -> u32 {
    let by_address = POOL_ADDRESS_BYTES / (MEMORY_RESERVATION_BYTES * u64::from(MEMORIES_EACH));
    // Half of the mappings stay for code and everything else; the rest is for two pools.
    let by_mappings = max_map_count() / 2 / 2 / MAPPINGS_EACH;
    u32::try_from(by_address.min(by_mappings)).unwrap_or(u32::MAX)
}

/// How many mappings a process may have (`vm.max_map_count`).
pub fn max_map_count() -> u64 {
    /// The kernel's default.
    const DEFAULT: u64 = 65_530;
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT)
}
