//! Plug-ins in the path of HTTP exchanges: proxy-wasm, http-wasm, Easegress, and middleware of wasi:http.
//!
//! [`load`] makes the filters of an app. A [`Filter`] is one name of the manifest; it holds the [`Version`]s of its
//! code that serve, and each version has a [`Plugin`] for every configuration. What an exchange does with a plug-in
//! is in the folder of its ABI.

mod abi;
mod code;
mod common;
mod easegress;
mod filter;
mod health;
mod http_wasm;
mod load;
mod middleware;
mod plugin;
mod proxy_wasm;
mod tcp;
mod version;

pub use code::{Code, Destinations};
pub use easegress::{Data, flat};
pub use filter::Filter;
pub use health::{Failed, Health};
pub use load::{Filters, Surroundings, configs, load, prove};
pub use plugin::Plugin;
pub use version::Version;
