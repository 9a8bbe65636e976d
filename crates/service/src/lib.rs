//! What every listener shares: the seam to whoever answers, accepting, TLS, limits, drain.

mod handler;

pub use handler::{Answer, Body, BodyError, Depth, Handler, Matched, Peer, RequestId, Served, empty, full};
