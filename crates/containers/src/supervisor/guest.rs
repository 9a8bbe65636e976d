//! The guest's process, from its start to its end.

use super::Event;
use super::output::{Input, Output};
use super::terminal::Terminal;
use crate::Error;
use crate::folder::Container;
use crate::logs::Stream;
use crate::record::Config;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

/// The hidden verb that runs a guest: its argument is a folder with a `config.json`.
pub const VERB: &str = "__guest";
/// A guest that has ended has written all; who reads slowly has so long.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// A guest that runs.
pub struct Running {
    pub pid: u32,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    pub terminal: Option<Arc<Terminal>>,
}

/// How a guest ended.
pub struct Ended {
    pub code: i32,
    /// Empty where it ended by itself.
    pub error: String,
}

/// What a guest's process is to be.
pub struct Wanted<'a> {
    pub folder: &'a std::path::Path,
    /// Beside the verb and the folder.
    pub arguments: &'a [&'a str],
    pub tty: bool,
    pub stdin: bool,
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        // It may have ended, and nobody knows yet.
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }
}

/// Starts a container's own guest.
pub fn start(
    container: &Container,
    config: &Config,
    output: &Arc<Output>,
    run: u64,
    events: &UnboundedSender<Event>,
) -> Result<Running, Error> {
    let wanted =
        Wanted { folder: container.folder(), arguments: &[], tty: config.tty, stdin: config.open_stdin };
    let events = events.clone();
    // The supervisor ends after its guest.
    spawn(&wanted, output, move |status| drop(events.send(Event::Ended { run, status })))
}

/// Starts a guest's process, and tells when it has ended and its output was taken.
pub fn spawn(
    wanted: &Wanted<'_>,
    output: &Arc<Output>,
    told: impl FnOnce(Ended) + Send + 'static,
) -> Result<Running, Error> {
    let failed = |error: std::io::Error| Error::Supervisor(format!("cannot start the guest: {error}"));
    let mut command = Command::new("/proc/self/exe");
    command.arg(VERB).arg(wanted.folder).args(wanted.arguments).current_dir("/");
    let terminal = if wanted.tty {
        let (terminal, slave) = Terminal::open().map_err(failed)?;
        command.arg("--tty");
        command.stdin(slave.try_clone().map_err(failed)?);
        command.stdout(slave.try_clone().map_err(failed)?).stderr(slave);
        Some(Arc::new(terminal))
    } else {
        command.stdin(if wanted.stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        None
    };
    let mut child = command.spawn().map_err(failed)?;
    // Its copies of the terminal are closed with it: the end is to be seen.
    drop(command);
    let started = attach(&mut child, wanted, output, terminal.clone(), told);
    started.map_err(|error| {
        let _ = child.kill();
        let _ = child.wait();
        failed(error)
    })
}

fn attach(
    child: &mut Child,
    wanted: &Wanted<'_>,
    output: &Arc<Output>,
    terminal: Option<Arc<Terminal>>,
    told: impl FnOnce(Ended) + Send + 'static,
) -> std::io::Result<Running> {
    let pid = child.id();
    let own = rustix::process::Pid::from_child(child);
    let pidfd = pidfd_open(own, PidfdFlags::NONBLOCK)?;
    // SAFETY: an `OwnedFd` stays open, and the same, for as long as it is owned.
    let pidfd = Arc::new(unsafe { AsyncFd::register(pidfd)? });
    let mut pumps = Vec::new();
    let input = output.input(wanted.stdin || wanted.tty);
    let feeding = match &terminal {
        Some(terminal) => {
            let (out, from) = (Arc::clone(output), Arc::clone(terminal));
            pumps.push(tokio::spawn(async move { out.pump_terminal(&from).await }));
            input.map(|input| tokio::spawn(feed_terminal(input, Arc::clone(terminal))))
        }
        None => {
            if let Some(from) = child.stdout.take() {
                let (out, from) = (Arc::clone(output), pipe::Receiver::from_owned_fd(from.into())?);
                pumps.push(tokio::spawn(async move { out.pump(Stream::Stdout, from).await }));
            }
            if let Some(from) = child.stderr.take() {
                let (out, from) = (Arc::clone(output), pipe::Receiver::from_owned_fd(from.into())?);
                pumps.push(tokio::spawn(async move { out.pump(Stream::Stderr, from).await }));
            }
            let to = child.stdin.take().map(|to| pipe::Sender::from_owned_fd(to.into())).transpose()?;
            input.zip(to).map(|(input, to)| tokio::spawn(feed(input, to)))
        }
    };
    let watched = Arc::clone(&pidfd);
    let output = Arc::clone(output);
    let pid_to_reap = own;
    tokio::spawn(async move {
        let _ = watched.readable().await;
        let status = reap(pid_to_reap);
        for pump in pumps {
            let _ = tokio::time::timeout(LAST_OUTPUT, pump).await;
        }
        output.flush();
        if let Some(feeding) = feeding {
            feeding.abort();
        }
        told(status);
    });
    Ok(Running { pid, pidfd, terminal })
}

/// Of a process that has ended.
fn reap(pid: rustix::process::Pid) -> Ended {
    use rustix::process::{WaitOptions, waitpid};
    let status = waitpid(Some(pid), WaitOptions::empty());
    let raw = status.ok().flatten().map_or(137 << 8, |(_, status)| status.as_raw());
    let status = ExitStatus::from_raw(raw);
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended { code, error: String::new() },
        (None, Some(signal)) => Ended { code: 128 + signal, error: String::new() },
        (None, None) => Ended { code: 137, error: "its end is not known".to_owned() },
    }
}

async fn feed(mut input: Receiver<Input>, mut to: pipe::Sender) {
    while let Some(Input::Bytes(bytes)) = input.recv().await {
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Who still types is not kept waiting.
    drop(to);
    while input.recv().await.is_some() {}
}

async fn feed_terminal(mut input: Receiver<Input>, to: Arc<Terminal>) {
    while let Some(input) = input.recv().await {
        let bytes = match &input {
            Input::Bytes(bytes) => &bytes[..],
            // What a person types for it.
            Input::End => b"\x04",
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
