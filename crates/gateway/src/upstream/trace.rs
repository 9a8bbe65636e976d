//! What is remembered of a request's way: the servers that were asked, for filters and for the access log.

use super::Inner;
use super::failure::Failure;
use sampan_service::{Via, ViaConnection};
use sampan_telemetry::{Outcome, Tried};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Default)]
pub struct Trace {
    /// When the first server was asked.
    begun: Option<Instant>,
    /// Who is asked now, or was last.
    server: Option<SocketAddr>,
    connection: Option<Arc<ViaConnection>>,
    connecting: Duration,
    attempts: u32,
    /// No more than there may be attempts.
    tried: Vec<Tried>,
}

impl Trace {
    /// A server is asked.
    pub fn asks(&mut self, server: SocketAddr, now: Instant) {
        self.begun.get_or_insert(now);
        self.server = Some(server);
        self.connection = None;
        self.attempts += 1;
    }

    /// There is a connection to it, after so long.
    pub fn connected(&mut self, connecting: Duration, connection: &Arc<ViaConnection>) {
        self.connecting = connecting;
        self.connection = Some(connection.clone());
    }

    /// Who was asked last.
    pub fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// Another attempt is made after this.
    pub fn again(&mut self, outcome: Outcome) {
        self.tried.extend(self.server.take().map(|server| Tried { server, outcome }));
    }

    pub fn via(self, inner: &Inner, failure: Option<&Failure>) -> Via {
        Via {
            upstream: inner.name.clone(),
            server: self.server,
            failure: failure.map(Failure::reason),
            transport_failure: failure.and_then(Failure::of_transport),
            attempts: self.attempts,
            waited: self.begun.map_or_else(Default::default, |begun| begun.elapsed()),
            connecting: self.connecting,
            tried: self.tried,
            servers: inner.cluster.load().servers.len(),
            connection: self.connection,
        }
    }
}
