//! One guest, run as a program from its start to its exit code.
//!
//! [`run`] is the life of a `sampan run` from loaded code on: runtime → grants → store → watchdog →
//! instance → entry → outcome.

use crate::counters::Counters;
use crate::outcome::{Failure, Outcome, exit_code, of_error};
use crate::{invoke, watchdog};
use sampan_app::{Entry, Program};
use sampan_capabilities::http::Local;
use sampan_capabilities::{Host, UnknownImports, link_component, resolve_module_imports};
use sampan_engine::{Code, Limiter, Loaded};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::{self, Component};
use wasmtime::{Error, Instance, Module, Store, WasmCoreDump};
use wasmtime_wasi::WasiCtxBuilder;

/// How to run a program, besides what it may touch.
pub struct Options {
    /// A context with the guest's standard streams.
    pub wasi: WasiCtxBuilder,
    /// Where to write a core dump if the guest traps.
    pub coredump: Option<PathBuf>,
    /// Handlers of this process that the guest reaches without a socket.
    pub local: Option<Arc<Local>>,
    /// SIGINT and SIGTERM end the process.
    pub exit_on_signals: bool,
    /// Where what the guest uses is counted, for whoever asks while it runs.
    pub counters: Option<Arc<Counters>>,
}

/// Runs a guest until it ends. Time limits and signals end the whole process.
pub fn run(loaded: Loaded, program: &Program, options: Options) -> Outcome {
    // 1. What host calls wait on: one thread, the guest's own.
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(Failure::new(
                format!("cannot start: {error}"),
                "check the limits of this process",
            ));
        }
    };
    let outcome = runtime.block_on(run_inside(loaded, program, options));
    // A blocked read of standard input must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

/// Many systems start processes with 1024 descriptors and let them have more: a server needs more.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // If it may not be raised, the guest meets the limit that there is.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

async fn run_inside(loaded: Loaded, program: &Program, options: Options) -> Outcome {
    // 2. What the guest may touch.
    let limiter = Limiter::new(program.limits.memory_bytes);
    let memory = limiter.usage();
    let host = match Host::new(program, options.wasi, Box::new(limiter)) {
        Ok(host) => match options.local {
            Some(local) => host.with_local(program, local),
            None => host,
        },
        Err(error) => return failed(Failure { message: error.what, help: error.help, ..Failure::default() }),
    };
    host.sockets.print_chosen_ports();
    let mut store = Store::new(&loaded.engine, host);
    store.limiter(|host| host.limiter.as_mut());
    if let Some(counters) = &options.counters {
        counters.set_guest(memory.clone());
        counters.count_calls(&mut store);
        store.data().count(counters.traffic());
    }
    if let Some(fuel) = program.limits.fuel
        && let Err(error) = store.set_fuel(fuel)
    {
        return failed(Failure { message: format!("cannot set fuel: {error}"), ..Failure::default() });
    }

    // 3. From here on its time counts.
    let signals = if options.exit_on_signals { watchdog::exit_on_signals() } else { Ok(()) };
    if let Err(error) = signals.and_then(|()| watchdog::start(&program.limits)) {
        return failed(Failure::new(
            format!("cannot watch the guest: {error}"),
            "check the limits of this process",
        ));
    }

    // 4. Instantiate and call.
    let mut outcome = Outcome::default();
    let result = match &loaded.code {
        Code::Module(module) => run_module(&mut store, module, loaded.starts, program, &mut outcome).await,
        Code::Component(component) => run_component(&mut store, component, program, &mut outcome).await,
    };

    // 5. Why it ended.
    if let Err(stopped) = result {
        (outcome.exit_code, outcome.failure) = match stopped {
            Stopped::Unrunnable(failure) => (exit_code::NOT_RUNNABLE, Some(failure)),
            Stopped::Failed(error) => {
                let (code, mut failure) = of_error(&error, &program.limits);
                if let (Some(failure), Code::Component(component)) = (&mut failure, &loaded.code) {
                    failure.help = failure.help.take().or_else(|| served_instead(component));
                }
                if let (Some(path), Some(dump), Some(failure)) =
                    (&options.coredump, error.downcast_ref::<WasmCoreDump>(), &mut failure)
                {
                    failure.backtrace.push(write_coredump(path, dump, &mut store, program));
                }
                (code, failure)
            }
        };
    }
    outcome.peak_guest_bytes = memory.peak_bytes();
    outcome
}

/// Why there is no ordinary result.
pub(crate) enum Stopped {
    /// It was never started, and the user can do something about it.
    Unrunnable(Failure),
    /// A call returned an error, the guest's exit included.
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        match error.downcast_ref::<UnknownImports>() {
            Some(unknown) => Stopped::Unrunnable(Failure {
                message: unknown.to_string(),
                help: Some(unknown.help()),
                ..Failure::default()
            }),
            None => Stopped::Failed(error),
        }
    }
}

