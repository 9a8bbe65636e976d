//! The output binding of Redis: plain strings by key, as Dapr's `bindings.redis` (dapr/components-contrib,
//! bindings/redis/redis.go).

use super::{BindingError, DATA_BYTES_MAX, Invoked, no_such_operation};
use crate::redis::call::{CallError, call};
use crate::redis::connect::Connection;
use crate::redis::link::Link;
use ::redis::{Script, Value, cmd, pipe};
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub const OPERATIONS: &[&str] = &["create", "delete", "get", "increment"];

/// The value, unless it is too large to be taken; ARGV[2] is the command that gets it.
static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bytes = redis.call('STRLEN', KEYS[1])
        if bytes > tonumber(ARGV[1]) then return bytes end
        return redis.call(ARGV[2], KEYS[1])",
    )
});

pub struct Redis(pub Link);

impl Redis {
    pub async fn check(&self) -> Result<(), BindingError> {
        let ping =
            async |connection: &Connection| cmd("PING").query_async(&mut connection.redis.clone()).await;
        Ok(call(&self.0, ping).await?)
    }

    pub async fn invoke(
        &self,
        operation: &str,
        data: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Invoked, BindingError> {
        if !OPERATIONS.contains(&operation) {
            return Err(no_such_operation(operation, OPERATIONS));
        }
        let key = metadata.get("key").filter(|key| !key.is_empty()).ok_or_else(|| {
            BindingError::Metadata("redis binding: missing key in request metadata".to_owned())
        })?;
        if operation == "get" {
            let delete = metadata.get("delete").is_some_and(|delete| delete == "true");
            return self.get(key, delete).await;
        }
        let ttl_seconds = ttl_seconds(metadata)?;
        // In one step: a key without its time would stay for ever.
        let mut commands = pipe();
        commands.atomic();
        match operation {
            "create" => commands.cmd("SET").arg(key).arg(data).ignore(),
            "increment" => commands.cmd("INCR").arg(key).ignore(),
            _ => commands.cmd("DEL").arg(key).ignore(),
        };
        if let Some(seconds) = ttl_seconds.filter(|_| operation != "delete") {
            commands.cmd("EXPIRE").arg(key).arg(seconds).ignore();
        }
        let work =
            async |connection: &Connection| commands.query_async::<()>(&mut connection.redis.clone()).await;
        call(&self.0, work).await?;
        Ok(Invoked::default())
    }

    async fn get(&self, key: &str, delete: bool) -> Result<Invoked, BindingError> {
        let command = if delete { "GETDEL" } else { "GET" };
        let work = async |connection: &Connection| {
            let mut script = GET.prepare_invoke();
            script.key(key).arg(DATA_BYTES_MAX).arg(command);
            script.invoke_async::<Value>(&mut connection.redis.clone()).await
        };
        let data = match call(&self.0, work).await? {
            Value::BulkString(bytes) => Some(bytes),
            Value::Int(_) => return Err(BindingError::TooLarge { what: "the value", max: DATA_BYTES_MAX }),
            _ => None,
        };
        Ok(Invoked { data, ..Invoked::default() })
    }
}

/// As Dapr reads it (dapr/components-contrib, metadata/utils.go: `TryGetTTL`).
fn ttl_seconds(metadata: &BTreeMap<String, String>) -> Result<Option<i64>, BindingError> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| !text.is_empty()) else { return Ok(None) };
    let wrong =
        |why: &str| BindingError::Metadata(format!("ttlInSeconds value must be {why}: actual is '{text}'"));
    match text.parse::<i64>() {
        Err(_) => Err(wrong("a valid integer")),
        Ok(..=0) => Err(wrong("higher than zero")),
        // Go counts a duration in nanoseconds.
        Ok(seconds) => Ok(Some(seconds.min(i64::MAX / 1_000_000_000))),
    }
}

impl From<CallError> for BindingError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unavailable(why) => BindingError::Unavailable(why),
            CallError::Refused(why) => BindingError::Other(why),
        }
    }
}
