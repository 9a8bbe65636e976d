//! One command or script over a shared connection: bounded in time, and what a failure means.

use super::connect::Connection;
use super::link::Link;
use ::redis::{ErrorKind, RedisError, ServerErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// A server that takes longer is down, as far as a request is concerned.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no answer. The texts name no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It may be better later: the server is down, or not ready.
    #[error("{0}")]
    Unavailable(String),
    /// The server does not want this.
    #[error("{0}")]
    Refused(String),
}

/// Does the work on the link's connection, which is given up where it failed.
pub async fn call<T>(
    link: &Link,
    work: impl AsyncFnOnce(&Connection) -> Result<T, RedisError>,
) -> Result<T, CallError> {
    let connection = link.connection().await.map_err(|error| CallError::Unavailable(error.to_string()))?;
    let error = match timeout(RESPONSE_TIMEOUT, work(&connection)).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error,
        Err(_) => {
            link.lost(&connection);
            let (server, seconds) = (link.server().shown(), RESPONSE_TIMEOUT.as_secs());
            return Err(CallError::Unavailable(format!("{server} did not answer within {seconds} seconds")));
        }
    };
    let lost = error.is_unrecoverable_error() || error.is_io_error();
    if lost {
        link.lost(&connection);
    }
    Err(failed(&error, lost, &link.server().shown()))
}

fn failed(error: &RedisError, lost: bool, server: &str) -> CallError {
    use ServerErrorKind as Kind;
    match error.kind() {
        _ if lost => CallError::Unavailable(format!("the connection to {server} was lost: {error}")),
        ErrorKind::Server(Kind::BusyLoading | Kind::ClusterDown | Kind::MasterDown | Kind::ReadOnly) => {
            CallError::Unavailable(format!("{server}: {error}"))
        }
        _ => CallError::Refused(error.to_string()),
    }
}
