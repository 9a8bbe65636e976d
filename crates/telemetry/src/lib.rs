//! Metrics, logs and traces, named in one place. Whoever measures takes a handle once and touches only atomics later.

mod block;
mod log;
mod metrics;
pub mod own;
mod tcp;
pub mod traces;
mod upstream;

pub use block::BlockMetrics;
pub use log::{AccessLog, LogFields, LogTarget, Outcome, Proxied, Record, Tried};
pub use metrics::{ComponentMetrics, FilterMetrics, Metrics, RouteMetrics, metrics};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
pub use tcp::{OpenConnection, TcpMetrics};
pub use upstream::{ServerMetrics, UpstreamMetrics};
