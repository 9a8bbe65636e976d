//! Preview 1 at the edge: the guest's descriptors are ours, files and clocks are wasmtime-wasi's.

use crate::files::Files;
use wasmtime_wasi::p1::WasiP1Ctx;

/// Preview 1's state of one guest.
pub struct Preview1 {
    pub(crate) wasi: WasiP1Ctx,
}

impl Preview1 {
    pub fn new(wasi: WasiP1Ctx, _files: &Files) -> Self {
        Preview1 { wasi }
    }
}
