//! What can be done with a container from another process: what needs its supervisor goes over that one's
//! socket, and a supervisor is started where there is none.

use crate::Error;
use crate::folder::{Container, Containers};
use crate::record::{Restart, State, Status};
use crate::wire::{Answer, Attached, Request, Streams};
use crate::{bundle, follow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The hidden verb of the supervisor: its argument is the container's folder.
pub const SUPERVISE: &str = "__supervise";
/// A supervisor that is about to end makes room for the next.
const TRIES: usize = 200;

/// A program to be run beside a container's own.
#[derive(Clone, Debug, Default)]
pub struct Second {
    pub args: Vec<String>,
    /// `NAME=VALUE`, beside the container's.
    pub env: Vec<String>,
    /// Empty: the container's.
    pub workdir: String,
    pub tty: bool,
    pub streams: Streams,
}

impl Container {
    /// Starts the guest, unless it runs.
    ///
    /// # Errors
    /// If it cannot be started: a port is taken, say.
    pub fn start(&self) -> Result<(), Error> {
        match self.ask_or_supervise(&Request::Start)? {
            (Answer::Done, _) => Ok(()),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    /// Attaches to the output, and to the input, of the present guest, or of the one that is started next.
    ///
    /// # Errors
    /// If that cannot be.
    pub fn attach(&self, streams: Streams) -> Result<Attached, Error> {
        match self.ask_or_supervise(&Request::Attach(streams))? {
            (Answer::Attached { pid }, stream) => Ok(Attached { pid, stream }),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    /// Runs another program of the image beside the first.
    ///
    /// # Errors
    /// If the container does not run.
    pub fn exec(&self, id: &str, second: &Second) -> Result<Attached, Error> {
        let Second { args, env, workdir, tty, streams } = second;
        let process = bundle::second(&self.spec()?, args.clone(), env, workdir, *tty)?;
        let request = Request::Exec { id: id.to_owned(), process: Box::new(process), streams: *streams };
        match self.ask_live(&request)? {
            (Answer::Attached { pid }, stream) => Ok(Attached { pid, stream }),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        self.ask_done(&Request::Signal(signal))
    }

    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<(), Error> {
        self.ask_done(&Request::Pause)
    }

    /// # Errors
    /// If it is not paused.
    pub fn resume(&self) -> Result<(), Error> {
        self.ask_done(&Request::Resume)
    }

    /// # Errors
    /// If it has no terminal.
    pub fn resize(&self, exec: Option<&str>, rows: u16, columns: u16) -> Result<(), Error> {
        self.ask_done(&Request::Resize { exec: exec.map(str::to_owned), rows, columns })
    }

    /// Asks the guest to end, kills it after a while, and waits for the end. One that does not run is left alone.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub fn stop(&self, signal: Option<i32>, timeout_ms: Option<u64>) -> Result<(), Error> {
        match self.ask(&Request::Stop { signal, timeout_ms })? {
            Some((Answer::Exited(_), _)) => {}
            None => return self.wait_for_supervisor(),
            Some((other, _)) => return Err(self.unexpected(other)),
        }
        self.wait_for_supervisor()?;
        // One that is removed at its end is gone now.
        if let Ok(config) = self.config() {
            Containers::of(self).tell(self, &config, "stop", &[]);
        }
        Ok(())
    }

    /// Waits until the guest has ended and is not started again by itself; its exit code.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub fn wait(&self) -> Result<i32, Error> {
        loop {
            match self.ask(&Request::Wait)? {
                Some((Answer::Exited(code), _)) => return Ok(code),
                Some((other, _)) => return Err(self.unexpected(other)),
                None => {}
            }
            // It does not run, or ended just now, or its supervisor was killed, whose lock may outlive its socket for a
            // moment: what it was is written down.
            self.wait_for_supervisor()?;
            let state = self.state()?;
            if !state.status.is_live() {
                return Ok(state.exit_code);
            }
        }
    }

    /// # Errors
    /// If the record cannot be written.
    pub fn set_restart(&self, restart: Restart) -> Result<(), Error> {
        match self.ask(&Request::SetRestart(restart))? {
            Some((Answer::Done, _)) => Ok(()),
            Some((other, _)) => Err(self.unexpected(other)),
            None => {
                let mut config = self.config()?;
                config.restart = restart;
                self.set_config(&config)
            }
        }
    }

    fn ask_done(&self, request: &Request) -> Result<(), Error> {
        match self.ask_live(request)? {
            (Answer::Done, _) => Ok(()),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    fn ask_live(&self, request: &Request) -> Result<(Answer, std::os::unix::net::UnixStream), Error> {
        let is_not = || Error::State { name: self.name(), is: "is not running" };
        self.ask(request)?.ok_or_else(is_not)
    }

    fn ask_or_supervise(&self, request: &Request) -> Result<(Answer, std::os::unix::net::UnixStream), Error> {
        for _ in 0..TRIES {
            if let Some(answered) = self.ask(request)? {
                return Ok(answered);
            }
            // Nobody is there, or about to come or to go.
            if !self.wait_for_change_of_supervisor()? {
                self.supervise()?;
            }
        }
        Err(Error::Supervisor("the supervisor does not stay".to_owned()))
    }

    /// Until a supervisor listens (true), or none has the container (false).
    fn wait_for_change_of_supervisor(&self) -> Result<bool, Error> {
        let changes = follow::changes(&self.folder, follow::NAMES)?;
        // That the lock is free again is told by nobody.
        let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        loop {
            if self.try_lock()?.is_some() {
                return Ok(false);
            }
            if self.connect()?.is_some() {
                return Ok(true);
            }
            let mut fds = [PollFd::new(&changes, PollFlags::IN)];
            // Whatever it says, the next look tells.
            let _ = poll(&mut fds, Some(&pause));
            follow::forget(&changes);
        }
    }

    /// Waits until no supervisor has the container: it has ended then, and is gone if it is removed at its end.
    ///
    /// # Errors
    /// If its lock cannot be waited for.
    pub fn wait_for_supervisor(&self) -> Result<(), Error> {
        let path = self.path("lock");
        let Ok(file) = File::open(&path) else { return Ok(()) };
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared)
            .map_err(|error| Error::File { path, error: error.into() })
    }

    /// Starts a supervisor, which waits to be told to start the guest.
    fn supervise(&self) -> Result<(), Error> {
        let log = self.path("supervisor.log");
        let errors = File::create(&log).map_err(Error::file(&log))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg(SUPERVISE).arg(&self.folder).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let failed = |error: std::io::Error| Error::Supervisor(format!("cannot start a supervisor: {error}"));
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        if line.starts_with("ready") {
            // It is nobody's child when this process ends; until then, somebody must take its end.
            std::thread::spawn(move || child.wait());
            return Ok(());
        }
        let _ = child.wait();
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        // Another process was faster: that one's supervisor is there.
        if self.connect()?.is_some() {
            return Ok(());
        }
        Err(Error::Supervisor(format!("the supervisor ended at once: {}", said.trim())))
    }

    fn unexpected(&self, answer: Answer) -> Error {
        match answer {
            Answer::Conflict(is) => Error::Invalid(format!("the container {} {is}", self.name())),
            Answer::Failed(why) => Error::Supervisor(why),
            other => Error::Supervisor(format!("the supervisor answers {other:?}")),
        }
    }

    /// For messages.
    pub fn name(&self) -> String {
        self.config().map_or_else(|_| self.short_id().to_owned(), |config| config.name)
    }
}

impl Containers {
    /// Removes a container, if it runs or not.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_by_force(&self, container: &Container, volumes: bool) -> Result<(), Error> {
        container.stop(Some(9), Some(0))?;
        if !container.folder.exists() {
            return Ok(());
        }
        match self.remove(container, volumes) {
            // Nothing else can be done with what nobody can read.
            Err(Error::Damaged { .. }) => self.discard(container),
            other => other,
        }
    }
}

impl State {
    /// As `docker ps` says it: `Up 5 minutes (Paused)`, `Exited (0) 2 hours ago`.
    pub fn text(&self, now: chrono::DateTime<chrono::Utc>) -> String {
        let since = |time: Option<chrono::DateTime<chrono::Utc>>| {
            time.map_or_else(String::new, |time| {
                crate::text::duration((now - time).to_std().unwrap_or_default())
            })
        };
        match self.status {
            Status::Created => "Created".to_owned(),
            Status::Removing => "Removal In Progress".to_owned(),
            Status::Running => format!("Up {}", since(self.started_at)),
            Status::Paused => format!("Up {} (Paused)", since(self.started_at)),
            Status::Restarting => format!("Restarting ({}) {} ago", self.exit_code, since(self.finished_at)),
            Status::Exited => format!("Exited ({}) {} ago", self.exit_code, since(self.finished_at)),
        }
    }
}
