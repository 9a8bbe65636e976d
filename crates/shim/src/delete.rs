//! `delete`: containerd has lost a shim, and what it left must go.

use crate::args::Args;
use crate::bootstrap;
use crate::cgroup::Cgroup;
use crate::container::clean_up;
use crate::events::timestamp;
use crate::fail::{Context, Result};
use crate::hooks::Subject;
use crate::{spec, start, state};
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use libcontainer::container::Container as Runtime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

/// Standard output carries the answer and nothing else.
pub fn run(args: &Args) -> Result<()> {
    let state = state::folder(&args.namespace, &args.id)?;
    let bundle = match args.bundle.as_os_str().is_empty() {
        true => std::env::current_dir().context("the bundle")?,
        false => args.bundle.clone(),
    };
    let folder = state.join(&args.id);
    let pid = end_processes(&folder);
    clean_up(&folder, &state, &Subject { id: &args.id, bundle: &bundle, reaper: None })?;
    remove_socket(args, &bundle);
    let response = DeleteResponse {
        pid: pid.unwrap_or_default() as u32,
        // As if by SIGKILL, which it was.
        exit_status: 128 + libc::SIGKILL as u32,
        exited_at: timestamp(SystemTime::now()),
        ..DeleteResponse::default()
    };
    bootstrap::print(&response.write_to_bytes().context("cannot encode the answer")?)
}

/// Kills all processes of the container, and waits until the first is gone: its control group cannot be removed before.
fn end_processes(folder: &Path) -> Option<i32> {
    let runtime = Runtime::load(folder.to_owned()).ok()?;
    let number = runtime.pid()?.as_raw();
    let pid = Pid::from_raw(number)?;
    // A number may be somebody else's by now: libcontainer compares the time at which the process was started.
    if !runtime.can_kill() {
        return Some(number);
    }
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    if let Ok(cgroup) = Cgroup::of(number) {
        cgroup.thaw();
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(&handle, Signal::KILL);
        cgroup.kill_all();
    }
    let timeout = Timespec { tv_sec: 5, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout));
    Some(number)
}

/// Of the shim that is gone. One that answers serves the rest of a pod.
fn remove_socket(args: &Args, bundle: &Path) {
    let Ok(group) = spec::group(&bundle.join("config.json"), &args.id) else { return };
    let path = match std::fs::read_to_string(bundle.join("address")) {
        Ok(address) => Path::new(address.trim_start_matches("unix://")).to_owned(),
        Err(_) => start::socket_path(Path::new("/run/containerd/s"), &args.address, &args.namespace, &group),
    };
    if UnixStream::connect(&path).is_err() {
        let _ = std::fs::remove_file(path);
    }
}
