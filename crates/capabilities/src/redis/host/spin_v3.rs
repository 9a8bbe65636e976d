//! spin:redis@3.0.0, of spin-sdk 6 and 7: calls that wait do not stop the guest's other tasks.

use super::{Connection, Redis, Session};
use crate::redis as own;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-redis-3.0.0",
        inline: "package sampan:host; world imports { import spin:redis/redis@3.0.0; }",
        world: "sampan:host/imports",
        imports: { default: trappable },
        with: { "spin:redis/redis.connection": crate::redis::host::Connection },
    });
}

pub use generated::spin::redis::redis::add_to_linker;
use generated::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};

type Own = HasSelf<Redis>;

fn session<T>(accessor: &Accessor<T, Own>, connection: &Resource<Connection>) -> Result<Connection> {
    accessor.with(|mut access| access.get().session(connection))
}

fn said(error: own::Error) -> Error {
    match error {
        own::Error::InvalidAddress => Error::InvalidAddress,
        own::Error::TooManyConnections => Error::TooManyConnections,
        own::Error::Type => Error::TypeError,
        own::Error::Other(why) => Error::Other(why),
    }
}

/// How many there were; the interface has 32 bits for it.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn parameters(arguments: Vec<RedisParameter>) -> Vec<own::Parameter> {
    let own = arguments.into_iter().map(|argument| match argument {
        RedisParameter::Int64(number) => own::Parameter::Int64(number),
        RedisParameter::Binary(bytes) => own::Parameter::Binary(bytes),
    });
    own.collect()
}

fn reply(reply: own::Reply) -> RedisResult {
    match reply {
        own::Reply::Nil => RedisResult::Nil,
        own::Reply::Status(text) => RedisResult::Status(text),
        own::Reply::Int64(number) => RedisResult::Int64(number),
        own::Reply::Binary(bytes) => RedisResult::Binary(bytes),
    }
}

impl Host for Redis {}

impl HostConnection for Redis {
    fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for Own {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> Result<Result<Resource<Connection>, Error>> {
        let (services, pool) = accessor.with(|mut access| {
            let redis = access.get();
            (redis.services.clone(), redis.pool.clone())
        });
        let opened = Session::open(address, services, pool).await;
        let keep = |session| accessor.with(|mut access| access.get().keep(session));
        Ok(opened.and_then(keep).map_err(said))
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.publish(channel, payload).await;
        Ok(done.map_err(said))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.get(key).await;
        Ok(done.map_err(said))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.set(key, value).await;
        Ok(done.map_err(said))
    }

    async fn incr(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Result<i64, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.incr(key).await;
        Ok(done.map_err(said))
    }

    async fn del(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.del(keys).await;
        Ok(done.map(count).map_err(said))
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.sadd(key, values).await;
        Ok(done.map(count).map_err(said))
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.smembers(key).await;
        Ok(done.map_err(said))
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.srem(key, values).await;
        Ok(done.map(count).map_err(said))
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let Connection(session) = session(accessor, &connection)?;
        let done = session.lock().await.execute(&command, parameters(arguments)).await;
        Ok(done.map(|replies| replies.into_iter().map(reply).collect()).map_err(said))
    }
}
