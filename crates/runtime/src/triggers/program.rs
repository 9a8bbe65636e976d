//! Programs as triggers run them: a module's `_start`, or a component's `wasi:cli/run`, from instance to end.

use sampan_capabilities::{Host, LinkedModule, link_component};
use sampan_engine::{Code, Loaded};
use wasmtime::component::{self, Component, InstancePre};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::I32Exit;

/// A program that can be instantiated.
#[derive(Clone)]
pub enum Program {
    Module(LinkedModule),
    Component { pre: InstancePre<Host>, run: Run },
}

/// Which generation of `wasi:cli/run` a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Wasi02,
    Wasi03,
}

impl Program {
    /// Proves that the code is a program and that all of its imports are answered. `store` is one as the program
    /// will get it.
    ///
    /// # Errors
    ///
    /// `UnknownImports`, or a sentence.
    pub fn of(loaded: &Loaded, store: &mut Store<Host>) -> Result<Program> {
        match &loaded.code {
            Code::Module(module) => {
                if module.get_export("_start").is_none() && !loaded.starts {
                    return Err(wasmtime::format_err!(
                        "it is no program: it exports no `_start` and has no start section"
                    ));
                }
                Ok(Program::Module(LinkedModule::new(store, module)?))
            }
            Code::Component(component) => {
                let run = run_export(&loaded.engine, component).ok_or_else(|| {
                    wasmtime::format_err!("it is no program: the component does not export wasi:cli/run")
                })?;
                let pre = link_component(&loaded.engine, component)?.instantiate_pre(component)?;
                Ok(Program::Component { pre, run })
            }
        }
    }

    /// Runs the program to its end. An exit with a code other than 0 is the error `I32Exit`.
    pub async fn run(self, mut store: Store<Host>) -> Result<()> {
        let result = match self {
            Program::Module(module) => run_module(&mut store, &module).await,
            Program::Component { pre, run } => run_component(&mut store, &pre, run).await,
        };
        match result {
            Err(error) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => Ok(()),
            other => other,
        }
    }
}

async fn run_module(store: &mut Store<Host>, module: &LinkedModule) -> Result<()> {
    let instance = module.instantiate(store).await?;
    match instance.get_func(&mut *store, "_start") {
        Some(start) => start.typed::<(), ()>(&*store)?.call_async(&mut *store, ()).await,
        // The start section did all the work, as in AssemblyScript's programs.
        None => Ok(()),
    }
}

async fn run_component(store: &mut Store<Host>, pre: &InstancePre<Host>, run: Run) -> Result<()> {
    let instance: component::Instance = pre.instantiate_async(&mut *store).await?;
    let result = match run {
        Run::Wasi02 => {
            let command = wasmtime_wasi::p2::bindings::Command::new(&mut *store, &instance)?;
            command.wasi_cli_run().call_run(&mut *store).await?
        }
        Run::Wasi03 => {
            let command = wasmtime_wasi::p3::bindings::Command::new(&mut *store, &instance)?;
            store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await??
        }
    };
    // `run` says only that it failed; the program has said why.
    result.map_err(|()| I32Exit(1).into())
}

fn run_export(engine: &Engine, component: &Component) -> Option<Run> {
    component.component_type().exports(engine).find_map(|(name, _)| {
        let version = name.strip_prefix("wasi:cli/run@")?;
        match version {
            _ if version.contains('-') => None,
            _ if version.starts_with("0.2.") => Some(Run::Wasi02),
            _ if version.starts_with("0.3.") => Some(Run::Wasi03),
            _ => None,
        }
    })
}
