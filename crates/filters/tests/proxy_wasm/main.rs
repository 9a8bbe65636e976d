//! proxy-wasm filters in front of handlers: what clients and operators see.

mod attributes;
mod bad;
mod bodies;
mod closing;
mod edges;
mod foreign;
mod greeter;
mod grpc;
mod harness;
mod headers;
mod pauses;
mod shared;
mod tcp;
