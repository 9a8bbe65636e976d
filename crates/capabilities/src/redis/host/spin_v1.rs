//! fermyon:spin/redis without version, of spin-sdk 1: each call names the address, and errors say nothing.

use super::{KEPT_MAX, Redis, Session};
use crate::redis as own;
use wasmtime::Result;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:host; world imports { import fermyon:spin/redis; }",
        world: "sampan:host/imports",
        imports: { default: async | trappable },
    });
}

pub use generated::fermyon::spin::{redis, redis_types};
use redis_types::{Error, RedisParameter, RedisResult};

impl Redis {
    /// The guest's connection to this address.
    async fn at(&mut self, address: String) -> Result<&mut Session, Error> {
        let session = match self.kept.iter().position(|(one, _)| *one == address) {
            Some(place) => self.kept.remove(place),
            None => {
                if self.kept.len() == KEPT_MAX {
                    self.kept.remove(0);
                }
                let opening = Session::open(address.clone(), self.services.clone(), self.pool.clone());
                (address, opening.await.map_err(said)?)
            }
        };
        self.kept.push(session);
        let (_, session) = self.kept.last_mut().ok_or(Error::Error)?;
        Ok(session)
    }
}

fn said(_: own::Error) -> Error {
    Error::Error
}

impl redis_types::Host for Redis {}

impl redis::Host for Redis {
    async fn publish(
        &mut self,
        address: String,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        Ok(async { self.at(address).await?.publish(channel, payload).await.map_err(said) }.await)
    }

    async fn get(&mut self, address: String, key: String) -> Result<Result<Vec<u8>, Error>> {
        // A key without value is an empty one here.
        let get = async { self.at(address).await?.get(key).await.map_err(said) };
        Ok(get.await.map(Option::unwrap_or_default))
    }

    async fn set(&mut self, address: String, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        Ok(async { self.at(address).await?.set(key, value).await.map_err(said) }.await)
    }

    async fn incr(&mut self, address: String, key: String) -> Result<Result<i64, Error>> {
        Ok(async { self.at(address).await?.incr(key).await.map_err(said) }.await)
    }

    async fn del(&mut self, address: String, keys: Vec<String>) -> Result<Result<i64, Error>> {
        Ok(async { self.at(address).await?.del(keys).await.map_err(said) }.await)
    }

    async fn sadd(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        Ok(async { self.at(address).await?.sadd(key, values).await.map_err(said) }.await)
    }

    async fn smembers(&mut self, address: String, key: String) -> Result<Result<Vec<String>, Error>> {
        Ok(async { self.at(address).await?.smembers(key).await.map_err(said) }.await)
    }

    async fn srem(
        &mut self,
        address: String,
        key: String,
        values: Vec<String>,
    ) -> Result<Result<i64, Error>> {
        Ok(async { self.at(address).await?.srem(key, values).await.map_err(said) }.await)
    }

    async fn execute(
        &mut self,
        address: String,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Result<Vec<RedisResult>, Error>> {
        let arguments = arguments.into_iter().map(|argument| match argument {
            RedisParameter::Int64(number) => own::Parameter::Int64(number),
            RedisParameter::Binary(bytes) => own::Parameter::Binary(bytes),
        });
        let arguments = arguments.collect();
        let execute = async { self.at(address).await?.execute(&command, arguments).await.map_err(said) };
        Ok(execute.await.map(|replies| replies.into_iter().map(reply).collect()))
    }
}

fn reply(reply: own::Reply) -> RedisResult {
    match reply {
        own::Reply::Nil => RedisResult::Nil,
        own::Reply::Status(text) => RedisResult::Status(text),
        own::Reply::Int64(number) => RedisResult::Int64(number),
        own::Reply::Binary(bytes) => RedisResult::Binary(bytes),
    }
}
