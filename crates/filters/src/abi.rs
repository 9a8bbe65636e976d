//! Which ABI a filter speaks: from its exports.

use sampan_engine::Code;
use wasmtime::Module;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    ProxyWasm(ProxyAbi),
    HttpWasm,
    Easegress,
    /// A component that exports `wasi:http/handler` 0.3, and usually imports it.
    Middleware,
}

/// The versions of proxy-wasm that are final (proxy-wasm/spec, abi-versions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyAbi {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

/// The exports by which a filter says its version.
const MARKERS: [(&str, ProxyAbi); 3] = [
    ("proxy_abi_version_0_1_0", ProxyAbi::V0_1_0),
    ("proxy_abi_version_0_2_0", ProxyAbi::V0_2_0),
    ("proxy_abi_version_0_2_1", ProxyAbi::V0_2_1),
];

impl Abi {
    /// # Errors
    ///
    /// Why this is no filter, for a person.
    pub fn of(code: &Code) -> Result<Abi, String> {
        match code {
            Code::Component(_) => Ok(Abi::Middleware),
            Code::Module(module) => of_module(module),
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Abi::ProxyWasm(ProxyAbi::V0_1_0) => "proxy-wasm 0.1.0",
            Abi::ProxyWasm(ProxyAbi::V0_2_0) => "proxy-wasm 0.2.0",
            Abi::ProxyWasm(ProxyAbi::V0_2_1) => "proxy-wasm 0.2.1",
            Abi::HttpWasm => "http-wasm",
            Abi::Easegress => "Easegress",
            Abi::Middleware => "wasi:http",
        }
    }
}

fn of_module(module: &Module) -> Result<Abi, String> {
    let has = |name: &str| module.get_export(name).is_some();
    let marked: Vec<_> = MARKERS.iter().filter(|(marker, _)| has(marker)).collect();
    match marked[..] {
        [(_, abi)] => return Ok(Abi::ProxyWasm(*abi)),
        [] => {}
        [(one, _), (other, _), ..] => {
            return Err(format!("it says that it is of two versions of proxy-wasm: {one} and {other}"));
        }
    }
    let unknown = module.exports().find(|export| export.name().starts_with("proxy_abi_version_"));
    if let Some(unknown) = unknown {
        return Err(format!(
            "it is of a version of proxy-wasm that is not known ({}); 0.1.0, 0.2.0 and 0.2.1 are",
            unknown.name()
        ));
    }
    if has("handle_request") {
        return Ok(Abi::HttpWasm);
    }
    if has("wasm_run") {
        return Ok(Abi::Easegress);
    }
    if has("proxy_on_context_create") || has("proxy_on_request_headers") {
        return Err("it has proxy-wasm's callbacks but does not say of which version: the export \
                    proxy_abi_version_0_2_1 (or 0_2_0, 0_1_0) is missing"
            .to_owned());
    }
    Err("it is no filter: it exports neither proxy_abi_version_… (proxy-wasm), handle_request (http-wasm), \
         nor wasm_run (Easegress)"
        .to_owned())
}
