//! The only place that configures Wasmtime: from bytes to code that is ready to be instantiated.

pub mod detect;
