//! The hidden verb that a supervisor runs: a guest in a process of its own.

use super::{Guest, confine, is_app, mounts, prepare, stats, wrong};
use crate::fail::Fail;
use oci_spec::runtime::{Process, Spec};
use rustix::process::Signal;
use sampan_runtime::Counters;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The guest of a container
#[derive(clap::Args)]
pub struct Args {
    /// The container's folder
    folder: PathBuf,
    /// Another program of it, instead of its own
    #[arg(long)]
    process: Option<PathBuf>,
    /// Standard input is to be the terminal of this process
    #[arg(long)]
    tty: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    // 1. A process that ends with its supervisor, and that its terminal belongs to.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| wrong(std::io::Error::from(error)))?;
    if args.tty {
        let owned =
            rustix::process::setsid().and_then(|_| rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()));
        owned.map_err(|error| wrong(std::io::Error::from(error)))?;
    }

    // 2. What is to run.
    let mut spec: Spec = read(&args.folder.join("config.json"))?;
    if let Some(process) = &args.process {
        let process: Process = read(&args.folder.join(process))?;
        spec.set_process(Some(process));
    }
    let (rootfs, read_only) = match spec.root() {
        Some(root) => (root.path().clone(), root.readonly().unwrap_or_default()),
        None => return Err(wrong("its spec names no root")),
    };
    if is_app(&spec) {
        mounts::enter(&spec, &rootfs)?;
    }
    confine::to_container(&spec, &rootfs, &args.folder)?;
    let guest: Guest = prepare(&spec, &rootfs)?;

    // 3. Run, and tell what it uses.
    let counters = Arc::<Counters>::default();
    if args.process.is_none() {
        stats::tell(&args.folder, Arc::clone(&counters)).map_err(wrong)?;
    }
    guest.run(&rootfs, read_only, Some(counters)).map(ExitCode::from)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Fail> {
    let text = fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| wrong(format!("{}: {error}", path.display())))
}
