//! What a container's process does once libcontainer has put it into its namespaces and containerd says start.

use crate::{Run, seccomp};
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use oci_spec::runtime::Spec;
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

#[derive(Clone)]
pub struct Workload {
    /// None is an ordinary container: its program replaces this process.
    pub guest: Option<Rc<RefCell<Option<Run>>>>,
    /// The descriptors that the guest needs, in order. All others are closed.
    pub keep: Rc<[i32]>,
    pub filters: Rc<[BpfProgram]>,
    /// CAP_SYS_ADMIN is there only to install the filters.
    pub borrowed_admin: bool,
}

impl Executor for Workload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let Some(guest) = &self.guest else {
            self.confine().inspect_err(tell)?;
            return DefaultExecutor {}.exec(spec);
        };
        let run = guest.take().ok_or_else(|| ExecutorError::Other("the guest runs already".to_owned()))?;
        name(spec);
        // libcontainer marks what it leaves open to be closed by `execve`, which there is none of. An `exec` waits
        // until the last of them is closed.
        close_all_but(&self.keep);
        self.confine().inspect_err(tell)?;
        std::process::exit(run(Path::new("/")).into());
    }

    /// A guest's variables are its grants. The process has none, because they would mean something to Sampan: `HOME`, for
    /// one, says where native code is kept, and it would be taken from the image.
    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        let envs = if self.guest.is_some() { HashMap::new() } else { envs };
        DefaultExecutor {}.setup_envs(envs)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if self.guest.is_some() { Ok(()) } else { DefaultExecutor {}.validate(spec) }
    }
}

impl Workload {
    fn confine(&self) -> Result<(), ExecutorError> {
        let failed =
            |what: &str, error: &dyn std::fmt::Display| ExecutorError::Other(format!("{what}: {error}"));
        for filter in self.filters.iter() {
            seccomp::install(filter).map_err(|error| failed("cannot install the seccomp profile", &error))?;
        }
        if self.borrowed_admin {
            give_back_admin().map_err(|error| failed("cannot drop CAP_SYS_ADMIN", &error))?;
        }
        Ok(())
    }
}

/// Whoever started the process has his answer by now, so what is wrong goes to where the process would write.
fn tell(error: &ExecutorError) {
    // A log may be on a full disk; that must not be what is wrong then.
    let _ = writeln!(std::io::stderr(), "sampan: {error}");
}

fn give_back_admin() -> rustix::io::Result<()> {
    rustix::thread::remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN)?;
    let sets = rustix::thread::capabilities(None)?;
    let sets = CapabilitySets {
        effective: sets.effective - CapabilitySet::SYS_ADMIN,
        permitted: sets.permitted - CapabilitySet::SYS_ADMIN,
        inheritable: sets.inheritable,
    };
    rustix::thread::set_capabilities(None, sets)
}

/// The process's name in `ps`: that of the guest's file.
fn name(spec: &Spec) {
    let args = spec.process().as_ref().and_then(|process| process.args().as_ref());
    let file = args.and_then(|args| Path::new(args.first()?).file_name());
    if let Some(name) = file.and_then(|name| CString::new(name.as_encoded_bytes()).ok()) {
        // A name is a courtesy.
        let _ = rustix::thread::set_name(&name);
    }
}

/// All but the standard streams and `keep`, which is in order.
fn close_all_but(keep: &[i32]) {
    let mut from = 3;
    for &kept in keep.iter().filter(|kept| **kept >= 3) {
        close_range(from, kept - 1);
        from = kept + 1;
    }
    close_range(from, i32::MAX);
}

fn close_range(first: i32, last: i32) {
    if first <= last {
        // SAFETY: their owners are libcontainer's, which does not run again in this process: what follows is the guest,
        // and then the exit.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}
