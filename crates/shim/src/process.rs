//! One process of a container, its first or an `exec`: how it is signalled, what it ended with.

use crate::cgroup;
use crate::fail::{Context, Fail, Result};
use crate::io::{Held, Streams, Terminal};
use crate::launch::Launched;
use crate::reaper::{Exit, Exits};
use containerd_shim_protos::api::Status;
use std::os::fd::{AsRawFd, OwnedFd};

pub struct Process {
    pub pid: i32,
    /// Means this process for ever, as the number does not.
    handle: OwnedFd,
    pub exits: Exits,
    pub held: Held,
    pub streams: Streams,
    /// containerd has been told of its end.
    pub is_announced: bool,
}

impl Process {
    /// Takes over a launched process; `copied` is where its terminal goes.
    pub fn of(
        launched: Launched,
        mut held: Held,
        streams: Streams,
        copied: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<Self> {
        if let (Some(device), Some((from, to))) = (launched.terminal, copied) {
            held.terminal = Some(Terminal::copy(device, from, to)?);
        }
        Ok(Process {
            pid: launched.pid,
            handle: launched.handle,
            exits: launched.exits,
            held,
            streams,
            is_announced: false,
        })
    }

    pub fn exit(&self) -> Option<Exit> {
        *self.exits.borrow()
    }

    pub fn status(&self, alive: Status) -> Status {
        if self.exit().is_some() { Status::STOPPED } else { alive }
    }

    /// A process that has ended is not found, which is what containerd expects.
    pub fn signal(&self, number: u32) -> Result<()> {
        let number = i32::try_from(number).ok().filter(|number| (1..=64).contains(number));
        let number = number.ok_or_else(|| Fail::invalid("there is no such signal"))?;
        if self.exit().is_some() {
            return Err(Fail::not_found("process already finished"));
        }
        // SAFETY: the call reads no memory: the pointer to details of the signal may be null.
        let sent = unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, self.handle.as_raw_fd(), number, none, 0)
        };
        match std::io::Error::last_os_error() {
            _ if sent == 0 => Ok(()),
            error if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(Fail::not_found("process already finished"))
            }
            error => Err(error).context("cannot send the signal"),
        }
    }

    pub fn resize(&self, columns: u32, rows: u32) -> Result<()> {
        let size =
            |number: u32| u16::try_from(number).map_err(|_| Fail::invalid("the terminal is too large"));
        let terminal =
            self.held.terminal.as_ref().ok_or_else(|| Fail::precondition("the process has no terminal"))?;
        terminal.resize(size(columns)?, size(rows)?)
    }
}

/// All processes of a container at once.
pub fn signal_all(group: &cgroup::Cgroup, number: u32) {
    for pid in group.pids() {
        cgroup::signal(pid, number as i32);
    }
}
