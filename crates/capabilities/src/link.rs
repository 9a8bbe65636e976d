//! Host calls by name: what a module imports, and what answers it.

use crate::Host;
use crate::http::host::experimental;
use std::collections::HashSet;
use std::sync::Arc;
use wasmtime::{
    Caller, Extern, ExternType, Func, ImportType, Instance, InstancePre, IntoFunc, Linker, Module, Result,
    Store, WasmRet, WasmTyList,
};

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

/// Where host functions are made: in a store, for its guest alone, or beside it in a linker too, for all guests
/// to come.
pub struct Definer<'a> {
    pub(crate) store: &'a mut Store<Host>,
    linker: Option<&'a mut Linker<Host>>,
    /// Under which the linker keeps the next function.
    name: (String, String),
}

/// Answers imports that are nobody else's: those of a filter's ABI. `None` where it does not know the import.
pub type MoreFunctions<'a> = &'a dyn Fn(&mut Definer<'_>, &ImportType<'_>) -> Option<Func>;

impl<'a> Definer<'a> {
    pub(crate) fn new(store: &'a mut Store<Host>) -> Self {
        Definer { store, linker: None, name: Default::default() }
    }

    pub fn wrap<P, R>(&mut self, function: impl IntoFunc<Host, P, R>) -> Func {
        match &mut self.linker {
            None => Func::wrap(&mut *self.store, function),
            Some(linker) => {
                let defined = linker.func_wrap(&self.name.0, &self.name.1, function).map(drop);
                taken(linker, &mut *self.store, &self.name, defined)
            }
        }
    }

    pub fn wrap_async<F, P, R>(&mut self, function: F) -> Func
    where
        F: for<'b> Fn(Caller<'b, Host>, P) -> Box<dyn Future<Output = R> + Send + 'b> + Send + Sync + 'static,
        P: WasmTyList,
        R: WasmRet,
    {
        match &mut self.linker {
            None => Func::wrap_async(&mut *self.store, function),
            Some(linker) => {
                let defined = linker.func_wrap_async(&self.name.0, &self.name.1, function).map(drop);
                taken(linker, &mut *self.store, &self.name, defined)
            }
        }
    }

    fn function(&mut self, import: &ImportType<'_>) -> Option<Func> {
        match import.ty() {
            ExternType::Func(ty) if import.module() == experimental::MODULE => {
                experimental::function(self, import.name(), &ty)
            }
            ExternType::Func(ty) => crate::preview1::function(self, import.module(), import.name(), &ty),
            _ => None,
        }
    }
}

/// The function that was defined under a name, in a store.
fn taken(
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    name: &(String, String),
    defined: Result<()>,
) -> Func {
    match (defined, linker.get(store, &name.0, &name.1)) {
        (Ok(()), Ok(Extern::Func(func))) => func,
        // A definition fails only where its name is taken, and every import has one of its own.
        _ => unreachable!("`{}` `{}` is defined once, as a function", name.0, name.1),
    }
}

/// The host function for each import of `module`, in order: resolved by module, name and type, because the
/// same name occurs with several types, sometimes in one module. Nothing else is defined.
pub fn resolve_module_imports(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>> {
    let mut unknown = Vec::new();
    let mut found = Vec::new();
    for import in module.imports() {
        match Definer::new(store).function(&import) {
            Some(func) => found.push(func.into()),
            None => unknown.push(describe(&import)),
        }
    }
    if unknown.is_empty() { Ok(found) } else { Err(UnknownImports(unknown).into()) }
}

/// A module whose imports are resolved once, for any number of instances.
#[derive(Clone)]
pub struct LinkedModule(Linked);

#[derive(Clone)]
enum Linked {
    Ready(InstancePre<Host>),
    /// The module imports two functions under one name: they are kept by their positions.
    ByPosition {
        linker: Arc<Linker<Host>>,
        module: Module,
    },
}

impl LinkedModule {
    /// Resolves as [`resolve_module_imports`] does. `store` must have the grants of the instances to come.
    pub fn new(store: &mut Store<Host>, module: &Module) -> Result<Self> {
        LinkedModule::with(store, module, &|_, _| None)
    }

    /// The same, where `more` is asked first.
    pub fn with(store: &mut Store<Host>, module: &Module, more: MoreFunctions<'_>) -> Result<Self> {
        let mut linker = Linker::new(store.engine());
        let mut names = HashSet::new();
        let unique = module.imports().all(|import| names.insert((import.module(), import.name())));
        let mut unknown = Vec::new();
        for (position, import) in module.imports().enumerate() {
            let name = match unique {
                true => (import.module().to_owned(), import.name().to_owned()),
                false => (String::new(), position.to_string()),
            };
            let mut definer = Definer { store: &mut *store, linker: Some(&mut linker), name };
            if more(&mut definer, &import).or_else(|| definer.function(&import)).is_none() {
                unknown.push(describe(&import));
            }
        }
        if !unknown.is_empty() {
            return Err(UnknownImports(unknown).into());
        }
        Ok(LinkedModule(match unique {
            true => Linked::Ready(linker.instantiate_pre(module)?),
            false => Linked::ByPosition { linker: Arc::new(linker), module: module.clone() },
        }))
    }

    /// A fresh instance. Its start section runs.
    pub async fn instantiate(&self, store: &mut Store<Host>) -> Result<Instance> {
        let (linker, module) = match &self.0 {
            Linked::Ready(pre) => return pre.instantiate_async(store).await,
            Linked::ByPosition { linker, module } => (linker, module),
        };
        let mut found = Vec::new();
        for position in 0..module.imports().len() {
            found.push(linker.get(&mut *store, "", &position.to_string())?);
        }
        Instance::new_async(store, module, &found).await
    }
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
