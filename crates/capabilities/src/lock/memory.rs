//! Locks in memory: for the apps of one process.

use super::{LockError, Unlock};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Resources that are held at once.
pub const LOCKS_MAX: usize = 100_000;

#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Held>>);

struct Held {
    owner: String,
    until: Instant,
}

impl Memory {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_lock(&self, resource: &str, owner: &str, expiry: Duration) -> Result<bool, LockError> {
        let (mut held, now) = (self.held(), Instant::now());
        if held.get(resource).is_some_and(|one| one.until > now) {
            return Ok(false);
        }
        if held.len() >= LOCKS_MAX {
            held.retain(|_, one| one.until > now);
        }
        if held.len() >= LOCKS_MAX {
            return Err(LockError::Full(LOCKS_MAX));
        }
        held.insert(resource.to_owned(), Held { owner: owner.to_owned(), until: now + expiry });
        Ok(true)
    }

    pub fn unlock(&self, resource: &str, owner: &str) -> Unlock {
        let (mut held, now) = (self.held(), Instant::now());
        let Some(one) = held.get(resource).filter(|one| one.until > now) else {
            return Unlock::NoSuchLock;
        };
        if one.owner != owner {
            return Unlock::OthersLock;
        }
        held.remove(resource);
        Unlock::Done
    }
}
