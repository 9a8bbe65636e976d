//! `sampan`: server-side WebAssembly as a command.
//!
//! One file per verb. `main` parses, dispatches, and prints the one error that ends everything.

mod build;
mod cache;
mod channels;
mod check;
mod compile;
mod containers;
mod dapr;
mod docker_api;
mod fail;
mod file_id;
mod grants;
mod guest;
mod images;
mod inspect;
mod key;
mod kube;
mod manifest;
mod new;
mod progress;
mod run;
mod shim;
mod up;
mod watch;

use crate::fail::Fail;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Runs WebAssembly on the server; a guest may touch only what it is granted.
#[derive(Parser)]
#[command(
    name = "sampan",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(Box<run::Args>),
    /// Make a container of an image, without starting it
    Create(Box<run::Args>),
    #[command(flatten)]
    Containers(containers::Verb),
    #[command(name = sampan_containers::GUEST, hide = true)]
    Guest(guest::Args),
    #[command(name = sampan_containers::SUPERVISE, hide = true)]
    Supervise {
        folder: std::path::PathBuf,
    },
    #[command(flatten)]
    Images(images::Verb),
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Up(up::Args),
    Compile(compile::Args),
    Kube(kube::Args),
    Inspect(inspect::Args),
    Cache(cache::Args),
    Key(key::Args),
    DockerApi(docker_api::Args),
    /// Print a completion script for a shell
    Completions {
        shell: clap_complete::Shell,
    },
    /// Print the version of Sampan and of its engine
    Version,
}

fn main() -> ExitCode {
    // One binary, two programs: containerd calls it by its shim's name.
    if std::env::args_os().next().is_some_and(|argv0| sampan_shim::is_shim(&argv0)) {
        return shim::main();
    }
    let verb = match parse() {
        Ok(verb) => verb,
        Err(code) => return code,
    };
    let result = match verb {
        Verb::Run(args) => run::run(*args),
        Verb::Create(args) => containers::create(&args),
        Verb::Containers(verb) => containers::dispatch(verb),
        Verb::Guest(args) => guest::run(&args),
        Verb::Supervise { folder } => {
            sampan_containers::supervise(&folder).map(|()| ExitCode::SUCCESS).map_err(Fail::from)
        }
        Verb::Images(verb) => images::dispatch(verb),
        Verb::New(args) => new::run(args),
        Verb::Build(args) => build::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Up(args) => up::run(args),
        Verb::Kube(args) => kube::run(&args),
        Verb::Compile(args) => compile::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Key(args) => key::run(args),
        Verb::DockerApi(args) => docker_api::run(args),
        Verb::Cache(args) => cache::run(args),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sampan", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Version => {
            println!("sampan {} ({})", env!("CARGO_PKG_VERSION"), sampan_engine::ENGINE_VERSION);
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|fail| fail.print())
}

/// Parses the command line. `run` answers wrong flags with 125, as `docker run` does.
fn parse() -> Result<Verb, ExitCode> {
    let matches = Cli::command().try_get_matches();
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map(|cli| cli.verb).map_err(|error| {
        // Nobody is left to tell if the stream is closed.
        let _ = error.print();
        let is_run = std::env::args_os().nth(1).is_some_and(|verb| verb == "run");
        match (error.use_stderr(), is_run) {
            (false, _) => ExitCode::SUCCESS,
            (true, true) => ExitCode::from(sampan_runtime::exit_code::CANNOT_START),
            (true, false) => ExitCode::from(sampan_runtime::exit_code::ERROR),
        }
    })
}
