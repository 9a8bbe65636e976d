//! A store in Redis, in one of two layouts: a plain string for each key, as Spin's, or a hash, as Dapr's, so that
//! other programs read it too.
//!
//! Conditions and sizes are checked by scripts (`scripts.rs`), in one step at the server. While the server is down calls fail
//! at once, and the first one after it is back works again.

mod scripts;

use super::{
    Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Features, Page, Query, StoreError, TTL_MAX,
    VALUE_BYTES_MAX, Write,
};
use crate::redis::call::{CallError, call};
use crate::redis::connect::{Connection, Server};
use crate::redis::link::Link;
use ::redis::{Cmd, FromRedisValue, RedisError, cmd};
use sampan_app::RedisLayout;
use scripts::Scripts;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

/// SCAN may find nothing many times in a large database; then the page stays empty.
const SCANS_MAX: usize = 100;

pub struct Redis {
    link: Link,
    prefix: String,
    layout: RedisLayout,
    scripts: Scripts,
}

impl Redis {
    /// Connects at the first use.
    pub fn new(server: Server, prefix: &str, layout: RedisLayout, runtime: Handle) -> Self {
        let link = Link::new(server, runtime);
        Redis { link, prefix: prefix.to_owned(), layout, scripts: Scripts::of(layout) }
    }

    /// Whether the server answers, and whether it lets us in.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.run::<()>(&cmd("PING")).await
    }

    pub fn shown(&self) -> String {
        self.link.server().shown()
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.with(async |connection: &Connection| command.query_async(&mut connection.redis.clone()).await)
            .await
    }

    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        call(&self.link, work).await.map_err(|error| match error {
            CallError::Unavailable(why) => StoreError::Unavailable(why),
            CallError::Refused(why) => StoreError::Other(why),
        })
    }
}

impl Redis {
    async fn read(
        &self,
        keys: &[String],
        bytes_max: usize,
        what: &'static str,
    ) -> Result<Vec<Found>, StoreError> {
        let call = async |connection: &Connection| {
            let mut script = self.scripts.entries.prepare_invoke();
            for key in keys {
                script.key(self.key(key));
            }
            script.arg(bytes_max).invoke_async(&mut connection.redis.clone()).await
        };
        match self.with(call).await? {
            Checked::Values(found) => Ok(found),
            Checked::TooLarge(bytes) => Err(StoreError::TooLarge { what, bytes, max: bytes_max }),
        }
    }

    /// `Err` has the place of the write whose condition did not hold.
    async fn apply(&self, writes: &[Write]) -> Result<Result<(), usize>, StoreError> {
        for write in writes {
            if let Condition::Version(version) = &write.condition {
                match self.layout {
                    RedisLayout::Plain => return Err(no_versions()),
                    // Dapr's versions count.
                    RedisLayout::Dapr if version.parse::<u64>().is_err() => {
                        return Err(StoreError::InvalidVersion(version.clone()));
                    }
                    RedisLayout::Dapr => {}
                }
            }
        }
        let call = async |connection: &Connection| {
            let mut script = self.scripts.transact.prepare_invoke();
            for write in writes {
                let (condition, argument): (_, &[u8]) = match &write.condition {
                    Condition::Always => ("always", b""),
                    Condition::Absent => ("absent", b""),
                    Condition::Version(version) => ("version", version.as_bytes()),
                    Condition::Value(value) => ("value", value),
                };
                script.key(self.key(&write.key)).arg(if write.value.is_some() { "set" } else { "delete" });
                script.arg(condition).arg(argument).arg(write.value.as_deref().unwrap_or_default());
                match write.ttl {
                    Some(ttl) => script.arg(milliseconds(ttl)),
                    None => script.arg(""),
                };
                script.arg(u8::from(write.first_write));
            }
            script.invoke_async::<i64>(&mut connection.redis.clone()).await
        };
        // The scripts answer -1 when all is done.
        Ok(usize::try_from(self.with(call).await?).map_or(Ok(()), Err))
    }
}