async fn run_module(
    store: &mut Store<Host>,
    module: &Module,
    starts: bool,
    program: &Program,
    outcome: &mut Outcome,
) -> Result<(), Stopped> {
    let begin = Instant::now();
    let has_start = module.get_export("_start").is_some();
    if program.entry == Entry::Command && !has_start && !starts {
        return Err(Stopped::Unrunnable(nothing_to_start(module)));
    }
    let imports = resolve_module_imports(store, module)?;
    let instance = Instance::new_async(&mut *store, module, &imports).await?;
    outcome.instantiate_time = begin.elapsed();

    let begin = Instant::now();
    let result = match &program.entry {
        Entry::Command if has_start => match instance.get_typed_func::<(), ()>(&mut *store, "_start") {
            Ok(start) => start.call_async(&mut *store, ()).await.map_err(Stopped::from),
            Err(error) => Err(Stopped::Failed(error)),
        },
        // The start section did all the work.
        Entry::Command => Ok(()),
        Entry::Invoke { function, args } => {
            invoke::in_module(store, &instance, function, args).await.map(|results| outcome.results = results)
        }
    };
    outcome.run_time = begin.elapsed();
    result
}

fn nothing_to_start(module: &Module) -> Failure {
    let functions: Vec<_> = module
        .exports()
        .filter(|export| export.ty().func().is_some() && export.name() != "_initialize")
        .map(|export| export.name().to_owned())
        .collect();
    let message = "the module has nothing to start: no `_start` and no start section".to_owned();
    let help = match functions.first() {
        Some(first) => format!(
            "call one of its functions, for example --invoke {first}; it exports: {}",
            list(&functions)
        ),
        None => "`sampan inspect` tells what the file is for".to_owned(),
    };
    Failure::new(message, help)
}

async fn run_component(
    store: &mut Store<Host>,
    component: &Component,
    program: &Program,
    outcome: &mut Outcome,
) -> Result<(), Stopped> {
    let begin = Instant::now();
    let run = run_export(component);
    if program.entry == Entry::Command && run.is_none() {
        return Err(Stopped::Unrunnable(not_a_command(component)));
    }
    let linker = link_component(store.engine(), component)?;
    let instance = linker.instantiate_async(&mut *store, component).await?;
    outcome.instantiate_time = begin.elapsed();

    let begin = Instant::now();
    let result = match (&program.entry, run) {
        (Entry::Invoke { function, args }, _) => {
            let results = invoke::in_component(store, component, &instance, function, args).await;
            results.map(|results| outcome.results = results)
        }
        (Entry::Command, Some(Run::Wasi03)) => run_wasi_03(store, &instance).await,
        (Entry::Command, _) => run_wasi_02(store, &instance).await,
    };
    outcome.run_time = begin.elapsed();
    result
}

enum Run {
    Wasi02,
    Wasi03,
}

/// Which `wasi:cli/run` the component exports, if any.
fn run_export(component: &Component) -> Option<Run> {
    component.component_type().exports(component.engine()).find_map(|(name, _)| {
        let version = name.strip_prefix("wasi:cli/run@")?;
        match version {
            _ if version.contains('-') => None,
            _ if version.starts_with("0.2.") => Some(Run::Wasi02),
            _ if version.starts_with("0.3.") => Some(Run::Wasi03),
            _ => None,
        }
    })
}

async fn run_wasi_02(store: &mut Store<Host>, instance: &component::Instance) -> Result<(), Stopped> {
    let command = wasmtime_wasi::p2::bindings::Command::new(&mut *store, instance)?;
    command.wasi_cli_run().call_run(&mut *store).await?.map_err(|()| guest_failed())
}

async fn run_wasi_03(store: &mut Store<Host>, instance: &component::Instance) -> Result<(), Stopped> {
    let command = wasmtime_wasi::p3::bindings::Command::new(&mut *store, instance)?;
    let call = store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await);
    call.await??.map_err(|()| guest_failed())
}

/// `run` returned an error, which carries no code: exit code 1, and the guest said why itself.
fn guest_failed() -> Stopped {
    Stopped::Failed(wasmtime_wasi::I32Exit(1).into())
}

fn not_a_command(component: &Component) -> Failure {
    let exports: Vec<_> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let help = if let Some(pre_release) = exports.iter().find(|name| name.starts_with("wasi:cli/run@")) {
        format!("it exports {pre_release}, which is not a released WASI; rebuild it with current tools")
    } else if let Some(help) = served_instead(component) {
        help
    } else if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("call one of its functions with --invoke; it exports: {}", list(&exports))
    };
    Failure::new("the component is not a command: it does not export wasi:cli/run", help)
}

/// What to do with a component that answers HTTP requests. Some export `wasi:cli/run` all the same, because
/// they were built as programs; it traps.
fn served_instead(component: &Component) -> Option<String> {
    let world = component.component_type();
    let (http, _) = world.exports(component.engine()).find(|(name, _)| name.starts_with("wasi:http/"))?;
    Some(format!("it answers HTTP requests ({http}); such components are served, not run as commands"))
}

/// Names for a message, cut where there are many.
pub(crate) fn list(names: &[String]) -> String {
    const MOST: usize = 8;
    let mut text = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

fn write_coredump(path: &PathBuf, dump: &WasmCoreDump, store: &mut Store<Host>, program: &Program) -> String {
    let name = program.args.first().map_or("guest", String::as_str);
    match std::fs::write(path, dump.serialize(&mut *store, name)) {
        Ok(()) => format!("core dump written to {}", path.display()),
        Err(error) => {
            // Half a core dump is worse than none.
            let _ = std::fs::remove_file(path);
            format!("core dump not written to {}: {error}", path.display())
        }
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome { exit_code: exit_code::CANNOT_START, failure: Some(failure), ..Outcome::default() }
}
