//! `sampan attach`, and what `run` and `exec` share with it: this terminal becomes the container's.

use super::folder;
use crate::fail::Fail;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use sampan_containers::{Attached, Container, Streams};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Typed one after the other, they leave a container that goes on: as Docker has it.
const DETACH: [u8; 2] = [0x10, 0x11];

#[derive(clap::Args)]
pub struct Args {
    container: String,

    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,

    /// Keep signals for this process, instead of passing them on
    #[arg(long)]
    no_sig_proxy: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let container = folder()?.find(&args.container)?;
    let config = container.config()?;
    if !container.state()?.status.is_live() {
        return Err(Fail::new(format!("the container {} is not running", config.name))
            .help("start it by `sampan start`; `sampan logs` shows what it wrote"));
    }
    let stdin = config.open_stdin && !args.no_stdin;
    let attached = container.attach(Streams { stdin, stdout: true, stderr: true })?;
    let how = How { stdin, tty: config.tty, exec: None, pass_signals: !args.no_sig_proxy };
    join(&container, &attached, &how).map(exit_code)
}

/// How this process joins a guest.
pub struct How {
    pub stdin: bool,
    pub tty: bool,
    /// The second guest's id, if it is one.
    pub exec: Option<String>,
    pub pass_signals: bool,
}

/// Why output ends.
pub enum Left {
    Ended(i32),
    /// By the keys for it.
    Detached,
}

pub fn exit_code(left: Left) -> ExitCode {
    match left {
        Left::Ended(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Left::Detached => ExitCode::SUCCESS,
    }
}

/// Copies input and output until the guest ends, or the user leaves it.
///
/// # Errors
/// If the connection to the supervisor breaks.
pub fn join(container: &Container, attached: &Attached, how: &How) -> Result<Left, Fail> {
    let raw = if how.tty { Raw::enter() } else { None };
    if how.tty {
        follow_size(container, how.exec.clone());
    }
    if how.pass_signals && !how.tty && how.exec.is_none() {
        pass_signals(container)?;
    }
    if how.stdin {
        let stream = attached.stream.try_clone().map_err(broken)?;
        let tty = how.tty;
        std::thread::spawn(move || copy_input(&stream, tty));
    }
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let ended = attached.copy_output(|stream, bytes| match stream {
        2 => err.write_all(bytes),
        _ => out.write_all(bytes).and_then(|()| out.flush()),
    });
    drop(raw);
    match ended {
        Ok(Some(code)) => Ok(Left::Ended(code)),
        Ok(None) => match container.state() {
            // Its supervisor was killed, and so was the guest.
            Ok(state) if !state.status.is_live() => Ok(Left::Ended(state.exit_code)),
            _ => Ok(Left::Detached),
        },
        // Whoever read our output went away (`| head`): as a program, we end by that.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Left::Ended(141)),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: io::Error) -> Fail {
    Fail::new(format!("the connection to the container is broken: {error}"))
}

fn copy_input(stream: &UnixStream, tty: bool) {
    let mut to = stream;
    let mut from = io::stdin().lock();
    let mut buffer = [0; 4096];
    let mut begun = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let typed = &buffer[..count];
        if tty && (begun && typed[0] == DETACH[1] || typed.ends_with(&DETACH)) {
            // Ends the reading of output too.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        begun = typed.last() == Some(&DETACH[0]);
        if to.write_all(typed).is_err() {
            return;
        }
    }
    // The guest may have ended.
    let _ = stream.shutdown(Shutdown::Write);
}

/// SIGINT, SIGTERM and their like are the guest's.
fn pass_signals(container: &Container) -> Result<(), Fail> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])
        .map_err(|error| Fail::new(format!("cannot watch for signals: {error}")))?;
    let container = container.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // It may have ended just now.
            let _ = container.signal(signal);
        }
    });
    Ok(())
}

/// The guest's terminal is as large as this one, now and when it changes.
fn follow_size(container: &Container, exec: Option<String>) {
    let container = container.clone();
    let set = move || {
        if let Ok(size) = tcgetwinsize(io::stdout()) {
            // It may have ended, or not begun.
            let _ = container.resize(exec.as_deref(), size.ws_row, size.ws_col);
        }
    };
    set();
    if let Ok(mut signals) = Signals::new([SIGWINCH]) {
        std::thread::spawn(move || signals.forever().for_each(|_| set()));
    }
}

/// Keys go through as they are; the terminal is as before when this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        if !isatty(io::stdin()) {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
