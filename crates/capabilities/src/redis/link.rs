//! A connection that many share, and that comes back by itself: with back-off while the server is down, so
//! that a call then fails at once instead of waiting again.

use super::connect::{ConnectError, Connection, Server};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

pub struct Link {
    server: Server,
    runtime: Handle,
    live: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that many callers make one attempt.
    failed: tokio::sync::Mutex<Option<Failure>>,
}

struct Failure {
    error: ConnectError,
    wait: Duration,
    again_at: Instant,
}

impl Link {
    /// Connects at the first use.
    pub fn new(server: Server, runtime: Handle) -> Self {
        Link { server, runtime, live: Mutex::default(), failed: tokio::sync::Mutex::default() }
    }

    pub async fn connection(&self) -> Result<Arc<Connection>, ConnectError> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let mut failed = self.failed.lock().await;
        // Whoever held the lock before may have connected, or failed a moment ago.
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some(failure) = failed.as_ref().filter(|failure| Instant::now() < failure.again_at) {
            return Err(failure.error.clone());
        }
        // The address was written by whoever runs the app: any will do.
        match Connection::open(self.server.clone(), &self.runtime, <[_]>::to_vec).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&connection));
                *failed = None;
                Ok(connection)
            }
            Err(error) => {
                let wait = failed.as_ref().map_or(WAIT_MIN, |before| (before.wait * 2).min(WAIT_MAX));
                let again_at = Instant::now() + wait;
                *failed = Some(Failure { error: error.clone(), wait, again_at });
                Err(error)
            }
        }
    }

    fn live(&self) -> Option<Arc<Connection>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().filter(|connection| !connection.is_closed()).map(Arc::clone)
    }

    /// Gives up a connection that failed: the next call makes a new one.
    pub fn lost(&self, connection: &Arc<Connection>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|one| Arc::ptr_eq(one, connection)) {
            *live = None;
        }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }
}
