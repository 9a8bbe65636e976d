//! The guest of a container, from its OCI runtime spec: one wiring for the supervisor of `run -d` and for containerd's
//! shim.
//!
//! [`prepare`] finds the code and has it compiled, or mapped; [`Guest::run`] opens what is granted and runs. Between
//! the two, the shim enters the container's namespaces.

pub mod confine;
mod entry;
mod mounts;
mod served;
mod stats;
mod verb;
mod words;

pub use verb::{Args, run};

use crate::fail::Fail;
use entry::{Entry, Kind};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use sampan_app::{Grants, Limits, Mount, Program};
use sampan_engine::{Loaded, Profile, Settings, Source};
use sampan_runtime::command::{self, Options};
use sampan_runtime::{Counters, exit_code, standard_streams};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// A guest that is ready to run.
pub struct Guest {
    what: What,
    grants: Grants,
    limits: Limits,
}

enum What {
    /// A program, from its start to its exit code.
    Program { loaded: Box<Loaded>, program: Box<Program> },
    /// What answers requests. Its file is below the root, which may be another folder when it runs.
    Served { entry: Entry, words: words::Serving },
}

/// Reads what the spec says and makes its code ready.
///
/// # Errors
/// If the spec makes no sense, or there is nothing to run.
pub fn prepare(spec: &Spec, rootfs: &Path) -> Result<Guest, Fail> {
    let words = words::Words::of(spec)?;
    let entry = entry::find(&words, rootfs)?;
    let (grants, limits) = (words.grants, words.limits);
    if let Kind::Program = entry.kind {
        let settings = Settings { fuel: limits.fuel.is_some(), ..Settings::new(Profile::Program) };
        let loaded = Box::new(crate::run::load(&Source::File(entry.file.clone()), &settings, false)?);
        let program = Box::new(Program {
            args: words.args,
            workdir: Some(words.workdir),
            entry: match entry.function {
                Some(function) => sampan_app::Entry::Invoke { function, args: Vec::new() },
                None => sampan_app::Entry::Command,
            },
            ..Program::default()
        });
        return Ok(Guest { what: What::Program { loaded, program }, grants, limits });
    }
    let file = entry.file.strip_prefix(rootfs.canonicalize().map_err(wrong)?).map_err(wrong)?.to_owned();
    let entry = Entry { file, ..entry };
    Ok(Guest { what: What::Served { entry, words: words.serving }, grants, limits })
}

impl Guest {
    /// Runs it with `root` as its `/`, and returns its exit code.
    ///
    /// # Errors
    /// Why it could not, or what ended it.
    pub fn run(self, root: &Path, read_only: bool, counters: Option<Arc<Counters>>) -> Result<u8, Fail> {
        let Guest { what, mut grants, limits } = self;
        grants.mounts.insert(0, Mount { host: root.to_owned(), guest: "/".to_owned(), read_only });
        match what {
            What::Program { loaded, mut program } => {
                program.grants = grants;
                program.limits = limits;
                let options = Options {
                    wasi: standard_streams(),
                    coredump: None,
                    local: None,
                    exit_on_signals: true,
                    counters,
                };
                crate::run::finish(command::run(*loaded, &program, options))
            }
            What::Served { mut entry, words } => {
                entry.file = root.join(entry.file);
                served::serve(&entry, words, grants, limits, root, counters)?;
                Ok(0)
            }
        }
    }
}

/// What a path of the container means on this machine: no link leads out of the root.
fn within(rootfs: &Path, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty())?;
    openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Whether the container's entry is a manifest.
fn is_app(spec: &Spec) -> bool {
    let named = spec.process().as_ref().and_then(|process| process.args().as_ref()?.first());
    named.is_some_and(|named| named.ends_with(".toml"))
}

/// A wrong word in a spec.
fn wrong(what: impl std::fmt::Display) -> Fail {
    Fail::new(format!("the container cannot be started: {what}")).code(exit_code::CANNOT_START)
}
