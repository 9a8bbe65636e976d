//! Host calls by name: what a module imports, and what answers it.

use crate::Host;
use wasmtime::{Extern, Linker, Module, Result, Store};

/// A guest imports something that Sampan does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the module imports `{module}` `{name}`, which Sampan does not provide")]
pub struct UnknownImport {
    pub module: String,
    pub name: String,
}

/// The host function for each import of `module`, in order: resolved by module, name and type, because the
/// same name occurs with several types, sometimes in one module.
pub fn resolve_module_imports(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>> {
    let mut linker: Linker<Host> = Linker::new(store.engine());
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.preview1.wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.preview1.wasi)?;
    module
        .imports()
        .map(|import| {
            linker.get(&mut *store, import.module(), import.name()).map_err(|_| {
                UnknownImport { module: import.module().to_owned(), name: import.name().to_owned() }.into()
            })
        })
        .collect()
}
