//! A process's standard streams, as containerd names them: FIFOs, files, a logging program, or nothing.
//!
//! A process writes into containerd's FIFOs itself; the server copies only what a terminal says. FIFOs are opened for
//! both directions, so that a process neither fails nor is killed when containerd is restarted; it waits when the FIFO is
//! full, as it would with runc. Source: containerd, `cmd/containerd-shim-runc-v2/process/io.go`.

mod logger;
mod terminal;

use crate::fail::{Context, Fail, Result};
use crate::reaper::Reaper;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use std::os::fd::OwnedFd;
use std::path::Path;
pub use terminal::{Terminal, pollable};

/// What containerd asked for; empty texts are nothing.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub terminal: bool,
}

/// Whose streams they are; a logging program is told.
pub struct Owner<'a> {
    pub namespace: &'a str,
    pub id: &'a str,
}

/// What the server holds while the process lives.
#[derive(Default)]
pub struct Held {
    /// The writing end of standard input. While it is open, the process does not see an end when a client leaves.
    stdin: Option<OwnedFd>,
    pub terminal: Option<Terminal>,
    logger: Option<logger::Logger>,
}

/// The process's ends, and what the server holds. With a terminal, the process has nothing before that is made.
pub struct Opened {
    pub ends: [OwnedFd; 3],
    pub held: Held,
    /// Where the terminal is copied, if there is one: from and to.
    pub copied: Option<(OwnedFd, OwnedFd)>,
}

/// Blocks until a logging program is ready.
pub fn open_all(streams: &Streams, owner: &Owner, reaper: &Reaper) -> Result<Opened> {
    let mut held = Held::default();
    let stdin = open_input(&streams.stdin, &mut held)?;
    let (stdout, stderr) = match streams.stdout.split_once("://") {
        Some(("binary", _)) => {
            let (logger, stdout, stderr) = logger::start(&streams.stdout, owner, reaper)?;
            held.logger = Some(logger);
            (stdout, stderr)
        }
        _ => (open_output(&streams.stdout)?, open_output(&streams.stderr)?),
    };
    if streams.terminal {
        let ends = [null()?, null()?, null()?];
        return Ok(Opened { ends, held, copied: Some((stdin, stdout)) });
    }
    // The server opened without waiting; the process wants to wait.
    for end in [&stdin, &stdout, &stderr] {
        let flags = fcntl_getfl(end).context("a standard stream")?;
        fcntl_setfl(end, flags - OFlags::NONBLOCK).context("a standard stream")?;
    }
    Ok(Opened { ends: [stdin, stdout, stderr], held, copied: None })
}

/// The same ends once more.
pub fn again(ends: &[OwnedFd; 3]) -> Result<[OwnedFd; 3]> {
    let one = |end: &OwnedFd| end.try_clone().context("a standard stream");
    let [stdin, stdout, stderr] = ends;
    Ok([one(stdin)?, one(stdout)?, one(stderr)?])
}

fn null() -> Result<OwnedFd> {
    open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("cannot open /dev/null")
}

fn open_input(name: &str, held: &mut Held) -> Result<OwnedFd> {
    if name.is_empty() {
        return null();
    }
    let path = path(name)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let input = open(path, flags, Mode::empty()).context(format!("cannot open standard input {name}"))?;
    // There is a reader now, so that this does not wait either. What is no FIFO needs no writer.
    held.stdin = open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok();
    Ok(input)
}

fn open_output(name: &str) -> Result<OwnedFd> {
    if name.is_empty() {
        return null();
    }
    let flags = match name.split_once("://") {
        Some(("file", _)) => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC,
        _ => OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::CLOEXEC,
    };
    open(path(name)?, flags, Mode::from_raw_mode(0o644)).context(format!("cannot open the stream {name}"))
}

fn path(name: &str) -> Result<&Path> {
    match name.split_once("://") {
        None => Ok(Path::new(name)),
        Some(("file" | "fifo", path)) => Ok(Path::new(path)),
        Some((scheme, _)) => {
            Err(Fail::invalid(format!("streams of the kind {scheme}:// are not supported here")))
        }
    }
}

impl Held {
    /// `CloseIO`: once the clients have closed their ends too, the process sees the end of its input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// After the process's end: what it has said is on its way to containerd.
    pub async fn finish(self) {
        if let Some(terminal) = self.terminal {
            terminal.finish().await;
        }
        if let Some(logger) = self.logger {
            logger.finish().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mkfifoat};
    use std::fs::File;
    use std::io::{Read, Write};

    fn open_with(stdin: &Path, stdout: &str) -> Opened {
        let streams = Streams {
            stdin: stdin.to_str().unwrap().to_owned(),
            stdout: stdout.to_owned(),
            ..Streams::default()
        };
        open_all(&streams, &Owner { namespace: "n", id: "i" }, &Reaper::default()).unwrap()
    }

    #[test]
    fn fifos_wait_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let [stdin, stdout] = ["in", "out"].map(|name| dir.path().join(name));
        for fifo in [&stdin, &stdout] {
            mkfifoat(CWD, fifo, Mode::RWXU).unwrap();
        }
        let mut opened = open_with(&stdin, stdout.to_str().unwrap());
        let [input, output, _] = opened.ends;
        // Nobody reads yet, and this is no error.
        File::from(output).write_all(b"said").unwrap();

        // A client that leaves is no end of the input; after `CloseIO` it is.
        let mut client = File::options().write(true).open(&stdin).unwrap();
        client.write_all(b"heard").unwrap();
        drop(client);
        let mut input = File::from(input);
        let mut heard = [0; 5];
        input.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"heard");
        opened.held.close_stdin();
        assert_eq!(input.read(&mut heard).unwrap(), 0);
    }

    #[test]
    fn a_file_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        for line in ["one\n", "two\n"] {
            let opened = open_with(Path::new(""), &format!("file://{}", log.display()));
            let [_, output, _] = opened.ends;
            File::from(output).write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn other_kinds_are_refused() {
        let streams = Streams { stdout: "http://x/".to_owned(), ..Streams::default() };
        assert!(open_all(&streams, &Owner { namespace: "n", id: "i" }, &Reaper::default()).is_err());
        assert!(open_output("/no/such/fifo").is_err());
    }
}
