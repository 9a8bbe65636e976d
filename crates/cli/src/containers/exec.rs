//! `sampan exec`.

use super::attach::{How, exit_code, join};
use super::folder;
use crate::fail::Fail;
use sampan_containers::{Second, Streams};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    container: String,

    /// The program, a file of the container, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,

    /// Do not wait for its end
    #[arg(short, long)]
    detach: bool,

    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Working directory
    #[arg(short, long, default_value = "")]
    workdir: String,
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let container = folder()?.find(&args.container)?;
    let streams =
        Streams { stdin: args.interactive && !args.detach, stdout: !args.detach, stderr: !args.detach };
    let second = Second { args: args.command, env: args.env, workdir: args.workdir, tty: args.tty, streams };
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let attached = container.exec(&id, &second)?;
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let how = How { stdin: streams.stdin, tty: args.tty, exec: Some(id), pass_signals: false };
    join(&container, &attached, &how).map(exit_code)
}
