//! The host functions of proxy-wasm (proxy-wasm/spec, abi-versions), all in the module `env`.
//!
//! They are synchronous but for those that return bytes: these call the guest for memory to put them into.

mod buffers;
mod calls;
mod foreign;
mod grpc;
mod headers;
mod log;
mod memory;
mod metrics;
pub mod properties;
mod shared;
mod streams;
mod time;

use memory::Guest;
use sampan_capabilities::Definer;
use wasmtime::{ExternType, Func, ImportType};

/// The host function for an import of a plug-in, if it is one of proxy-wasm's.
pub fn function(to: &mut Definer<'_>, import: &ImportType<'_>) -> Option<Func> {
    let ExternType::Func(ty) = import.ty() else { return None };
    if import.module() != "env" {
        return None;
    }
    let name = import.name();
    match name {
        // Emscripten tells of each growth.
        "emscripten_notify_memory_growth" => return Some(to.wrap(|_: Guest<'_>, _: u32| ())),
        // There is one thread.
        "pthread_equal" => return Some(to.wrap(|_: Guest<'_>, a: u32, b: u32| u32::from(a == b))),
        _ => {}
    }
    let name = name.strip_prefix("proxy_")?;
    log::function(to, name)
        .or_else(|| time::function(to, name))
        .or_else(|| headers::function(to, name))
        .or_else(|| buffers::function(to, name))
        .or_else(|| streams::function(to, name, ty.results().len() == 0))
        .or_else(|| shared::function(to, name))
        .or_else(|| metrics::function(to, name))
        .or_else(|| properties::function(to, name))
        .or_else(|| calls::function(to, name))
        .or_else(|| grpc::function(to, name))
        .or_else(|| foreign::function(to, name))
}
