//! Runs a guest under given grants and collects what it prints.

use sampan_app::{Grants, Mount, Program};
use sampan_capabilities::{Host, link_component, resolve_module_imports};
use sampan_service::Traffic;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use wasmtime::component::Component;
use wasmtime::{Engine, Instance, Module, Result, Store, StoreLimits};
use wasmtime_wasi::cli::{OutputFile, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{I32Exit, WasiCtx, p2, p3};

/// What a guest printed, and the code with which it ended.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub code: i32,
}

pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(Engine::default)
}

pub fn component(guest: &str) -> Component {
    static COMPONENTS: OnceLock<Mutex<HashMap<String, Component>>> = OnceLock::new();
    let mut components = COMPONENTS.get_or_init(Mutex::default).lock().expect("no test panics in here");
    let compile = || {
        let path = sampan_testing::guest_for("wasm32-wasip2", guest);
        Component::from_file(engine(), path).expect("a component")
    };
    components.entry(guest.to_owned()).or_insert_with(compile).clone()
}

/// Runs a guest to its end. The name decides where it comes from: a folder of `guests/`.
pub fn run(guest: &str, grants: Grants, args: &[&str]) -> Output {
    run_program(guest, Program { grants, ..Program::default() }, args)
}

pub fn run_program(guest: &str, mut program: Program, args: &[&str]) -> Output {
    program.args = std::iter::once(guest).chain(args.iter().copied()).map(str::to_owned).collect();
    run_component(&component(guest), program)
}

/// Runs a module of preview 1 or 0 to its end.
pub fn run_module(module: &Module, mut program: Program, args: &[&str]) -> Output {
    program.args = std::iter::once("module").chain(args.iter().copied()).map(str::to_owned).collect();
    let stdout = MemoryOutputPipe::new(1 << 22);
    let run = async |stdout| -> Result<()> {
        let host = host(&program, stdout)?;
        let mut store = Store::new(engine(), host);
        let imports = resolve_module_imports(&mut store, module)?;
        let instance = Instance::new_async(&mut store, module, &imports).await?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await
    };
    let ended = runtime().block_on(run(stdout.clone())).map(|()| 0);
    let code = exit_code(ended, &program);
    Output { stdout: String::from_utf8_lossy(&stdout.contents()).into_owned(), code }
}

/// Lines of a guest that goes on running.
pub type Lines = std::io::Lines<BufReader<PipeReader>>;

/// Starts a guest that goes on running: its lines, each as soon as it is printed, and its exit code.
pub fn start(guest: &str, grants: Grants, args: &[&str]) -> (Lines, JoinHandle<i32>) {
    start_counted(guest, grants, args, None)
}

/// The same; what goes over the network is counted.
pub fn start_counted(
    guest: &str,
    grants: Grants,
    args: &[&str],
    traffic: Option<Arc<Traffic>>,
) -> (Lines, JoinHandle<i32>) {
    let args = std::iter::once(guest).chain(args.iter().copied()).map(str::to_owned).collect();
    let program = Program { grants, args, ..Program::default() };
    let component = component(guest);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let thread = std::thread::spawn(move || {
        let stdout = OutputFile::new(File::from(OwnedFd::from(writer)));
        let run = async {
            let host = host(&program, stdout)?;
            if let Some(traffic) = &traffic {
                host.count(traffic);
            }
            run_host(&component, host).await
        };
        exit_code(runtime().block_on(run), &program)
    });
    (BufReader::new(reader).lines(), thread)
}

pub fn run_component(component: &Component, program: Program) -> Output {
    let stdout = MemoryOutputPipe::new(1 << 22);
    let code = block_on(component, &program, stdout.clone());
    Output { stdout: String::from_utf8_lossy(&stdout.contents()).into_owned(), code }
}

fn block_on(component: &Component, program: &Program, stdout: impl StdoutStream + 'static) -> i32 {
    exit_code(runtime().block_on(run_async(component, program, stdout)), program)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn exit_code(ended: Result<i32>, program: &Program) -> i32 {
    match ended {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => exit.0,
            None => panic!("{:?}: {error:?}", program.args),
        },
    }
}

fn host(program: &Program, stdout: impl StdoutStream + 'static) -> Result<Host> {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(stdout).inherit_stderr().allow_blocking_current_thread(true);
    Ok(Host::new(program, wasi, Box::new(StoreLimits::default()))?)
}

async fn run_async(
    component: &Component,
    program: &Program,
    stdout: impl StdoutStream + 'static,
) -> Result<i32> {
    run_host(component, host(program, stdout)?).await
}

/// Runs a command that may touch what `host` holds.
pub async fn run_host(component: &Component, host: Host) -> Result<i32> {
    let mut store = Store::new(engine(), host);
    let linker = link_component(engine(), component)?;
    let run = component.component_type();
    let is_0_3 = run.exports(engine()).any(|(name, _)| name.starts_with("wasi:cli/run@0.3."));
    let ended = if is_0_3 {
        let command = p3::bindings::Command::instantiate_async(&mut store, component, &linker).await?;
        store.run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await).await??
    } else {
        let command = p2::bindings::Command::instantiate_async(&mut store, component, &linker).await?;
        command.wasi_cli_run().call_run(&mut store).await?
    };
    Ok(if ended.is_ok() { 0 } else { 1 })
}

pub fn mount(host: impl AsRef<Path>, guest: &str, read_only: bool) -> Mount {
    Mount { host: host.as_ref().to_owned(), guest: guest.to_owned(), read_only }
}

pub fn mounts(mounts: impl Into<Vec<Mount>>) -> Grants {
    Grants { mounts: mounts.into(), ..Grants::default() }
}

/// Joins steps, which are words separated by spaces, as the guests want them.
pub fn steps(steps: &[&str]) -> Vec<String> {
    let mut args = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            args.push("--".to_owned());
        }
        args.extend(step.split(' ').map(str::to_owned));
    }
    args
}

/// Runs the steps and returns a line for each.
pub fn lines(guest: &str, grants: Grants, todo: &[&str]) -> Vec<String> {
    let args = steps(todo);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(guest, grants, &args);
    let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), todo.len(), "one line a step: {output:?}");
    lines
}

/// Runs the steps, each paired with the line that is expected.
pub fn check(guest: &str, grants: Grants, table: &[(&str, &str)]) {
    let todo: Vec<&str> = table.iter().map(|(step, _)| *step).collect();
    for ((step, expected), line) in table.iter().zip(lines(guest, grants, &todo)) {
        assert_eq!(line, *expected, "{guest}: {step}");
    }
}
