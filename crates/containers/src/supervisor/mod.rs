//! The supervisor: one process for each container that runs. It holds the container's lock, starts the guest in a
//! process of its own, keeps what that writes, answers at a socket, and ends with the guest. Nothing else has to live
//! for a container to live.

mod control;
mod guest;
mod output;
mod second;
mod signal;
mod terminal;

pub use guest::VERB as GUEST;
pub use signal::{name as signal_name, number as signal_number};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::folder::{Container, Containers};
use crate::record::{Config, Port, Restart, State, Status};
use crate::wire::Answer;
use chrono::Utc;
use control::{Asked, Connection};
use guest::Running;
use output::Output;
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Nobody has asked for the guest to be started: the supervisor was for nothing.
const START_WITHIN: Duration = Duration::from_secs(60);
/// As Docker has it.
const STOP_TIMEOUT_MS: u64 = 10_000;
/// Before the first restart; doubled with each, up to the longest.
const RESTART_AFTER: Duration = Duration::from_millis(100);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(60);
/// A guest that ran for so long is well: the wait begins anew.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// Clients that read slowly have so long for the last of the output.
const FAREWELL: Duration = Duration::from_secs(10);

/// Whoever looks whether the lock is free has it for a moment.
const LOCK_TRIES: usize = 3;
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What happens to a supervisor.
enum Event {
    Asked(Asked),
    /// The guest ended, and all that it wrote was taken.
    Ended {
        run: u64,
        status: guest::Ended,
    },
    /// A second guest ended.
    SecondEnded {
        id: String,
        status: guest::Ended,
    },
    /// The time to end by itself is over.
    Kill {
        run: u64,
    },
    StartAgain {
        run: u64,
    },
    /// Nobody came.
    Alone,
}

struct Supervisor {
    containers: Containers,
    container: Container,
    config: Config,
    state: State,
    events: UnboundedSender<Event>,
    guest: Option<Running>,
    /// Counts starts: what was meant for one must not reach the next.
    run: u64,
    output: Arc<Output>,
    cgroup: Option<Cgroup>,
    /// Who waits for the end.
    waiting: Vec<Connection>,
    /// Who waits for the end that was asked for.
    stopping: Vec<Connection>,
    seconds: HashMap<String, Running>,
    restarts_in_a_row: u32,
    started: Instant,
    over: bool,
}

/// Supervises the container in a folder until its guest has ended. Tells on standard output, by one line, that it listens.
///
/// # Errors
/// If the container is gone, or has a supervisor.
pub fn supervise(folder: &Path) -> Result<(), Error> {
    let data = folder.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let containers = Containers::at(data)?;
    let id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let container = containers.container(id.to_owned());
    let config = container.config()?;
    let mut held = container.try_lock()?;
    for _ in 0..LOCK_TRIES {
        if held.is_none() {
            std::thread::sleep(LOCK_AGAIN_AFTER);
            held = container.try_lock()?;
        }
    }
    let Some(_held) = held else {
        return Err(Error::State { name: config.name, is: "has a supervisor" });
    };
    // Not of the terminal that it was started from.
    let _ = rustix::process::setsid();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::file(folder))?;
    let auto_remove = runtime.block_on(live(containers.clone(), container.clone(), config))?;
    drop(runtime);
    // Whoever waits for this process finds the container gone.
    if auto_remove { containers.remove_held(&container, true) } else { Ok(()) }
}

async fn live(containers: Containers, container: Container, config: Config) -> Result<bool, Error> {
    let (events, mut happens) = unbounded_channel();
    let socket = container.path("control.sock");
    control::listen(&socket, events.clone()).map_err(Error::file(&socket))?;
    let mut state = container.state_as_written()?;
    if state.status.is_live() {
        // Whoever supervised it before was killed.
        state.status = Status::Exited;
    }
    state.supervisor = std::process::id();
    state.stopped_by_user = false;
    container.set_state(&state)?;
    let output = Arc::new(Output::open(&container, &config).map_err(Error::file(&container.log_path()))?);
    let mut supervisor = Supervisor {
        containers,
        container,
        config,
        state,
        events: events.clone(),
        guest: None,
        run: 0,
        output,
        cgroup: None,
        waiting: Vec::new(),
        stopping: Vec::new(),
        seconds: HashMap::new(),
        restarts_in_a_row: 0,
        started: Instant::now(),
        over: false,
    };
    after(&events, START_WITHIN, Event::Alone);
    // Whoever started this process waits for it.
    let _ = std::io::stdout().write_all(b"ready\n").and_then(|()| std::io::stdout().flush());
    while let Some(event) = happens.recv().await {
        supervisor.take(event);
        if supervisor.over {
            break;
        }
    }
    // From now on nobody finds us; who was here before is answered.
    let _ = fs::remove_file(&socket);
    while let Ok(event) = happens.try_recv() {
        if let Event::Asked(asked) = event {
            asked.connection.answer(&Answer::Exited(supervisor.state.exit_code));
        }
    }
    let output = Arc::clone(&supervisor.output);
    let _ = tokio::time::timeout(FAREWELL, output.finish()).await;
    Ok(supervisor.config.auto_remove)
}

