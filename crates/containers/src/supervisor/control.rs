//! The socket: who asks, and what is answered.

use super::signal::named;
use super::{Event, STOP_TIMEOUT_MS, Supervisor, after};
use crate::record::Status;
use crate::wire::{Answer, LINE_MAX_BYTES, Request, Streams};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Clients at once; more wait.
const CLIENTS_MAX: usize = 512;
/// For the request.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// A request, and who asked.
pub struct Asked {
    pub request: Request,
    pub connection: Connection,
}

pub struct Connection {
    stream: UnixStream,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Answers, and closes. The line is short, and the only one that is written: the socket has room for it.
    pub fn answer(self, answer: &Answer) {
        // Who asked may be gone.
        let _ = self.stream.try_write(&line(answer));
    }

    /// Whether somebody still waits.
    fn is_open(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        !matches!(read, Ok(0)) && !matches!(&read, Err(error) if error.kind() != io::ErrorKind::WouldBlock)
    }

    /// What is attached once the answer is out.
    pub fn attach(self, pid: u32, output: &Arc<super::Output>, streams: Streams) {
        let line = line(&Answer::Attached { pid });
        let Connection { stream, permit } = self;
        if stream.try_write(&line).is_ok_and(|count| count == line.len()) {
            output.join(stream, streams);
        }
        drop(permit);
    }
}

fn line(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Listens at a path that may be longer than addresses of sockets: it is reached through its folder.
pub fn listen(path: &Path, events: UnboundedSender<Event>) -> io::Result<()> {
    let folder = File::open(path.parent().unwrap_or(Path::new(".")))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()))?;
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else { continue };
            let events = events.clone();
            tokio::spawn(async move {
                if let Ok(Some(asked)) = tokio::time::timeout(ASK_WITHIN, read(stream, permit)).await {
                    // The supervisor may have ended.
                    let _ = events.send(Event::Asked(asked));
                }
            });
        }
    });
    Ok(())
}

async fn read(mut stream: UnixStream, permit: OwnedSemaphorePermit) -> Option<Asked> {
    let mut line = Vec::new();
    // Byte by byte, so that nothing of what follows is taken.
    let reading =
        BufReader::with_capacity(1, (&mut stream).take(LINE_MAX_BYTES)).read_until(b'\n', &mut line).await;
    reading.ok()?;
    let connection = Connection { stream, permit };
    match serde_json::from_slice(&line) {
        Ok(request) => Some(Asked { request, connection }),
        Err(error) => {
            connection.answer(&Answer::Failed(format!("the request makes no sense: {error}")));
            None
        }
    }
}

impl Supervisor {
    pub(super) fn asked(&mut self, asked: Asked) {
        let Asked { request, connection } = asked;
        match request {
            Request::Start => self.asked_to_start(connection),
            Request::Signal(number) => connection.answer(&self.asked_to_signal(number)),
            Request::Stop { signal, timeout_ms } => self.asked_to_stop(connection, signal, timeout_ms),
            Request::Pause => connection.answer(&self.asked_to_pause()),
            Request::Resume => connection.answer(&self.asked_to_resume()),
            Request::Wait => {
                self.waiting.retain(Connection::is_open);
                self.waiting.push(connection);
            }
            Request::Attach(streams) => {
                connection.attach(self.state.pid, &self.output, streams);
                self.tell("attach", &[]);
            }
            Request::Exec { id, process, streams } => self.start_second(connection, &id, &process, streams),
            Request::Resize { exec, rows, columns } => {
                let guest = match &exec {
                    Some(id) => self.seconds.get(id),
                    None => self.guest.as_ref(),
                };
                let terminal = guest.and_then(|guest| guest.terminal.as_ref());
                let resized = terminal.is_some_and(|terminal| terminal.resize(rows, columns).is_ok());
                let none = || Answer::Conflict("has no terminal".to_owned());
                connection.answer(&if resized { Answer::Done } else { none() });
            }
            Request::SetRestart(restart) => {
                self.config.restart = restart;
                let written = self.container.set_config(&self.config);
                let failed = |error: crate::Error| Answer::Failed(error.to_string());
                connection.answer(&written.map_or_else(failed, |()| Answer::Done));
            }
        }
    }

    fn asked_to_start(&mut self, connection: Connection) {
        if self.guest.is_some() {
            return connection.answer(&Answer::Done);
        }
        self.state.stopped_by_user = false;
        match self.start() {
            Ok(()) => connection.answer(&Answer::Done),
            Err(error) => {
                connection.answer(&Answer::Failed(error.to_string()));
                self.state.error = error.to_string();
                self.state.exit_code = 125;
                self.output.end(125);
                self.conclude();
            }
        }
    }

    fn asked_to_signal(&mut self, number: i32) -> Answer {
        let Some(signal) = named(number) else {
            return Answer::Failed(format!("{number} is no signal"));
        };
        if self.guest.is_none() {
            return Answer::Conflict("is not running".to_owned());
        }
        // It is not wanted back by who kills it.
        let is_end = signal == Signal::KILL || signal == self.stop_signal();
        self.state.stopped_by_user |= is_end;
        if is_end && self.state.status == Status::Paused {
            self.signal(Signal::CONT);
        }
        self.signal(signal);
        self.tell("kill", &[("signal", &number.to_string())]);
        Answer::Done
    }

    fn stop_signal(&self) -> Signal {
        super::signal::number(&self.config.stop_signal).and_then(named).unwrap_or(Signal::TERM)
    }

    fn asked_to_stop(&mut self, connection: Connection, signal: Option<i32>, timeout_ms: Option<u64>) {
        self.state.stopped_by_user = true;
        if self.guest.is_none() {
            // It waits for its next start, which does not come now.
            connection.answer(&Answer::Exited(self.state.exit_code));
            return self.conclude();
        }
        if self.state.status == Status::Paused {
            self.asked_to_resume();
        }
        let signal = signal.and_then(named).unwrap_or_else(|| self.stop_signal());
        self.signal(signal);
        self.tell("kill", &[("signal", &signal.as_raw().to_string())]);
        let timeout_ms = timeout_ms.or(self.config.stop_timeout_ms).unwrap_or(STOP_TIMEOUT_MS);
        after(&self.events, Duration::from_millis(timeout_ms), Event::Kill { run: self.run });
        self.stopping.push(connection);
    }

    fn asked_to_pause(&mut self) -> Answer {
        if self.state.status != Status::Running {
            return Answer::Conflict(format!("is {}", self.state.status.name()));
        }
        self.signal(Signal::STOP);
        self.seconds.values().for_each(|second| second.signal(Signal::STOP));
        self.state.status = Status::Paused;
        self.write_state();
        self.tell("pause", &[]);
        Answer::Done
    }

    fn asked_to_resume(&mut self) -> Answer {
        if self.state.status != Status::Paused {
            return Answer::Conflict("is not paused".to_owned());
        }
        self.signal(Signal::CONT);
        self.seconds.values().for_each(|second| second.signal(Signal::CONT));
        self.state.status = Status::Running;
        self.write_state();
        self.tell("unpause", &[]);
        Answer::Done
    }
}
