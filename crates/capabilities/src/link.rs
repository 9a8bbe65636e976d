//! Host calls by name: what a module or component imports, and what answers it.

use crate::Host;
use crate::http::host::experimental;
use wasmtime::component;
use wasmtime::{Engine, Extern, ExternType, ImportType, Module, Result, Store};

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
/// same name occurs with several types, sometimes in one module. Nothing else is defined.
pub fn resolve_module_imports(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>> {
    let mut unknown = Vec::new();
    let mut found = Vec::new();
    for import in module.imports() {
        let func = match import.ty() {
            ExternType::Func(ty) if import.module() == experimental::MODULE => {
                experimental::function(store, import.name(), &ty)
            }
            ExternType::Func(ty) => crate::preview1::function(store, import.module(), import.name(), &ty),
            _ => None,
        };
        match func {
            Some(func) => found.push(func.into()),
            None => unknown.push(describe(&import)),
        }
    }
    if unknown.is_empty() { Ok(found) } else { Err(UnknownImports(unknown).into()) }
}

/// Module and name, and what the name alone does not tell.
fn describe(import: &ImportType<'_>) -> String {
    let more = match import.ty() {
        // The name may well be known: with other parameters.
        ExternType::Func(ty) if import.module().starts_with("wasi_") => format!(" of type {ty}"),
        ExternType::Func(_) => String::new(),
        ExternType::Memory(ty) if ty.is_shared() => " (a shared memory, for threads)".to_owned(),
        ExternType::Memory(_) => " (a memory)".to_owned(),
        ExternType::Table(_) => " (a table)".to_owned(),
        ExternType::Global(_) => " (a global)".to_owned(),
        ExternType::Tag(_) => " (a tag)".to_owned(),
    };
    format!("{} `{}`{more}", import.module(), import.name())
}

/// Defines the interfaces that `component` imports, and no others.
pub fn link_component(engine: &Engine, _component: &component::Component) -> Result<component::Linker<Host>> {
    let mut linker = component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    Ok(linker)
}
