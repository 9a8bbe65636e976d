//! Host calls by name: what a module or component imports, and what answers it.

use crate::Host;
use wasmtime::component;
use wasmtime::{Engine, Extern, ExternType, Module, Result, Store};

/// A guest imports something that Sampan does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the module imports `{module}` `{name}`{detail}, which Sampan does not provide")]
pub struct UnknownImport {
    pub module: String,
    pub name: String,
    /// What kind of import it is, where the name alone does not tell: begins with a blank, or is empty.
    pub detail: String,
}

/// The host function for each import of `module`, in order: resolved by module, name and type, because the
/// same name occurs with several types, sometimes in one module. Nothing else is defined.
pub fn resolve_module_imports(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>> {
    module
        .imports()
        .map(|import| {
            let detail = match import.ty() {
                ExternType::Func(ty) => {
                    match crate::preview1::function(store, import.module(), import.name(), &ty) {
                        Some(func) => return Ok(func.into()),
                        None => format!(" of type {ty}"),
                    }
                }
                ExternType::Memory(ty) if ty.is_shared() => {
                    " (a shared memory: the module was built for threads)".to_owned()
                }
                ExternType::Memory(_) => " (a memory)".to_owned(),
                ExternType::Table(_) => " (a table)".to_owned(),
                ExternType::Global(_) => " (a global)".to_owned(),
                ExternType::Tag(_) => " (a tag)".to_owned(),
            };
            let (module, name) = (import.module().to_owned(), import.name().to_owned());
            Err(UnknownImport { module, name, detail }.into())
        })
        .collect()
}

/// Defines the interfaces that `component` imports, and no others.
pub fn link_component(engine: &Engine, _component: &component::Component) -> Result<component::Linker<Host>> {
    let mut linker = component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    Ok(linker)
}
