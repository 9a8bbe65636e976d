//! The app's connections to Redis: those in use, and a few that wait for the next guest.

use super::connect::{Connection, Server};
use super::{COMMAND_TIMEOUT, Error, RESPONSE_BYTES_MAX};
use ::redis::{Cmd, RedisError, Value};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Connections in use at once, over all guests and addresses.
const IN_USE_MAX: usize = 256;
/// How long a guest waits for one of them.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// Unused connections that are kept, over all addresses and for each.
const IDLE_MAX: usize = 64;
const IDLE_EACH_MAX: usize = 16;
/// Servers close unused connections some time; we are first.
const IDLE_TIME: Duration = Duration::from_secs(60);

pub struct Pool {
    /// Where drivers run; `None`: where the guest does.
    runtime: Option<Handle>,
    places: Arc<Semaphore>,
    /// By address as the guest wrote it: with its password, so that nobody gets what another one logged in to.
    idle: Mutex<HashMap<String, Vec<(Connection, Instant)>>>,
}

impl Default for Pool {
    fn default() -> Self {
        Pool::new(None)
    }
}

impl Pool {
    pub fn new(runtime: Option<Handle>) -> Self {
        Pool { runtime, places: Arc::new(Semaphore::new(IN_USE_MAX)), idle: Mutex::default() }
    }

    /// A connection for one guest alone. The address was checked; `permit` chooses of what it leads to.
    pub(super) async fn lease(
        self: &Arc<Self>,
        address: &str,
        server: Server,
        permit: impl Fn(&[IpAddr]) -> Vec<IpAddr> + Send + 'static,
    ) -> Result<Lease, Error> {
        let place = timeout(PLACE_TIMEOUT, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(Error::TooManyConnections)?;
        let connection = match self.idle(address, &permit) {
            Some(connection) => connection,
            None => {
                let runtime = self.runtime.clone().unwrap_or_else(Handle::current);
                Connection::open(server, &runtime, permit).await?
            }
        };
        Ok(Lease {
            pool: Arc::clone(self),
            address: address.to_owned(),
            connection: Some(connection),
            returns: true,
            _place: place,
        })
    }

    /// One that waits, if this guest too may connect to where it leads.
    fn idle(&self, address: &str, permit: &impl Fn(&[IpAddr]) -> Vec<IpAddr>) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut idle);
        let waiting = idle.get_mut(address)?;
        let may_have = waiting.last().is_some_and(|(one, _)| !permit(&[one.address]).is_empty());
        if may_have { waiting.pop().map(|(connection, _)| connection) } else { None }
    }

    fn give_back(&self, address: &str, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut idle);
        let all: usize = idle.values().map(Vec::len).sum();
        let same = idle.get(address).map_or(0, Vec::len);
        if all < IDLE_MAX && same < IDLE_EACH_MAX {
            idle.entry(address.to_owned()).or_default().push((connection, Instant::now()));
        }
    }
}

/// Closes what was unused for too long, or was closed by the other side.
fn forget(idle: &mut HashMap<String, Vec<(Connection, Instant)>>) {
    for connections in idle.values_mut() {
        connections.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < IDLE_TIME);
    }
    idle.retain(|_, connections| !connections.is_empty());
}

/// A connection that one guest has. Dropping it gives it back, or closes it.
pub(super) struct Lease {
    pool: Arc<Pool>,
    address: String,
    connection: Option<Connection>,
    returns: bool,
    _place: OwnedSemaphorePermit,
}

impl Lease {
    pub fn is_closed(&self) -> bool {
        self.connection.as_ref().is_none_or(Connection::is_closed)
    }

    /// It may be in a state that the next guest does not expect.
    pub fn keep_from_others(&mut self) {
        self.returns = false;
    }

    /// `Err(None)`: no answer in time.
    pub async fn send(&mut self, command: &Cmd) -> Result<Value, Option<RedisError>> {
        // If this future is dropped half-way, nobody knows what the connection will say next.
        let Some(connection) = self.connection.take() else { return Err(None) };
        connection.allow_bytes(RESPONSE_BYTES_MAX);
        let mut redis = connection.redis.clone();
        let sent = command.query_async(&mut redis);
        let result = timeout(COMMAND_TIMEOUT, sent).await.map_err(|_| None)?;
        let lost = |error: &RedisError| error.is_io_error() || error.is_unrecoverable_error();
        if !result.as_ref().is_err_and(lost) {
            self.connection = Some(connection);
        }
        result.map_err(Some)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|one| self.returns && !one.is_closed()) {
            self.pool.give_back(&self.address, connection);
        }
    }
}
