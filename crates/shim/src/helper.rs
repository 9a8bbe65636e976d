//! The process that makes a container's process.
//!
//! It is the same program, started anew, because libcontainer forks and runs Rust in the child: that needs a process
//! without threads. It reads the description, opens the guest's code, and forks; the child goes into its namespaces and
//! waits for the start. The guest then runs in the child, with the code that was mapped here.

use crate::args::Launch;
use crate::artifact::{self, Known};
use crate::entry::{self, Entry};
use crate::executor::Workload;
use crate::fail::{Context, Fail, Result};
use crate::launch::{PACKET_MAX, Reply, Request};
use crate::steps::{Step, now_ns, step};
use crate::{Guests, hooks, mounts, seccomp, spec};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Spec;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recv, sendmsg,
};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

pub fn run(launch: Launch, guests: Guests) -> Result<()> {
    // SAFETY: the server left this descriptor open for this process; nothing else here has it.
    let channel = unsafe { OwnedFd::from_raw_fd(launch.channel) };
    // It is the only socket of its kind, so a number that somebody made up ends here.
    let kind = rustix::net::sockopt::socket_type(&channel).context("`launch` is for the shim's own use")?;
    if kind != SocketType::SEQPACKET {
        return Err(Fail::invalid("`launch` is for the shim's own use"));
    }
    let made = make(&channel, launch, guests);
    let (reply, terminal) = match made {
        Ok(Some(made)) => {
            let Made { pid, has_own_pids, terminal, steps } = made;
            (Reply::Made { pid, has_own_pids, steps }, terminal)
        }
        Ok(None) => return answer(&channel, &Reply::NoEntry, None),
        Err(fail) => (Reply::Failed { message: fail.message }, None),
    };
    answer(&channel, &reply, terminal.as_ref())?;
    // The container's process is this one's child until the server holds it.
    let mut byte = [0; 1];
    recv(&channel, &mut byte, RecvFlags::empty()).context("the server is gone")?;
    Ok(())
}

fn answer(channel: &OwnedFd, reply: &Reply, terminal: Option<&OwnedFd>) -> Result<()> {
    let mut bytes = serde_json::to_vec(reply).context("cannot encode the answer")?;
    bytes.truncate(PACKET_MAX);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd> = terminal.iter().map(|terminal| terminal.as_fd()).collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(channel, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
        .context("the server is gone")?;
    Ok(())
}

struct Made {
    pid: i32,
    has_own_pids: bool,
    terminal: Option<OwnedFd>,
    steps: Vec<Step>,
}

/// `None` where there is nothing to start, and nobody has asked for an artifact.
fn make(channel: &OwnedFd, launch: Launch, guests: Guests) -> Result<Option<Made>> {
    // 1. What is asked for. It stays in the socket, in case that this program begins anew.
    let mut bytes = vec![0; PACKET_MAX];
    let (received, _) = recv(channel, &mut bytes[..], RecvFlags::PEEK).context("cannot hear the server")?;
    let request: Request = serde_json::from_slice(&bytes[..received]).context("the server's request")?;
    let mut steps = Vec::new();
    if let Some(began) = launch.again {
        steps.push(step("compile the guest", began));
    }
    let mounted = (!request.rootfs.is_empty()).then(|| request.bundle.join("rootfs"));
    if let Some(rootfs) = mounted.as_ref().filter(|_| launch.again.is_none()) {
        let began = now_ns();
        let nodev = spec::needs_nodev(&spec::load(&request.bundle.join("config.json"))?);
        mounts::mount_all(&request.rootfs, rootfs, nodev)?;
        steps.push(step("mount the root file system", began));
    }
    let made = make_process(channel, launch, guests, &request, mounted.as_deref(), &mut steps);
    if let Some(rootfs) = mounted.filter(|_| !matches!(made, Ok(Some(_)))) {
        mounts::unmount_all(&rootfs);
    }
    if made.is_ok() {
        // Taken at last: what comes next is the acknowledgement. Who closes a socket with something in it takes away what
        // it has sent.
        recv(channel, &mut bytes[..], RecvFlags::empty()).context("cannot hear the server")?;
    }
    Ok(made?.map(|made| Made { steps, ..made }))
}

fn make_process(
    channel: &OwnedFd,
    launch: Launch,
    guests: Guests,
    request: &Request,
    mounted: Option<&Path>,
    steps: &mut Vec<Step>,
) -> Result<Option<Made>> {
    // 2. The description, as it will be run.
    let mut spec = describe(request)?;
    let rootfs = &match mounted {
        Some(rootfs) => rootfs.to_owned(),
        None => spec::root(&spec, &request.bundle)?,
    };
    if let Known::Files(files) = &request.artifact {
        if launch.again.is_none() {
            artifact::lay(files, rootfs)?;
        }
        artifact::enter(&mut spec, &files.entry);
    }
    let entry = entry::look(&spec, rootfs);
    if let (Entry::Missing, Known::Nothing) = (entry, &request.artifact) {
        return Ok(None);
    }
    let is_guest = entry == Entry::Guest;
    let filters = match spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        Some(profile) => seccomp::compile(profile)?,
        None => Vec::new(),
    };
    let borrowed_admin = spec::borrows_admin(&spec);
    spec::adapt(&mut spec, rootfs, is_guest)?;
    hooks::take_later_ones(&mut spec);
    own_streams(&spec);

    // 3. The guest's code. Compiling takes threads, and then all begins anew, with the code in the cache.
    let began = now_ns();
    let guest = match is_guest {
        true => Some((guests.prepare)(&spec, rootfs).map_err(Fail::invalid)?),
        false => None,
    };
    if has_threads()? {
        return Err(begin_anew(channel, launch, began));
    }
    if is_guest {
        steps.push(step("load the guest", began));
    }
    let keep = open_descriptors(channel)?;
    let guest = guest.map(|run| Rc::new(RefCell::new(Some(run))));
    let workload = Workload { guest, keep: keep.into(), filters: filters.into(), borrowed_admin };

    // 4. The process, in its namespaces.
    let has_own_pids = spec::has_own_pids(&spec);
    let console = if request.terminal { Some(Console::listen(&request.state)?) } else { None };
    let began = now_ns();
    let pid = build(request, &spec, workload, console.as_ref())?;
    steps.push(step("make the process", began));
    let terminal = console.map(Console::accept).transpose()?;
    Ok(Some(Made { pid, has_own_pids, terminal, steps: Vec::new() }))
}

