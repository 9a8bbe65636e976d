//! Outbound HTTP: the one door through which every interface sends requests.

use crate::Explain;
use sampan_app::Origin;
use wasmtime_wasi_http::WasiHttpCtx;

/// The HTTP grants of one guest, and its connections.
#[derive(Default)]
pub struct Http {
    pub(crate) ctx: WasiHttpCtx,
}

impl Http {
    pub fn new(_origins: &[Origin], _explain: &Explain) -> Self {
        Http { ctx: WasiHttpCtx::new() }
    }
}
