//! proxy-wasm filters in front of handlers: what clients and operators see.

mod attributes;
mod bad;
mod bodies;
mod closing;
mod edges;
mod expressions;
mod foreign;
mod greeter;
mod grpc;
mod harness;
mod headers;
mod hostile;
mod pauses;
mod shared;
mod tcp;