impl Backend for Redis {
    fn features(&self) -> Features {
        let versions = self.layout == RedisLayout::Dapr;
        Features { versions, transactions: true, ttl: true, query: false }
    }

    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        Box::pin(async move {
            let found = self.read(&[key], VALUE_BYTES_MAX, "a value").await?;
            Ok(found.into_iter().next().and_then(entry))
        })
    }

    fn write(&self, write: Write) -> Answer<'_, bool> {
        Box::pin(async move {
            // What commands can do without a script.
            let plain = self.layout == RedisLayout::Plain;
            let command = match (&write.value, &write.condition) {
                (None, Condition::Always) => {
                    return self.run::<()>(cmd("DEL").arg(self.key(&write.key))).await.map(|()| true);
                }
                (Some(value), condition @ (Condition::Always | Condition::Absent)) if plain => {
                    let mut command = cmd("SET");
                    command.arg(self.key(&write.key)).arg(value);
                    if let Some(ttl) = write.ttl {
                        command.arg("PX").arg(milliseconds(ttl));
                    }
                    if *condition == Condition::Absent {
                        command.arg("NX");
                    }
                    command
                }
                _ => return self.apply(&[write]).await.map(|done| done.is_ok()),
            };
            self.run::<Option<String>>(&command).await.map(|said| said.is_some())
        })
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        Box::pin(async move { self.run(cmd("EXISTS").arg(self.key(&key))).await })
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        Box::pin(async move {
            let pattern = format!("{}*", escaped(&self.key(&query.prefix)));
            let mut cursor = query.cursor.unwrap_or_else(|| "0".to_owned());
            if cursor.parse::<u64>().is_err() {
                return Err(StoreError::Other("the cursor is none of this store's".to_owned()));
            }
            let kind = match self.layout {
                RedisLayout::Plain => "string",
                RedisLayout::Dapr => "hash",
            };
            // A scan may name a key twice.
            let mut keys = BTreeSet::new();
            for _ in 0..SCANS_MAX {
                let mut scan = cmd("SCAN");
                scan.arg(&cursor).arg("MATCH").arg(&pattern);
                scan.arg("COUNT").arg(query.limit).arg("TYPE").arg(kind);
                let found: Vec<Vec<u8>>;
                (cursor, found) = self.run(&scan).await?;
                // A key that is no text was written by another program, and cannot be asked for.
                let texts = found.into_iter().filter_map(|key| String::from_utf8(key).ok());
                keys.extend(texts.filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)));
                if cursor == "0" || keys.len() >= query.limit {
                    break;
                }
            }
            let cursor = (cursor != "0").then_some(cursor);
            Ok(Page { keys: keys.into_iter().collect(), cursor })
        })
    }

    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        Box::pin(async move {
            let found = self.read(&keys, BATCH_BYTES_MAX, "a batch").await?;
            Ok(found.into_iter().map(entry).collect())
        })
    }

    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        Box::pin(async move { self.apply(&writes).await })
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        Box::pin(async move {
            let Some(script) = &self.scripts.increment else {
                return self.run(cmd("INCRBY").arg(self.key(&key)).arg(delta)).await;
            };
            let call = async |connection: &Connection| {
                let mut script = script.key(self.key(&key));
                script.arg(delta).invoke_async::<String>(&mut connection.redis.clone()).await
            };
            // As text: a number would pass through a float.
            let sum = self.with(call).await?;
            sum.parse().map_err(|_| StoreError::Other(format!("{} answered {sum:?}", self.shown())))
        })
    }
}

/// What the script says of a key: value, version, and in how many milliseconds it expires (less than 0: never).
type Found = (Option<Vec<u8>>, Option<String>, i64);

fn entry((value, version, expires_ms): Found) -> Option<Entry> {
    let after = u64::try_from(expires_ms).ok().map(Duration::from_millis);
    let expires = after.and_then(|after| SystemTime::now().checked_add(after));
    Some(Entry { value: value?, version, expires })
}

/// Redis knows no expiry of 0 ms.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, TTL_MAX.as_millis() as u64)
}

/// What a script returns that looks at the size first.
enum Checked<T> {
    Values(T),
    TooLarge(usize),
}

impl<T: FromRedisValue> FromRedisValue for Checked<T> {
    fn from_redis_value(value: ::redis::Value) -> Result<Self, ::redis::ParsingError> {
        match value {
            ::redis::Value::Int(bytes) => Ok(Checked::TooLarge(usize::try_from(bytes).unwrap_or(usize::MAX))),
            other => T::from_redis_value(other).map(Checked::Values),
        }
    }
}

/// A prefix in a pattern of SCAN, where some characters are special.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\' | '-') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

fn no_versions() -> StoreError {
    StoreError::Other(
        "a store of plain strings in Redis has no versions; compare values, or use the layout `dapr`"
            .to_owned(),
    )
}
