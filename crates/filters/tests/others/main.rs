//! Filters of http-wasm, Easegress and wasi:http, as whoever sends requests through them sees them.

mod chain;
mod easegress;
mod easegress_data;
mod harness;
mod http_wasm;
mod http_wasm_bad;
mod middleware;
