//! A store in Redis: a plain string for each key, as Spin's, so that other programs read it too.
//!
//! Conditions and sizes are checked by scripts, in one step at the server. While the server is down calls fail
//! at once, and the first one after it is back works again.

use super::{Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Page, Query, StoreError, VALUE_BYTES_MAX};
use crate::redis::connect::{ConnectError, Connection, Server};
use crate::redis::link::Link;
use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, cmd};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A server that takes longer is down, as far as a request is concerned.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// SCAN may find nothing many times in a large database; then the page stays empty.
const SCANS_MAX: usize = 100;

/// The value, unless it is too large to be taken.
static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bytes = redis.call('STRLEN', KEYS[1])
        if bytes > tonumber(ARGV[1]) then return bytes end
        return {redis.call('GET', KEYS[1])}",
    )
});

/// All values, unless they are too large together.
static GET_MANY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bytes = 0
        for _, key in ipairs(KEYS) do bytes = bytes + redis.call('STRLEN', key) end
        if bytes > tonumber(ARGV[1]) then return bytes end
        return redis.call('MGET', unpack(KEYS))",
    )
});

/// Sets the value if the one before is ARGV[1]; ARGV[3] are milliseconds or empty.
static SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
        else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
        return 1",
    )
});

static DELETE_IF: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1])
        return 1",
    )
});

pub struct Redis {
    link: Link,
    prefix: String,
}

impl Redis {
    /// Connects at the first use.
    pub fn new(server: Server, prefix: &str, runtime: Handle) -> Self {
        Redis { link: Link::new(server, runtime), prefix: prefix.to_owned() }
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
        let connection = self.link.connection().await.map_err(down)?;
        let error = match timeout(RESPONSE_TIMEOUT, work(&connection)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => {
                self.link.lost(&connection);
                let seconds = RESPONSE_TIMEOUT.as_secs();
                let what = format!("{} did not answer within {seconds} seconds", self.shown());
                return Err(StoreError::Unavailable(what));
            }
        };
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.link.lost(&connection);
        }
        Err(failed(&error, &self.shown()))
    }
}

impl Backend for Redis {
    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        Box::pin(async move {
            let key = self.key(&key);
            let call = async |connection: &Connection| {
                let mut script = GET.prepare_invoke();
                script.key(key).arg(VALUE_BYTES_MAX).invoke_async(&mut connection.redis.clone()).await
            };
            match self.with(call).await? {
                Checked::Values((value,)) => Ok(Option::map(value, |value| Entry { value, version: None })),
                Checked::TooLarge(bytes) => {
                    Err(StoreError::TooLarge { what: "a value", bytes, max: VALUE_BYTES_MAX })
                }
            }
        })
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let key = self.key(&key);
            // Redis knows no expiry of 0 ms.
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(i64::MAX as u64).max(1));
            if let Condition::Value(before) = condition {
                let ttl_ms = ttl_ms.map(|ms| ms.to_string()).unwrap_or_default();
                let call = async |connection: &Connection| {
                    let mut script = SWAP.prepare_invoke();
                    script.key(key).arg(before).arg(value).arg(ttl_ms);
                    script.invoke_async(&mut connection.redis.clone()).await
                };
                return self.with(call).await;
            }
            let mut command = cmd("SET");
            command.arg(key).arg(value);
            if let Some(ms) = ttl_ms {
                command.arg("PX").arg(ms);
            }
            match condition {
                Condition::Always => {}
                Condition::Absent => drop(command.arg("NX")),
                Condition::Value(_) | Condition::Version(_) => return Err(no_versions()),
            }
            self.run::<Option<String>>(&command).await.map(|said| said.is_some())
        })
    }

    fn delete(&self, key: String, condition: Condition) -> Answer<'_, bool> {
        Box::pin(async move {
            let key = self.key(&key);
            match condition {
                Condition::Always => self.run::<()>(cmd("DEL").arg(key)).await.map(|()| true),
                Condition::Absent => self.run::<bool>(cmd("EXISTS").arg(key)).await.map(|there| !there),
                Condition::Version(_) => Err(no_versions()),
                Condition::Value(before) => {
                    let call = async |connection: &Connection| {
                        let mut script = DELETE_IF.prepare_invoke();
                        script.key(key).arg(before).invoke_async(&mut connection.redis.clone()).await
                    };
                    self.with(call).await
                }
            }
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
            // A scan may name a key twice.
            let mut keys = BTreeSet::new();
            for _ in 0..SCANS_MAX {
                let mut scan = cmd("SCAN");
                scan.arg(&cursor).arg("MATCH").arg(&pattern);
                scan.arg("COUNT").arg(query.limit).arg("TYPE").arg("string");
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

    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let call = async |connection: &Connection| {
                let mut script = GET_MANY.prepare_invoke();
                for key in &keys {
                    script.key(self.key(key));
                }
                script.arg(BATCH_BYTES_MAX).invoke_async(&mut connection.redis.clone()).await
            };
            match self.with(call).await? {
                Checked::Values(values) => Ok(values),
                Checked::TooLarge(bytes) => {
                    Err(StoreError::TooLarge { what: "a batch", bytes, max: BATCH_BYTES_MAX })
                }
            }
        })
    }

    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut command = cmd("MSET");
            for (key, value) in entries {
                command.arg(self.key(&key)).arg(value);
            }
            self.run(&command).await
        })
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut command = cmd("DEL");
            for key in &keys {
                command.arg(self.key(key));
            }
            self.run(&command).await
        })
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        Box::pin(async move { self.run(cmd("INCRBY").arg(self.key(&key)).arg(delta)).await })
    }
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
    StoreError::Other("a store in Redis has no versions; compare values".to_owned())
}

fn down(error: ConnectError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn failed(error: &RedisError, server: &str) -> StoreError {
    use ServerErrorKind as Kind;
    match error.kind() {
        ErrorKind::Server(Kind::BusyLoading | Kind::ClusterDown | Kind::MasterDown | Kind::ReadOnly) => {
            StoreError::Unavailable(format!("{server}: {error}"))
        }
        _ if error.is_io_error() || error.is_unrecoverable_error() => {
            StoreError::Unavailable(format!("the connection to {server} was lost: {error}"))
        }
        _ => StoreError::Other(error.to_string()),
    }
}
