//! The faces of outbound HTTP that guests see, one file for each interface.

pub mod experimental;
pub mod experimental_wire;
pub mod spin;
pub mod wasi_http;

use super::Door;
use std::sync::Arc;
use wasmtime_wasi_http::WasiHttpCtx;

/// What the interfaces remember for one guest.
pub(crate) struct GuestState {
    pub(super) wasi: WasiHttpCtx,
    pub(super) hooks: wasi_http::Hooks,
    pub(super) sessions: experimental::Sessions,
}

impl GuestState {
    pub(super) fn new(door: &Arc<Door>) -> Self {
        GuestState {
            wasi: WasiHttpCtx::new(),
            hooks: wasi_http::Hooks::new(Arc::clone(door)),
            sessions: experimental::Sessions::default(),
        }
    }
}
