//! `containerd-shim-sampan-v1`: containers of containerd, Docker and Kubernetes.
//!
//! One shim is a process that serves containerd's task API for one container or for all containers of a pod. It
//! knows no engine: a container's process is a child that `cli` turns into a guest, by the functions in [`Guests`].
//! What is no guest is an ordinary container, so a node can use this shim for everything.
//!
//! Start reading at [`service`] (what containerd asks for), [`container`] (what that does) and [`helper`] (how a
//! container's process comes to be).

mod args;
mod artifact;
mod bootstrap;
mod cgroup;
mod container;
mod content;
mod creation;
mod delete;
mod entry;
mod events;
mod execs;
mod executor;
mod fail;
mod helper;
mod hooks;
mod io;
mod launch;
mod mounts;
mod oom;
mod options;
mod pod;
mod process;
mod reaper;
mod resources;
mod seccomp;
mod server;
mod service;
mod spec;
mod start;
mod state;
mod stats;
mod steps;
mod syscalls;
mod traced;

pub use artifact::{Files, Open};
pub use content::Target;

use args::{Action, Args};
use oci_spec::runtime::Spec;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What turns a container's process into a guest. Plain functions, because they cross into another process.
#[derive(Clone, Copy)]
pub struct Guests {
    /// Finds the entry (`process.args` of the spec, in the root file system at the path) and its native code. If the
    /// code must be compiled, threads may be started and the code must be in a cache afterwards: the process is then
    /// begun anew, because a process with threads cannot be forked.
    pub prepare: fn(&Spec, &Path) -> Result<Run, String>,
    /// Makes the files of an image that containerd does not unpack. None where it unpacks all there is.
    pub artifact: fn(&Target, Open<'_>) -> Result<Option<Files>, String>,
}

/// Runs a guest whose `/` is the folder at the path, and returns its exit code.
pub type Run = Box<dyn FnOnce(&Path) -> u8>;

/// The names under which this shim is called: containerd makes them of `io.containerd.sampan.v1` and so on. Those of
/// other shims for WebAssembly are there so that existing command lines and RuntimeClasses run unedited, and runc's for
/// who knows no other: Docker before 23.
const NAMES: [&str; 5] = [
    "containerd-shim-sampan-v1",
    "containerd-shim-runc-v2",
    "containerd-shim-wasmedge-v1",
    "containerd-shim-wasmtime-v1",
    "containerd-shim-spin-v2",
];

/// Whether a program of this name (its argument 0) is the shim.
pub fn is_shim(argv0: &std::ffi::OsStr) -> bool {
    let name = Path::new(argv0).file_name().unwrap_or_default();
    NAMES.iter().any(|known| *known == name)
}

/// The program `containerd-shim-sampan-v1`.
pub fn main(guests: Guests) -> ExitCode {
    let mut all = std::env::args_os();
    let argv0 = all.next().unwrap_or_default();
    let result = Args::parse(all).and_then(|args| match args.action {
        Action::Start => start::run(&args),
        Action::Delete => delete::run(&args),
        Action::Info => bootstrap::print_info(&argv0),
        Action::Version => {
            println!("{}:\n  Version:  {}", argv0.display(), env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Action::Serve => server::run(&args, guests),
        Action::Launch(launch) => helper::run(launch, guests),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            complain(&fail.to_string());
            ExitCode::FAILURE
        }
    }
}

/// To containerd's log, which may be gone.
fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "containerd-shim-sampan-v1: {problem}");
}
