//! The only place that configures Wasmtime: from bytes to code that is ready to be instantiated.
//!
//! [`Loader::load`] is the way in. Everything else here serves it or tells about what it loads.

pub mod artifact;
pub mod cache;
pub mod compose;
pub mod detect;
pub mod inspect;
pub mod keys;
mod limits;
mod load;
mod native;
pub mod server;
mod settings;
pub mod trap;
mod wrap;

pub use limits::{
    Limiter, MAX_INSTANCES, MemoryExceeded, MemoryUse, memory_growth_bytes, table_growth_bytes,
};
pub use load::{Code, LoadError, Loaded, Loader, MAX_WASM_BYTES, Obtained, Progress, Shipping, Source};
pub use native::{beside, host_target};
pub use settings::{ENGINE_VERSION, Optimize, Profile, Settings};
pub use wrap::WrapError;
