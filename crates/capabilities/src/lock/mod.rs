//! Locks: one owner at a time holds a resource, until it gives it back or its time is over.
//!
//! What a resource is called and who an owner is are texts that mean nothing here. A lock is for owners that
//! cooperate: a holder that is slower than its expiry has lost the lock and does not hear of it.

pub mod component;
mod memory;
mod redis;

use memory::Memory;
use redis::Redis;
use std::time::Duration;

/// The longest name of a resource or an owner.
pub const NAME_BYTES_MAX: usize = 4 << 10;
/// The longest time for which a resource can be locked. Nobody means more, and clocks can count it.
pub const EXPIRY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error("{what} of {bytes} bytes is larger than {NAME_BYTES_MAX} bytes")]
    TooLarge { what: &'static str, bytes: usize },
    #[error("a lock expires after more than nothing and at most 366 days")]
    Expiry,
    #[error("there are {0} locks already")]
    Full(usize),
    /// It may be better later.
    #[error("the lock store is not available: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

/// What came of giving a lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    Done,
    /// Nobody holds the resource; a lock that has expired counts as none.
    NoSuchLock,
    OthersLock,
}

/// An open lock store.
pub struct Lock(Backend);

enum Backend {
    Memory(Memory),
    Redis(Redis),
}

impl Lock {
    /// `false`: the resource is held, by whomever; an owner that holds it already does not get it twice.
    pub async fn try_lock(&self, resource: &str, owner: &str, expiry: Duration) -> Result<bool, LockError> {
        check(resource, owner)?;
        if expiry.is_zero() || expiry > EXPIRY_MAX {
            return Err(LockError::Expiry);
        }
        match &self.0 {
            Backend::Memory(memory) => memory.try_lock(resource, owner, expiry),
            Backend::Redis(redis) => redis.try_lock(resource, owner, expiry).await,
        }
    }

    pub async fn unlock(&self, resource: &str, owner: &str) -> Result<Unlock, LockError> {
        check(resource, owner)?;
        match &self.0 {
            Backend::Memory(memory) => Ok(memory.unlock(resource, owner)),
            Backend::Redis(redis) => redis.unlock(resource, owner).await,
        }
    }
}

fn check(resource: &str, owner: &str) -> Result<(), LockError> {
    for (what, name) in [("a resource's name", resource), ("an owner's name", owner)] {
        if name.len() > NAME_BYTES_MAX {
            return Err(LockError::TooLarge { what, bytes: name.len() });
        }
    }
    Ok(())
}
