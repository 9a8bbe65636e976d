//! Bindings: a schedule that calls the app, and calls of the app to systems outside.
//!
//! What Dapr calls an output binding is one call: an operation, bytes, and metadata by name. An input binding is
//! a source of events.

pub mod component;
mod cron;
mod http;
mod local_storage;
mod postgres;
mod redis;
pub mod schedule;

pub use schedule::{Schedule, ScheduleError};

use crate::http::Error as HttpError;
use cron::{Cron, SystemClock};
use http::Http;
use local_storage::LocalStorage;
use postgres::Postgres;
use redis::Redis;
use std::collections::BTreeMap;

/// Data in one call, in each direction, where the component's metadata says nothing else.
pub const DATA_BYTES_MAX: usize = 100 << 20;

/// What a call came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoked {
    /// `None`: the operation has nothing to say.
    pub data: Option<Vec<u8>>,
    pub metadata: BTreeMap<String, String>,
}

/// Why a call failed. The texts are Dapr's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    #[error("invalid operation: {operation}; this binding has {}", known.join(", "))]
    NoSuchOperation { operation: String, known: &'static [&'static str] },
    /// The request's metadata lack something, or say what makes no sense.
    #[error("{0}")]
    Metadata(String),
    #[error("{what} is larger than {max} bytes")]
    TooLarge { what: &'static str, max: usize },
    /// The server answered, but not with success.
    #[error("received status code {code}")]
    Status { code: u16, invoked: Box<Invoked> },
    #[error("{0}")]
    Http(HttpError),
    /// It may be better later.
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Other(String),
}

/// A system that an app may call.
pub struct Output(Box<Backend>);

enum Backend {
    Http(Http),
    Redis(Redis),
    Postgres(Postgres),
    LocalStorage(LocalStorage),
}

impl Output {
    pub async fn invoke(
        &self,
        operation: &str,
        data: &[u8],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Invoked, BindingError> {
        if data.len() > DATA_BYTES_MAX {
            return Err(BindingError::TooLarge { what: "the data", max: DATA_BYTES_MAX });
        }
        match &*self.0 {
            Backend::Http(http) => http.invoke(operation, data, metadata).await,
            Backend::Redis(redis) => redis.invoke(operation, data, metadata).await,
            Backend::Postgres(postgres) => postgres.invoke(operation, metadata).await,
            Backend::LocalStorage(storage) => storage.invoke(operation, data, metadata).await,
        }
    }

    pub fn operations(&self) -> &'static [&'static str] {
        match &*self.0 {
            Backend::Http(_) => http::OPERATIONS,
            Backend::Redis(_) => redis::OPERATIONS,
            Backend::Postgres(_) => postgres::OPERATIONS,
            Backend::LocalStorage(_) => local_storage::OPERATIONS,
        }
    }
}

/// Something that happened outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub data: Vec<u8>,
    pub metadata: BTreeMap<String, String>,
}

/// A source of events.
pub struct Input(Cron<SystemClock>);

impl Input {
    /// Ticks of a schedule, from this moment on.
    pub fn of_schedule(schedule: Schedule) -> Self {
        Input(Cron::new(schedule, SystemClock))
    }

    /// Waits for the next event. May be dropped and called again: no event is lost, none comes twice.
    pub async fn next(&mut self) -> Result<Event, BindingError> {
        self.0.next().await
    }
}

fn no_such_operation(operation: &str, known: &'static [&'static str]) -> BindingError {
    BindingError::NoSuchOperation { operation: operation.to_owned(), known }
}
