//! fermyon:spin/redis@2.0.0, of spin-sdk 2 to 5.

use super::{Connection, Redis, Session};
use crate::redis as own;
use wasmtime::Result;
use wasmtime::component::Resource;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:host; world imports { import fermyon:spin/redis@2.0.0; }",
        world: "sampan:host/imports",
        imports: { default: async | trappable },
        with: { "fermyon:spin/redis.connection": crate::redis::host::Connection },
    });
}

pub use generated::fermyon::spin::redis::add_to_linker;
use generated::fermyon::spin::redis::{Error, Host, HostConnection, RedisParameter, RedisResult};

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
    async fn open(&mut self, address: String) -> Result<Result<Resource<Connection>, Error>> {
        let opened = Session::open(address, self.services.clone(), self.pool.clone()).await;
        Ok(opened.and_then(|session| self.keep(session)).map_err(said))
    }

    async fn publish(
        &mut self,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.publish(channel, payload).await;
        Ok(done.map_err(said))
    }

    async fn get(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.get(key).await;
        Ok(done.map_err(said))
    }

    async fn set(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.set(key, value).await;
        Ok(done.map_err(said))
    }

    async fn incr(&mut self, connection: Resource<Connection>, key: String) -> Result<Result<i64, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.incr(key).await;
        Ok(done.map_err(said))
    }

    async fn del(
        &mut self,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.del(keys).await;
        Ok(done.map(count).map_err(said))
    }

    async fn sadd(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.sadd(key, values).await;
        Ok(done.map(count).map_err(said))
    }

    async fn smembers(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Result<Vec<String>, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.smembers(key).await;
        Ok(done.map_err(said))
    }

    async fn srem(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<u32, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.srem(key, values).await;
        Ok(done.map(count).map_err(said))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let Connection(session) = self.session(&connection)?;
        let done = session.lock().await.execute(&command, parameters(arguments)).await;
        Ok(done.map(|replies| replies.into_iter().map(reply).collect()).map_err(said))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
