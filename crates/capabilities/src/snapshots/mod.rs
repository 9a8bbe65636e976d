//! Interfaces of WASI that never became a release, for the guests that were built with them.

pub mod host;
