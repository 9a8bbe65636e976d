//! What a client may take: every bound that the front door enforces, with its default.

use std::time::Duration;

/// Bounds on clients. They are per listener group (one call of [`crate::serve`]), not per process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of all listeners together. One more is answered with 503, or closed where it would
    /// be TLS, and counted.
    pub connections: usize,
    /// From accepting to the end of the TLS handshake, and from the first byte of a request to the end of
    /// its head. A connection that has not said anything has as long.
    pub header_timeout: Duration,
    /// Bytes of a request's head, its first line included (431). In HTTP/2, of the decoded list.
    pub header_bytes: usize,
    /// Header lines of a request (431).
    pub headers: usize,
    /// Bytes of path and query (414).
    pub target_bytes: usize,
    /// A request's body may pause for so long; then reading it fails. Never is `Duration::MAX`.
    pub body_idle: Duration,
    /// A connection may rest between requests for so long; with HTTP/2 up to half longer.
    pub keep_alive: Duration,
    /// A client may leave what we send to it unread for so long; with HTTP/2 up to twice as long.
    pub write_stall: Duration,
    /// A client that has shut down its side of the connection and does not take any more of a response
    /// that has begun counts as gone after so long.
    pub half_closed: Duration,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Streams that an HTTP/2 client reset before we had looked at them ("rapid reset", CVE-2023-44487);
    /// one more ends the connection.
    pub streams_reset_pending: usize,
    /// Streams that we had to reset because the client broke the rules (CVE-2025-8671); one more ends the
    /// connection.
    pub streams_reset_local: usize,
    /// What may wait to be sent on one HTTP/2 stream.
    pub stream_send_bytes: usize,
}

/// hyper keeps so many headers on the stack; any other number costs an allocation for each request.
pub(crate) const HEADERS_FREE: usize = 100;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 16_384,
            header_timeout: Duration::from_secs(10),
            header_bytes: 64 << 10,
            headers: HEADERS_FREE,
            target_bytes: 16 << 10,
            body_idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            half_closed: Duration::from_secs(10),
            streams: 128,
            streams_reset_pending: 20,
            streams_reset_local: 1024,
            stream_send_bytes: 256 << 10,
        }
    }
}
