//! What is remembered of a request's way: the servers that were asked, for whoever reads the access log.

use super::failure::Failure;
use sampan_service::Via;
use sampan_telemetry::{Outcome, Tried};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Default)]
pub struct Trace {
    begun: Option<Instant>,
    /// Who is asked now, or was last.
    server: Option<SocketAddr>,
    attempts: u32,
    /// No more than there may be attempts.
    tried: Vec<Tried>,
}

impl Trace {
    /// A server is asked.
    pub fn asked(&mut self, server: SocketAddr, now: Instant) {
        self.begun.get_or_insert(now);
        self.server = Some(server);
        self.attempts += 1;
    }

    /// Who was asked last.
    pub fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// Another attempt is made after this.
    pub fn again(&mut self, outcome: Outcome) {
        self.tried.extend(self.server.take().map(|server| Tried { server, outcome }));
    }

    pub fn via(self, upstream: &Arc<str>, failure: Option<&Failure>) -> Via {
        Via {
            upstream: upstream.clone(),
            server: self.server,
            failure: failure.map(Failure::reason),
            attempts: self.attempts,
            waited: self.begun.map_or_else(Default::default, |begun| begun.elapsed()),
            tried: self.tried,
        }
    }
}
