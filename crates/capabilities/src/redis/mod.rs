//! Redis as guests use it: any command, at an address that was granted.
//!
//! A guest has a connection for itself while it holds one, because commands such as SELECT and MULTI change
//! what a connection is. Afterwards it goes back to the app's pool, unless it may have been changed.

pub(crate) mod call;
pub(crate) mod connect;
pub mod host;
pub(crate) mod link;
pub(crate) mod metadata;
mod pool;
#[cfg(test)]
pub(crate) mod tests;

pub use host::Redis;
pub use pool::Pool;

use crate::services::{Address, Services};
use ::redis::{ErrorKind, RedisError, ServerErrorKind, ToRedisArgs, Value, cmd};
use connect::{ConnectError, Server};
use pool::Lease;
use std::sync::Arc;
use std::time::Duration;

/// What one response may hold.
const RESPONSE_BYTES_MAX: u64 = 64 << 20;
/// How long a command may take: long, because some wait by design (BLPOP); the request's own limit is shorter.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Commands that turn a connection into a stream of messages, which no interface can deliver.
const STREAMS: [&str; 6] = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"];

/// Commands that leave a connection as it was, so that another guest may have it next. After any other one it
/// is closed.
const HARMLESS: [&str; 92] = [
    "APPEND",
    "BITCOUNT",
    "BITOP",
    "BITPOS",
    "COPY",
    "DBSIZE",
    "DECR",
    "DECRBY",
    "DEL",
    "ECHO",
    "EXISTS",
    "EXPIRE",
    "EXPIREAT",
    "EXPIRETIME",
    "GEOADD",
    "GEODIST",
    "GEOPOS",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETDEL",
    "GETEX",
    "GETRANGE",
    "GETSET",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HMSET",
    "HSCAN",
    "HSET",
    "HSETNX",
    "HVALS",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "KEYS",
    "LINDEX",
    "LINSERT",
    "LLEN",
    "LMOVE",
    "LPOP",
    "LPUSH",
    "LRANGE",
    "LREM",
    "LSET",
    "LTRIM",
    "MGET",
    "MSET",
    "MSETNX",
    "PERSIST",
    "PEXPIRE",
    "PING",
    "PSETEX",
    "PTTL",
    "PUBLISH",
    "RANDOMKEY",
    "RENAME",
    "RPOP",
    "RPUSH",
    "SADD",
    "SCAN",
    "SCARD",
    "SDIFF",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTER",
    "SISMEMBER",
    "SMEMBERS",
    "SREM",
    "STRLEN",
    "SUNION",
    "TIME",
    "TTL",
    "TYPE",
    "UNLINK",
    "XADD",
    "XLEN",
    "XRANGE",
    "XREAD",
    "ZADD",
    "ZRANGE",
    "ZREM",
    "ZSCORE",
];

/// Why a command failed. The texts name no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an address of Redis, or not granted.
    #[error("the address is not valid, or not granted")]
    InvalidAddress,
    #[error("there are too many open connections")]
    TooManyConnections,
    #[error("the value has another type")]
    Type,
    #[error("{0}")]
    Other(String),
}

/// A guest's connection. It is made at once, and made again if the server went away meanwhile.
pub struct Session {
    server: Server,
    services: Arc<Services>,
    pool: Arc<Pool>,
    address: String,
    lease: Option<Lease>,
}

/// A parameter of [`Session::execute`].
pub enum Parameter {
    Int64(i64),
    Binary(Vec<u8>),
}

/// A result of [`Session::execute`]; nested ones come one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Nil,
    Status(String),
    Int64(i64),
    Binary(Vec<u8>),
}

impl Session {
    pub async fn open(address: String, services: Arc<Services>, pool: Arc<Pool>) -> Result<Session, Error> {
        let server = Server::parse(&address).ok_or(Error::InvalidAddress)?;
        let wanted = Address { scheme: "redis", host: &server.host, port: server.port };
        if !services.allows(wanted) {
            return Err(Error::InvalidAddress);
        }
        let mut session = Session { server, services, pool, address, lease: None };
        session.lease().await?;
        Ok(session)
    }

    async fn lease(&mut self) -> Result<&mut Lease, Error> {
        if self.lease.as_ref().is_none_or(Lease::is_closed) {
            // Its place must be free before the next one is asked for.
            self.lease = None;
            let (server, services) = (self.server.clone(), Arc::clone(&self.services));
            let permit = {
                let (host, port) = (server.host.clone(), server.port);
                move |found: &[_]| services.permitted(Address { scheme: "redis", host: &host, port }, found)
            };
            let leased = self.pool.lease(&self.address, server, permit).await;
            self.lease = Some(leased?);
        }
        self.lease.as_mut().ok_or(Error::TooManyConnections)
    }