/// The container's description, with the process that is to run.
fn describe(request: &Request) -> Result<Spec> {
    let Some(process) = &request.process else {
        return spec::load(&request.bundle.join("config.json"));
    };
    let mut spec = spec::load(&request.state.join("config.json"))?;
    let file = File::open(process).context("cannot read the process's description")?;
    let process =
        serde_json::from_reader(std::io::BufReader::new(file)).context("the process's description")?;
    spec.set_process(Some(process));
    Ok(spec)
}

/// A process opens its own streams again by `/dev/stdout`, so FIFOs belong to its user (as runc does).
fn own_streams(spec: &Spec) {
    let Some(user) = spec.process().as_ref().map(|process| process.user()) else { return };
    if user.uid() == 0 {
        return;
    }
    let owner = rustix::fs::Uid::from_raw(user.uid());
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let kind = rustix::fs::fstat(stream).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        if kind == Ok(rustix::fs::FileType::Fifo) {
            // Without it the process only cannot open them again.
            let _ = rustix::fs::fchown(stream, Some(owner), None);
        }
    }
}

fn has_threads() -> Result<bool> {
    Ok(fs::read_dir("/proc/self/task").context("cannot read /proc/self/task")?.count() > 1)
}

/// Replaces this program by itself; returns only if that fails.
fn begin_anew(channel: &OwnedFd, launch: Launch, began: u64) -> Fail {
    if launch.again.is_some() {
        return Fail::precondition(
            "the guest's native code cannot be kept; make the cache's folder writable, or set SAMPAN_CACHE_DIR",
        );
    }
    let error = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(["relaunch", &channel.as_raw_fd().to_string(), &began.to_string()])
        .exec();
    Fail::internal("cannot begin anew", error)
}

/// What is open now, but the channel: the standard streams, and what the guest's code and grants need.
fn open_descriptors(channel: &OwnedFd) -> Result<Vec<i32>> {
    let names: Vec<_> =
        fs::read_dir("/proc/self/fd").context("cannot read /proc/self/fd")?.flatten().collect();
    let numbers = names.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // Reading the list took a descriptor itself, which is closed by now.
    let is_open = |fd: &i32| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    let mut open: Vec<i32> = numbers.filter(|fd| *fd != channel.as_raw_fd()).filter(is_open).collect();
    open.sort_unstable();
    Ok(open)
}

fn build(request: &Request, spec: &Spec, workload: Workload, console: Option<&Console>) -> Result<i32> {
    let builder = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_executor(workload)
        .with_root_path(&request.state)
        .context("the container's folder")?
        .with_console_socket(console.map(|console| console.path.clone()));
    if let Some(path) = &request.process {
        // As it was changed for this run, not as it came.
        let process = serde_json::to_vec(spec.process()).context("the process's description")?;
        fs::write(path, process).context("cannot keep the process's description")?;
        let pid = builder.as_tenant().with_process(Some(path)).with_detach(true).build();
        forget_sockets(&request.state.join(&request.id));
        return Ok(pid.context("cannot run the process in the container")?.as_raw());
    }
    let config = request.state.join("config.json");
    spec.save(&config).context(format!("cannot write {}", config.display()))?;
    let container = builder
        .as_init(&request.state)
        .with_systemd(request.systemd_cgroup)
        .with_no_pivot(request.no_pivot_root)
        .with_detach(true)
        .build()
        .context("cannot make the container")?;
    let pid =
        container.pid().ok_or_else(|| Fail::internal("cannot make the container", "it has no process"))?;
    Ok(pid.as_raw())
}

/// libcontainer leaves two sockets behind for each process that joins, which probes would heap up. Processes of a
/// container are made one after the other, so none is needed by now.
fn forget_sockets(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"tenant-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Where the container's process sends the terminal that it has made of its own `/dev/ptmx`.
struct Console {
    path: PathBuf,
    listener: OwnedFd,
}

impl Console {
    /// In the container's folder, by a path through a descriptor, because a socket's path may have 107 bytes only.
    fn listen(state: &Path) -> Result<Self> {
        let name = format!("console-{}", std::process::id());
        let folder = File::open(state).context("the container's folder")?;
        let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        let address = rustix::net::SocketAddrUnix::new(short).context("the terminal's socket")?;
        let listener = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .context("the terminal's socket")?;
        rustix::net::bind(&listener, &address).context("the terminal's socket")?;
        rustix::net::listen(&listener, 1).context("the terminal's socket")?;
        Ok(Console { path: state.join(name), listener })
    }

    fn accept(self) -> Result<OwnedFd> {
        let stream = rustix::net::accept(&self.listener).context("the terminal's socket")?;
        let _ = fs::remove_file(&self.path);
        let mut byte = [0; 64];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
            .context("the terminal's socket")?;
        for message in control.drain() {
            if let rustix::net::RecvAncillaryMessage::ScmRights(mut descriptors) = message
                && let Some(terminal) = descriptors.next()
            {
                return Ok(terminal);
            }
        }
        Err(Fail::internal("the container's process", "sent no terminal"))
    }
}