fn after(events: &UnboundedSender<Event>, time: Duration, event: Event) {
    let events = events.clone();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        // The supervisor may have ended.
        let _ = events.send(event);
    });
}

impl Supervisor {
    fn take(&mut self, event: Event) {
        match event {
            Event::Asked(asked) => self.asked(asked),
            Event::Ended { run, status } if run == self.run => self.ended(&status),
            Event::Ended { .. } => {}
            Event::SecondEnded { id, status } => self.second_ended(&id, &status),
            Event::Kill { run } if run == self.run => self.signal(Signal::KILL),
            Event::Kill { .. } => {}
            Event::StartAgain { run } => {
                if run == self.run && self.state.status == Status::Restarting {
                    self.start_again();
                }
            }
            Event::Alone => self.over = self.run == 0 && self.output.is_alone(),
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        let ports = chosen(&self.config.ports)?;
        self.container.set_ports(&ports)?;
        self.empty_temporary()?;
        self.run += 1;
        self.output.begin();
        let running = guest::start(&self.container, &self.config, &self.output, self.run, &self.events)?;
        self.cgroup = Cgroup::join(&self.container.id, &self.config, running.pid);
        self.state = State {
            status: Status::Running,
            pid: running.pid,
            supervisor: std::process::id(),
            created_at: self.state.created_at,
            started_at: Some(Utc::now()),
            finished_at: self.state.finished_at,
            restarts: self.state.restarts,
            ports,
            ..State::default()
        };
        self.guest = Some(running);
        self.started = Instant::now();
        self.container.set_state(&self.state)?;
        self.tell("start", &[]);
        Ok(())
    }

    fn start_again(&mut self) {
        self.state.restarts += 1;
        if let Err(error) = self.start() {
            self.state.error = error.to_string();
            self.state.exit_code = 125;
            self.conclude();
        }
    }

    fn ended(&mut self, status: &guest::Ended) {
        self.guest = None;
        self.state.pid = 0;
        self.state.exit_code = status.code;
        self.state.error.clone_from(&status.error);
        self.state.finished_at = Some(Utc::now());
        self.state.oom_killed = self.cgroup.as_ref().is_some_and(Cgroup::ran_out_of_memory);
        self.kill_seconds();
        self.cgroup = None;
        if self.state.oom_killed {
            self.tell("oom", &[]);
        }
        self.tell("die", &[("exitCode", &status.code.to_string())]);
        self.output.end(status.code);
        match self.restart_after() {
            Some(time) => {
                self.state.status = Status::Restarting;
                self.write_state();
                after(&self.events, time, Event::StartAgain { run: self.run });
            }
            None => self.conclude(),
        }
    }

    /// Whether the guest is to be started again, and when.
    fn restart_after(&mut self) -> Option<Duration> {
        if self.state.stopped_by_user {
            return None;
        }
        if self.started.elapsed() >= WELL_AFTER {
            self.restarts_in_a_row = 0;
        }
        let again = match self.config.restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => true,
            Restart::OnFailure(most) => {
                self.state.exit_code != 0 && (most == 0 || self.restarts_in_a_row < most)
            }
        };
        let wait = RESTART_AFTER.saturating_mul(1 << self.restarts_in_a_row.min(16)).min(RESTART_AFTER_MAX);
        self.restarts_in_a_row += 1;
        again.then_some(wait)
    }

    /// The end: it is written down, then told.
    fn conclude(&mut self) {
        self.state.status = Status::Exited;
        self.write_state();
        self.over = true;
        for connection in self.waiting.drain(..).chain(self.stopping.drain(..)) {
            connection.answer(&Answer::Exited(self.state.exit_code));
        }
    }

    /// Where the disk is full, what was written before stays; the lock says the rest.
    fn write_state(&self) {
        if let Err(error) = self.container.set_state(&self.state) {
            crate::complain(&error);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(guest) = &self.guest {
            guest.signal(signal);
        }
    }

    fn tell(&self, action: &str, more: &[(&str, &str)]) {
        self.containers.tell(&self.container, &self.config, action, more);
    }

    fn empty_temporary(&self) -> Result<(), Error> {
        let folder = self.container.path("tmp");
        let _ = fs::remove_dir_all(&folder);
        for mount in &self.config.mounts {
            let path = crate::bundle::source(mount, self.container.folder(), &self.containers.volumes())?;
            if path.starts_with(&folder) {
                fs::create_dir_all(&path).map_err(Error::file(&path))?;
            }
        }
        Ok(())
    }
}

/// Ports that were left open are chosen now, so that they can be told.
fn chosen(ports: &[Port]) -> Result<Vec<Port>, Error> {
    let choose = |port: &Port| {
        let mut port = port.clone();
        if port.host_port == 0 {
            let address = (port.host_address, 0);
            let bound = if port.udp {
                std::net::UdpSocket::bind(address).and_then(|socket| socket.local_addr())
            } else {
                std::net::TcpListener::bind(address).and_then(|listener| listener.local_addr())
            };
            let bound = bound.map_err(|error| Error::Invalid(format!("no port is free: {error}")))?;
            port.host_port = bound.port();
        }
        Ok(port)
    };
    ports.iter().map(choose).collect()
}
