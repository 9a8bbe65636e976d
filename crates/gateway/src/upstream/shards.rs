//! Lists of which every thread has its own, so that nobody waits for another's lock.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, TryLockError};

/// Twice as many as processors, so that threads that are not workers seldom share one with a worker.
static COUNT: LazyLock<usize> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores * 2).next_power_of_two().clamp(4, 256)
});

/// Which list is this thread's.
fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Relaxed));
    OWN.with(|own| *own) & (*COUNT - 1)
}

/// A cache line for each, so that processors do not pass them to and fro.
#[repr(align(64))]
struct Shard<T>(Mutex<Vec<T>>);

pub struct Shards<T>(Box<[Shard<T>]>);

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Shards((0..*COUNT).map(|_| Shard(Mutex::new(Vec::new()))).collect())
    }
}

impl<T> Shards<T> {
    /// This thread's list.
    pub fn own(&self) -> MutexGuard<'_, Vec<T>> {
        self.0[own()].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All lists, one after the other; those that are in use at the moment are left out.
    pub fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Vec<T>>> {
        self.0.iter().filter_map(|shard| match shard.0.try_lock() {
            Ok(list) => Some(list),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}
