//! What is remembered of a request's way: the servers that were asked, for filters and for the access log.

use super::Inner;
use super::failure::Failure;
use super::outlier::Shown;
use super::wait::Upload;
use http::Request;
use sampan_service::{Body, Notes, Overdue, Via, ViaConnection};
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
    /// Of a body that is still with the client.
    pub upload: Option<Arc<Upload>>,
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

    /// The time for all is over while a server was asked: it had its chance, unless the request is not whole yet because
    /// of the client.
    pub fn overdue(&self, inner: &Inner) {
        let asked = self.server.filter(|_| !self.upload.as_ref().is_some_and(|upload| upload.is_awaited()));
        let cluster = inner.cluster.load();
        let server = asked.and_then(|asked| cluster.servers.iter().find(|one| one.address == asked));
        if let Some(server) = server {
            inner.saw(server, Shown::NoAnswer);
        }
    }

    /// Another attempt is made after this.
    pub fn again(&mut self, outcome: Outcome) {
        self.tried.extend(self.server.take().map(|server| Tried { server, outcome }));
    }

    fn via(
        &mut self,
        inner: &Inner,
        failure: Option<&'static str>,
        transport_failure: Option<String>,
    ) -> Via {
        Via {
            upstream: inner.name.clone(),
            server: self.server,
            failure,
            transport_failure,
            attempts: self.attempts,
            waited: self.begun.map_or_else(Default::default, |begun| begun.elapsed()),
            connecting: self.connecting,
            tried: std::mem::take(&mut self.tried),
            servers: inner.cluster.load().servers.len(),
            connection: self.connection.take(),
        }
    }
}

/// Looks after a request that may be given up at any time.
pub struct Watch<'a> {
    pub trace: Trace,
    inner: &'a Inner,
    notes: Option<Notes>,
    overdue: Option<Overdue>,
    ended: bool,
}

impl<'a> Watch<'a> {
    pub fn new(inner: &'a Inner, request: &Request<Body>) -> Self {
        let extensions = request.extensions();
        let (notes, overdue) = (extensions.get().cloned(), extensions.get().cloned());
        Watch { trace: Trace::default(), inner, notes, overdue, ended: false }
    }

    pub fn ended(&mut self, failure: Option<&Failure>) -> Via {
        self.ended = true;
        let (reason, transport) = (failure.map(Failure::reason), failure.and_then(Failure::of_transport));
        self.trace.via(self.inner, reason, transport)
    }
}

impl Drop for Watch<'_> {
    /// Given up: the client has left, or its route gives no more time, which is as if the upstream gave none.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let late = self.overdue.as_ref().is_some_and(Overdue::is_set);
        if late {
            self.inner.metrics.failed(Failure::Total.reason());
            self.trace.overdue(self.inner);
        }
        if let Some(notes) = &self.notes {
            let reason = if late { Failure::Total.reason() } else { "cancelled" };
            notes.leave(self.trace.via(self.inner, Some(reason), None));
        }
    }
}
