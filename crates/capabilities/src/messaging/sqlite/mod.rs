//! The embedded broker: one SQLite file. What is acknowledged is on the disk.
//!
//! One thread writes, and commits what is queued together (`embedded/writer.rs`). Several processes may use one
//! file: SQLite's locks keep them apart, and each message goes to one consumer of a group, under a lease that the
//! consumer renews while it lives. Within the process consumers are woken; what other processes publish is found
//! by looking from time to time.

mod consumer;
mod rows;

use super::{Answer, Broker, BrokerError, Features, Message, Subscribe, Subscription};
use crate::GrantError;
use crate::embedded::{self, Failure, Writer};
use consumer::Consumer;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How long a write waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A consumer that has not renewed its lease for so long is dead.
const LEASE: Duration = Duration::from_secs(30);

/// What a topic keeps.
#[derive(Clone, Copy, Debug)]
struct Limits {
    messages_max: i64,
    bytes_max: i64,
}

/// The messages of one topic, the largest of which are files of their own.
const TOPIC_BYTES_MAX: i64 = 8 << 30;

pub struct Sqlite {
    shared: Arc<Shared>,
    limits: Limits,
    lease: Duration,
    runtime: Handle,
}

/// What consumers use too.
struct Shared {
    writer: Writer<BrokerError>,
    /// By topic: something was published or released.
    topics: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Sqlite {
    /// Opens the file, and creates it with its folder where it is missing. Blocks. Consumers run on `runtime`.
    pub fn open(
        path: &Path,
        retention: Duration,
        messages_max: u64,
        runtime: Handle,
    ) -> Result<Self, GrantError> {
        let messages_max = i64::try_from(messages_max).unwrap_or(i64::MAX);
        let limits = Limits { messages_max, bytes_max: TOPIC_BYTES_MAX };
        Sqlite::open_with(path, retention, limits, LEASE, runtime)
    }

    fn open_with(
        path: &Path,
        retention: Duration,
        limits: Limits,
        lease: Duration,
        runtime: Handle,
    ) -> Result<Self, GrantError> {
        let opened = embedded::open(path, BUSY_TIMEOUT, rows::create);
        let db = opened.map_err(|error| error.explain(path, "the broker"))?;
        let writer = Writer::start(db, move |db| rows::sweep(db, retention));
        let shared = Arc::new(Shared { writer, topics: Mutex::default() });
        Ok(Sqlite { shared, limits, lease, runtime })
    }

    /// One whose consumers are soon taken for dead.
    #[cfg(test)]
    pub fn open_short(path: &Path, messages_max: i64, lease: Duration, runtime: Handle) -> Self {
        let limits = Limits { messages_max, bytes_max: TOPIC_BYTES_MAX };
        Sqlite::open_with(path, Duration::from_secs(3600), limits, lease, runtime).expect("a file")
    }
}

impl Broker for Sqlite {
    fn publish(&self, topic: String, messages: Vec<Message>) -> Answer<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            let bytes = messages.iter().map(Message::bytes).sum();
            let limits = self.limits;
            let name = topic.clone();
            let work = move |db: &_| rows::publish(db, &name, &messages, limits);
            let outcomes = self.shared.writer.run(bytes, work).await?;
            self.shared.wake(&topic);
            Ok(outcomes)
        })
    }

    fn subscribe(&self, subscribe: Subscribe) -> Answer<'_, Box<dyn Subscription>> {
        Box::pin(async move {
            let (topic, group) = (subscribe.topic.clone(), subscribe.group.clone());
            let group = self.shared.writer.run(0, move |db| rows::join(db, &topic, &group)).await?;
            let consumer = Consumer::start(&self.shared, subscribe, group, self.lease, &self.runtime);
            let consumer: Box<dyn Subscription> = Box::new(consumer);
            Ok(consumer)
        })
    }

    fn features(&self) -> Features {
        Features { ttl: false, durable: true }
    }
}

impl Shared {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, topic: &str) {
        if let Some(topic) = self.topics().get(topic) {
            topic.notify_waiters();
        }
    }
}

impl Failure for BrokerError {
    fn sqlite(error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
                BrokerError::Unavailable("another process holds the file's lock".to_owned())
            }
            Some(Code::DiskFull) => BrokerError::Unavailable("the disk is full".to_owned()),
            Some(Code::SystemIoFailure | Code::CannotOpen | Code::ReadOnly | Code::OutOfMemory) => {
                BrokerError::Unavailable(error.to_string())
            }
            _ => BrokerError::Other(error.to_string()),
        }
    }

    fn gone() -> Self {
        BrokerError::Unavailable("the broker was closed".to_owned())
    }
}
