//! The server's side of making a process: it starts the helper, asks, and takes the process over.
//!
//! The two talk over a pair of sockets, one packet each: [`Request`], then [`Reply`] (with a terminal, if there is
//! one), then an empty acknowledgement, after which the helper ends and the process becomes the server's child. Until
//! then it is the helper's, so that it cannot end and be forgotten before the server knows its number.

use crate::artifact;
use crate::fail::{Context, Fail, Result};
use crate::mounts::Mount;
use crate::reaper::{Exits, Reaper};
use crate::steps::Step;
use containerd_shim_protos::ttrpc::Code;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
    recvmsg, send, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A packet may have so many bytes: a request has the mounts of all layers, a reply the text of an error.
pub const PACKET_MAX: usize = 256 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: String,
    /// The container's folder (`state.rs`).
    pub state: PathBuf,
    pub bundle: PathBuf,
    pub rootfs: Vec<Mount>,
    /// A file with the process, if it joins a container that is there.
    pub process: Option<PathBuf>,
    pub terminal: bool,
    pub systemd_cgroup: bool,
    pub no_pivot_root: bool,
    pub artifact: artifact::Known,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Made {
        pid: i32,
        has_own_pids: bool,
        steps: Vec<Step>,
    },
    /// The entry is not in the root file system, and nobody has asked for an artifact yet.
    NoEntry,
    Failed {
        message: String,
    },
}

/// A process that waits to be started, or an `exec` that runs.
pub struct Launched {
    pub pid: i32,
    pub handle: OwnedFd,
    pub exits: Exits,
    pub terminal: Option<OwnedFd>,
    /// All processes of the container die with this one.
    pub has_own_pids: bool,
    pub steps: Vec<Step>,
}

/// Variables of the server that the helper needs; a container can read what its process was started with, so no other.
const VARIABLES: [&str; 4] = ["HOME", "PATH", "SAMPAN_CACHE_DIR", "XDG_CACHE_HOME"];

/// Blocks until the process is there; `None` where its entry is not ([`Reply::NoEntry`]).
pub fn launch(reaper: &Reaper, request: &Request, streams: [OwnedFd; 3]) -> Result<Option<Launched>> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("cannot make a pair of sockets")?;
    let [stdin, stdout, stderr] = streams.map(Stdio::from);
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(["launch", &theirs.as_raw_fd().to_string()])
        .env_clear()
        .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .current_dir("/")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    let spawned = reaper.spawn(|| {
        // Nobody else starts a process meanwhile, so only this one inherits it.
        fcntl_setfd(&theirs, FdFlags::empty())?;
        command.spawn()
    });
    let helper = spawned.context("cannot start a helper process")?;
    drop((theirs, command));

    let request = serde_json::to_vec(request).context("cannot encode the request")?;
    send(&ours, &request, SendFlags::NOSIGNAL).context("cannot ask the helper process")?;
    let (reply, terminal) = receive(&ours)?;
    let launched = match reply {
        None => Err(Fail::internal("cannot make the container's process", "the helper process died")),
        Some(Reply::NoEntry) => Ok(None),
        Some(Reply::Failed { message }) => Err(Fail::new(Code::UNKNOWN, message)),
        Some(Reply::Made { pid, has_own_pids, steps }) => adopt(reaper, pid)
            .map(|(handle, exits)| Some(Launched { pid, handle, exits, terminal, has_own_pids, steps })),
    };
    if let Ok(Some(_)) = &launched {
        send(&ours, &[0], SendFlags::NOSIGNAL).context("cannot answer the helper process")?;
    }
    drop(ours);
    // From here on the process is the server's child.
    helper.wait_blocking();
    launched
}

fn adopt(reaper: &Reaper, pid: i32) -> Result<(OwnedFd, Exits)> {
    let number =
        Pid::from_raw(pid).ok_or_else(|| Fail::internal("the helper process", "no number of a process"))?;
    let handle = pidfd_open(number, PidfdFlags::empty()).context("cannot hold the container's process")?;
    Ok((handle, reaper.expect(pid)))
}

/// One packet; none if the other side is gone.
fn receive(socket: &OwnedFd) -> Result<(Option<Reply>, Option<OwnedFd>)> {
    let mut bytes = vec![0; PACKET_MAX];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok((None, None)),
            result => break result.context("cannot hear the helper process")?.bytes,
        }
    };
    let mut terminal = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            terminal = descriptors.next();
        }
    }
    if received == 0 {
        return Ok((None, None));
    }
    let reply = serde_json::from_slice(&bytes[..received]).context("the helper process's answer")?;
    Ok((Some(reply), terminal))
}
