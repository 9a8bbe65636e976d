//! What takes time while a container's process is made, measured where it is done: in the helper, which tells the server.

use sampan_telemetry::traces;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    name: String,
    began_ns: u64,
    ended_ns: u64,
}

/// The time now, in the form that goes from one process to the next.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Ends now.
pub fn step(name: &str, began_ns: u64) -> Step {
    Step { name: name.to_owned(), began_ns, ended_ns: now_ns() }
}

/// As parts of the call that is being answered.
pub fn trace(steps: Vec<Step>) {
    let at = |ns| UNIX_EPOCH + Duration::from_nanos(ns);
    for step in steps {
        traces::step(step.name, at(step.began_ns), at(step.ended_ns));
    }
}