    pub async fn publish(&mut self, channel: String, payload: Vec<u8>) -> Result<(), Error> {
        self.call("PUBLISH", (channel, payload)).await.map(drop)
    }

    pub async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.typed("GET", key).await
    }

    pub async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.call("SET", (key, value)).await.map(drop)
    }

    pub async fn incr(&mut self, key: String) -> Result<i64, Error> {
        self.typed("INCR", key).await
    }

    pub async fn del(&mut self, keys: Vec<String>) -> Result<i64, Error> {
        // The server takes no command without a key.
        if keys.is_empty() { Ok(0) } else { self.typed("DEL", keys).await }
    }

    pub async fn sadd(&mut self, key: String, values: Vec<String>) -> Result<i64, Error> {
        if values.is_empty() { Ok(0) } else { self.typed("SADD", (key, values)).await }
    }

    pub async fn smembers(&mut self, key: String) -> Result<Vec<String>, Error> {
        self.typed("SMEMBERS", key).await
    }

    pub async fn srem(&mut self, key: String, values: Vec<String>) -> Result<i64, Error> {
        if values.is_empty() { Ok(0) } else { self.typed("SREM", (key, values)).await }
    }

    /// Any command, but those that need another kind of connection.
    pub async fn execute(&mut self, command: &str, parameters: Vec<Parameter>) -> Result<Vec<Reply>, Error> {
        let name = command.trim().to_ascii_uppercase();
        if name.is_empty() || STREAMS.contains(&name.as_str()) {
            return Err(Error::Other(format!("`{command}` cannot be executed through this interface")));
        }
        let arguments: Vec<Vec<u8>> = parameters
            .into_iter()
            .map(|parameter| match parameter {
                Parameter::Int64(number) => number.to_string().into_bytes(),
                Parameter::Binary(bytes) => bytes,
            })
            .collect();
        let mut replies = Vec::new();
        flatten(self.call(&name, arguments).await?, &mut replies)?;
        Ok(replies)
    }

    async fn typed<T: ::redis::FromRedisValue>(
        &mut self,
        name: &str,
        arguments: impl ToRedisArgs,
    ) -> Result<T, Error> {
        let value = self.call(name, arguments).await?;
        T::from_redis_value(value).map_err(|_| Error::Type)
    }

    async fn call(&mut self, name: &str, arguments: impl ToRedisArgs) -> Result<Value, Error> {
        let mut command = cmd(name);
        command.arg(arguments);
        let shown = self.server.shown();
        let lease = self.lease().await?;
        if !HARMLESS.contains(&name) {
            lease.keep_from_others();
        }
        lease.send(&command).await.map_err(|error| match error {
            None => Error::Other(format!("{shown} did not answer within {} s", COMMAND_TIMEOUT.as_secs())),
            Some(error) => failed(&error),
        })
    }
}

fn flatten(value: Value, replies: &mut Vec<Reply>) -> Result<(), Error> {
    match value {
        Value::Nil => replies.push(Reply::Nil),
        Value::Int(number) => replies.push(Reply::Int64(number)),
        Value::BulkString(bytes) => replies.push(Reply::Binary(bytes)),
        Value::SimpleString(text) => replies.push(Reply::Status(text)),
        Value::Okay => replies.push(Reply::Status("OK".to_owned())),
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
            for value in values {
                flatten(value, replies)?;
            }
        }
        Value::Map(pairs) => {
            for (key, value) in pairs {
                flatten(key, replies)?;
                flatten(value, replies)?;
            }
        }
        Value::Attribute { data, .. } => flatten(*data, replies)?,
        Value::Double(number) => replies.push(Reply::Binary(number.to_string().into_bytes())),
        Value::Boolean(yes) => replies.push(Reply::Int64(yes.into())),
        Value::VerbatimString { text, .. } => replies.push(Reply::Binary(text.into_bytes())),
        Value::BigNumber(number) => replies.push(Reply::Binary(number)),
        Value::ServerError(error) => return Err(Error::Other(error.to_string())),
        _ => return Err(Error::Type),
    }
    Ok(())
}

fn failed(error: &RedisError) -> Error {
    let not_a_number = || {
        error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
            && error.detail().is_some_and(|detail| detail.contains("not an integer"))
    };
    if error.code() == Some("WRONGTYPE") || not_a_number() {
        return Error::Type;
    }
    Error::Other(error.to_string())
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotPermitted => Error::InvalidAddress,
            ConnectError::Unreachable(why) => Error::Other(why),
            ConnectError::Login(_) => Error::Other(error.to_string()),
        }
    }
}
