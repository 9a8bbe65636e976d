//! What a guest may touch: every host call, and the grant that allows it.
//!
//! A capability is a folder; `host/` inside it is the folder's only mention of Wasmtime. [`Host`] is the
//! one list: a capability that is not a field there does not exist for guests.

mod absent;
mod backends;
pub mod bindings;
pub mod cel;
pub mod config;
pub mod configuration;
mod embedded;
mod explain;
pub mod files;
mod host;
pub mod http;
pub mod keyvalue;
mod link;
mod link_component;
pub mod lock;
pub mod messaging;
mod prepared;
pub mod preview1;
pub mod properties;
pub mod redis;
pub mod secrets;
pub mod services;
pub mod snapshots;
pub mod sockets;
pub mod sql;

pub use backends::Backends;
pub use explain::Explain;
pub use host::{GrantError, Host};
pub use link::{Definer, LinkedModule, MoreFunctions, UnknownImports, resolve_module_imports};
pub use link_component::{MoreInterfaces, link_component, link_component_with};
pub use prepared::Prepared;
pub use properties::{Properties, PropertyError};
