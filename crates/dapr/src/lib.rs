//! Dapr's API, over HTTP and gRPC, as another face of the capabilities' backends: no sidecar, one process.
//!
//! [`plan`](plan::plan) makes descriptions of Dapr's component files, [`Components`] opens them, [`Dapr`] is what one
//! app has of it, [`Face`] answers requests, and [`start`] runs what the app subscribes to.

mod access;
pub mod app;
mod blocks;
mod components;
mod deliver;
mod error;
mod face;
mod grpc;
mod http;
mod ids;
mod inputs;
mod invoke;
mod offer;
mod paths;
pub mod plan;
mod policies;
mod proto;
mod pubsub;
pub mod resiliency;
mod runtime;
mod state;
mod subscriptions;
mod topics;
mod watches;

pub use components::Components;
pub use error::Problem;
pub use face::Face;
pub use inputs::Scheduled;
pub use invoke::Peers;
pub use offer::Offer;
pub use policies::Policies;
pub use runtime::{Caller, Dapr, Note, Setup};
pub use subscriptions::{Destination, Rule, Source, Subscription, start};
