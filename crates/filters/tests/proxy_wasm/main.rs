//! proxy-wasm filters in front of handlers: what clients and operators see.

mod bad;
mod bodies;
mod harness;
mod headers;
mod pauses;
mod shared;
