//! Locks in Redis, in the layout of Dapr's `lock.redis` (dapr/components-contrib, lock/redis/standalone.go): a
//! string under the resource's name that holds the owner and expires.

use super::{LockError, Unlock};
use crate::redis::call::{CallError, call};
use crate::redis::connect::Connection;
use crate::redis::link::Link;
use ::redis::{Script, cmd};
use std::sync::LazyLock;
use std::time::Duration;

/// Deletes the lock if it is the owner's; -1: there is none, -2: it is another's.
static UNLOCK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local owner = redis.call('GET', KEYS[1])
        if not owner then return -1 end
        if owner ~= ARGV[1] then return -2 end
        return redis.call('DEL', KEYS[1])",
    )
});

pub struct Redis(pub Link);

impl Redis {
    pub async fn try_lock(&self, resource: &str, owner: &str, expiry: Duration) -> Result<bool, LockError> {
        // Redis knows no expiry of 0 ms.
        let expiry_ms = u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut command = cmd("SET");
        command.arg(resource).arg(owner).arg("NX").arg("PX").arg(expiry_ms);
        let work = async |connection: &Connection| {
            command.query_async::<Option<String>>(&mut connection.redis.clone()).await
        };
        Ok(call(&self.0, work).await?.is_some())
    }

    pub async fn unlock(&self, resource: &str, owner: &str) -> Result<Unlock, LockError> {
        let work = async |connection: &Connection| {
            let mut script = UNLOCK.prepare_invoke();
            script.key(resource).arg(owner).invoke_async::<i64>(&mut connection.redis.clone()).await
        };
        match call(&self.0, work).await? {
            -1 => Ok(Unlock::NoSuchLock),
            -2 => Ok(Unlock::OthersLock),
            _ => Ok(Unlock::Done),
        }
    }

    /// How many servers copy from this one; 0 where it does not say. A copy that takes over may lack the
    /// newest locks.
    pub async fn replicas(&self) -> Result<u64, LockError> {
        let work = async |connection: &Connection| {
            cmd("INFO").arg("replication").query_async::<String>(&mut connection.redis.clone()).await
        };
        match call(&self.0, work).await {
            Ok(info) => {
                let count = info.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
                Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
            }
            Err(CallError::Unavailable(why)) => Err(LockError::Unavailable(why)),
            // Some servers and some users have no INFO.
            Err(CallError::Refused(_)) => Ok(0),
        }
    }
}

impl From<CallError> for LockError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unavailable(why) => LockError::Unavailable(why),
            CallError::Refused(why) => LockError::Other(why),
        }
    }
}
