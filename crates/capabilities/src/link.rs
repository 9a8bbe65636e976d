//! Host calls by name: what a module imports, and what answers it.

use crate::Host;
use crate::http::host::experimental;
use wasmtime::{Extern, ExternType, ImportType, Module, Result, Store};

/// A guest imports what Sampan does not answer: everything of it, so that it is said at once.
#[derive(Debug, thiserror::Error)]
#[error("the guest imports what Sampan does not provide: {}", .0.join(", "))]
pub struct UnknownImports(pub Vec<String>);

impl UnknownImports {
    /// What the user can do about it.
    pub fn help(&self) -> String {
        for track in ["0.2", "0.3"] {
            if self.0.iter().any(|name| is_prerelease(name, track)) {
                return format!(
                    "it was built for a pre-release of WASI {track}, which had other functions; rebuild it with \
                     a current toolchain, for example: cargo build --target wasm32-wasip2"
                );
            }
        }
        if self.0.iter().any(|name| name.starts_with("wasi:")) {
            return "it was built for another WASI than what Sampan has of 0.2 and 0.3; `sampan inspect` shows \
                    all that it imports"
                .to_owned();
        }
        "`sampan inspect` shows what the file is for and all that it imports".to_owned()
    }
}

/// Whether an interface is one of a draft of WASI: `wasi:cli/run@0.2.0-rc-2023-11-10`.
fn is_prerelease(name: &str, track: &str) -> bool {
    name.strip_prefix("wasi:")
        .and_then(|name| name.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with(track) && version.contains('-'))
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
