//! Second guests: other programs of the image beside the first, with the same grants (`exec`).

use super::control::Connection;
use super::guest::{self, Ended, Wanted};
use super::output::Output;
use super::{Event, Supervisor};
use crate::record::{self, Status};
use crate::wire::{Answer, Streams};
use oci_spec::runtime::Process;
use rustix::process::Signal;
use std::fs;
use std::sync::Arc;

/// At once, in one container.
const SECONDS_MAX: usize = 64;

impl Supervisor {
    pub(super) fn start_second(
        &mut self,
        connection: Connection,
        id: &str,
        process: &Process,
        streams: Streams,
    ) {
        let refused = match self.state.status {
            Status::Running => None,
            Status::Paused => Some("is paused"),
            _ => Some("is not running"),
        };
        if let Some(is) = refused {
            return connection.answer(&Answer::Conflict(is.to_owned()));
        }
        let known = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !known || self.seconds.contains_key(id) || self.seconds.len() >= SECONDS_MAX {
            let why = format!("more than {SECONDS_MAX} programs beside the first, or a wrong id");
            return connection.answer(&Answer::Failed(why));
        }
        let name = format!("exec-{id}.json");
        let path = self.container.path(&name);
        if let Err(error) = record::write(&path, process) {
            return connection.answer(&Answer::Failed(error.to_string()));
        }
        let output = Arc::new(Output::without_log());
        let tty = process.terminal().unwrap_or_default();
        let folder = self.container.folder().to_owned();
        let wanted = Wanted { folder: &folder, arguments: &["--process", &name], tty, stdin: streams.stdin };
        let (events, own, told) = (self.events.clone(), id.to_owned(), Arc::clone(&output));
        let spawned = guest::spawn(&wanted, &output, move |status| {
            told.end(status.code);
            // The supervisor may have ended.
            let _ = events.send(Event::SecondEnded { id: own, status });
        });
        match spawned {
            Ok(running) => {
                if let Some(cgroup) = &self.cgroup {
                    cgroup.add(running.pid);
                }
                connection.attach(running.pid, &output, streams);
                self.state.seconds.insert(id.to_owned(), running.pid);
                self.seconds.insert(id.to_owned(), running);
                self.write_state();
                let command = process.args().iter().flatten().cloned().collect::<Vec<_>>().join(" ");
                self.tell(&format!("exec_create: {command}"), &[("execID", id)]);
                self.tell(&format!("exec_start: {command}"), &[("execID", id)]);
            }
            Err(error) => {
                let _ = fs::remove_file(path);
                connection.answer(&Answer::Failed(error.to_string()));
            }
        }
    }

    pub(super) fn second_ended(&mut self, id: &str, status: &Ended) {
        self.seconds.remove(id);
        self.state.seconds.remove(id);
        let _ = fs::remove_file(self.container.path(&format!("exec-{id}.json")));
        self.write_state();
        self.tell("exec_die", &[("execID", id), ("exitCode", &status.code.to_string())]);
    }

    /// With the first guest, the others end.
    pub(super) fn kill_seconds(&mut self) {
        self.seconds.values().for_each(|second| second.signal(Signal::KILL));
    }
}
