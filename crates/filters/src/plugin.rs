//! One version of a filter with one configuration: what stands before a handler.

use crate::abi::Abi;
use crate::code::Code;
use crate::easegress::Easegress;
use crate::http_wasm::HttpWasm;
use crate::middleware::Middleware;
use crate::proxy_wasm::ProxyWasm;
use http::Request;
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;

/// The ABIs, each a folder.
#[derive(Clone)]
pub enum Plugin {
    ProxyWasm(Arc<ProxyWasm>),
    HttpWasm(Arc<HttpWasm>),
    Easegress(Arc<Easegress>),
    Middleware(Arc<Middleware>),
}

impl Plugin {
    /// Instantiates and configures the filter once: what fails here never stands before a handler.
    ///
    /// # Errors
    ///
    /// Why it cannot serve, for a person.
    pub async fn prove(code: &Arc<Code>, config: &str) -> Result<Plugin, String> {
        Ok(match Abi::of(&code.code)? {
            Abi::ProxyWasm(abi) => Plugin::ProxyWasm(ProxyWasm::prove(code, abi, config).await?),
            Abi::HttpWasm => Plugin::HttpWasm(HttpWasm::prove(code, config).await?),
            Abi::Easegress => Plugin::Easegress(Easegress::prove(code, config).await?),
            Abi::Middleware => Plugin::Middleware(Middleware::prove(code, config).await?),
        })
    }

    /// One exchange: the filter's request side, `next`, the filter's response side.
    pub fn exchange(self, next: Arc<dyn Handler>, request: Request<Body>) -> Answer<'static> {
        match self {
            Plugin::ProxyWasm(plugin) => Box::pin(plugin.exchange(next, request)),
            Plugin::HttpWasm(plugin) => Box::pin(plugin.exchange(next, request)),
            Plugin::Easegress(plugin) => Box::pin(plugin.exchange(next, request)),
            Plugin::Middleware(plugin) => Box::pin(plugin.exchange(next, request)),
        }
    }
}
