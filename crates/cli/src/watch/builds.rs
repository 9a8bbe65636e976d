//! Builds while watching: at most one of a component at a time, and one more if something changed meanwhile.

use super::Message;
use crate::build::{BuildError, Captured, run_build};
use sampan_app::Component;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Builds of different components that run at once. Most compilers use all processors themselves.
const RUNNING_MAX: usize = 2;

/// The process of a build that runs, so that it can be ended.
type Process = Arc<Mutex<Running>>;

#[derive(Default)]
struct Running {
    process: Option<u32>,
    /// Nothing more is to be started.
    stopped: bool,
}

/// Where one component is.
enum State {
    /// In the queue.
    Waiting,
    Running {
        process: Process,
        again: bool,
    },
}

pub struct Builds {
    states: BTreeMap<String, State>,
    queue: VecDeque<Component>,
    done: Sender<Message>,
}

impl Builds {
    pub fn new(done: Sender<Message>) -> Builds {
        Builds { states: BTreeMap::new(), queue: VecDeque::new(), done }
    }

    /// Whether the component's wasm file may be in the making.
    pub fn is_running(&self, name: &str) -> bool {
        matches!(self.states.get(name), Some(State::Running { .. }))
    }

    /// Asks for a build; returns the components whose builds begin now.
    pub fn request(&mut self, component: &Component) -> Vec<String> {
        match self.states.get_mut(&component.name) {
            Some(State::Running { again, .. }) => *again = true,
            Some(State::Waiting) => {}
            None => {
                self.states.insert(component.name.clone(), State::Waiting);
                self.queue.push_back(component.clone());
            }
        }
        self.start()
    }

    /// A build has ended. `true`: something changed meanwhile, and it is to be asked for again.
    pub fn ended(&mut self, name: &str) -> bool {
        matches!(self.states.remove(name), Some(State::Running { again: true, .. }))
    }

    /// Starts what may run; returns the components.
    pub fn start(&mut self) -> Vec<String> {
        let mut begun = Vec::new();
        let running = |states: &BTreeMap<String, State>| {
            states.values().filter(|state| matches!(state, State::Running { .. })).count()
        };
        while running(&self.states) < RUNNING_MAX {
            let Some(component) = self.queue.pop_front() else { break };
            let process = Process::default();
            let name = component.name.clone();
            self.states.insert(name.clone(), State::Running { process: process.clone(), again: false });
            begun.push(name);
            let done = self.done.clone();
            thread::spawn(move || {
                let result = run(&component, &process);
                // Nobody listens any more when watching has ended.
                let _ = done.send(Message::Built(component.name, result));
            });
        }
        begun
    }
}

impl Drop for Builds {
    /// Ends what runs: its output would go nowhere.
    fn drop(&mut self) {
        for state in self.states.values() {
            if let State::Running { process, .. } = state {
                let mut running = process.lock().unwrap_or_else(PoisonError::into_inner);
                running.stopped = true;
                kill(running.process);
            }
        }
    }
}

fn run(component: &Component, process: &Process) -> Result<(), BuildError> {
    let Some(build) = &component.build else { return Ok(()) };
    let started = |id: Option<u32>| {
        let mut running = process.lock().unwrap_or_else(PoisonError::into_inner);
        running.process = id;
        if running.stopped {
            kill(id);
        }
    };
    run_build(component, build, &mut Captured { output: Vec::new(), started })
}

/// Ends a build's shell and what it started.
fn kill(process: Option<u32>) {
    let id = process.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::TERM);
    }
}
