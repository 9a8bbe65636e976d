//! Host calls by name: what a module or component imports, and what answers it.

use crate::Host;
use wasmtime::component;
use wasmtime::{Engine, Extern, Linker, Module, Result, Store};

/// A guest imports what Sampan does not answer: everything of it, so that it is said at once.
#[derive(Debug, thiserror::Error)]
#[error("the guest imports what Sampan does not provide: {}", .0.join(", "))]
pub struct UnknownImports(pub Vec<String>);

impl UnknownImports {
    /// What the user can do about it.
    pub fn help(&self) -> String {
        "`sampan inspect` shows what the file is for and all that it imports".to_owned()
    }
}

/// The host function for each import of `module`, in order: resolved by module, name and type, because the
/// same name occurs with several types, sometimes in one module.
pub fn resolve_module_imports(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>> {
    let mut linker: Linker<Host> = Linker::new(store.engine());
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.preview1.wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.preview1.wasi)?;
    let mut unknown = Vec::new();
    let mut found = Vec::new();
    for import in module.imports() {
        match linker.get(&mut *store, import.module(), import.name()) {
            Ok(external) => found.push(external),
            Err(_) => unknown.push(format!("{} `{}`", import.module(), import.name())),
        }
    }
    if unknown.is_empty() { Ok(found) } else { Err(UnknownImports(unknown).into()) }
}

/// Defines the interfaces that `component` imports, and no others.
pub fn link_component(engine: &Engine, _component: &component::Component) -> Result<component::Linker<Host>> {
    let mut linker = component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    Ok(linker)
}
