//! Processes that join a container (`exec`): for a guest, a second one beside the first, of the same image and with the
//! same grants.

use crate::artifact::Known;
use crate::container::{Container, Deleted, Inner, blocking};
use crate::events::timestamp;
use crate::fail::{Context, Fail, Result};
use crate::io::{self, Owner, Streams};
use crate::launch::{self, Request};
use crate::process::Process;
use crate::reaper::{Exit, Exits, exit_of};
use crate::{state, steps};
use containerd_shim_protos::api::Status;
use containerd_shim_protos::events::task;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

pub struct Exec {
    streams: Streams,
    /// A file with the process, for the helper.
    description: PathBuf,
    /// How it ended. It can be waited for before it is started.
    ended: watch::Sender<Option<Exit>>,
    /// Once it is started.
    pub process: Option<Process>,
}

/// Of one container at a time, ended ones that nobody has deleted included.
const EXECS_MAX: usize = 1024;

impl Inner {
    fn known(&self, id: &str) -> Result<&Exec> {
        self.execs.get(id).ok_or_else(|| Fail::not_found(format!("process {id} does not exist")))
    }

    /// The process that a request names; the container's first has no name.
    pub fn process(&self, exec: &str) -> Result<&Process> {
        if exec.is_empty() {
            return Ok(&self.init);
        }
        self.known(exec)?.process.as_ref().ok_or_else(|| not_started(exec))
    }

    pub fn process_mut(&mut self, exec: &str) -> Result<&mut Process> {
        if exec.is_empty() {
            return Ok(&mut self.init);
        }
        let known = self
            .execs
            .get_mut(exec)
            .ok_or_else(|| Fail::not_found(format!("process {exec} does not exist")))?;
        known.process.as_mut().ok_or_else(|| not_started(exec))
    }

    pub fn exits(&self, exec: &str) -> Result<Exits> {
        if exec.is_empty() { Ok(self.init.exits.clone()) } else { Ok(self.known(exec)?.ended.subscribe()) }
    }

    pub fn exits_of_execs(&self) -> impl Iterator<Item = Exits> {
        self.execs.values().filter_map(|exec| Some(exec.process.as_ref()?.exits.clone()))
    }

    /// Streams and state of a process that may not be started yet.
    pub fn state(&self, exec: &str) -> Result<(&Streams, Option<&Process>)> {
        if exec.is_empty() {
            return Ok((&self.init.streams, Some(&self.init)));
        }
        let known = self.known(exec)?;
        Ok((&known.streams, known.process.as_ref()))
    }
}

fn not_started(exec: &str) -> Fail {
    Fail::precondition(format!("process {exec} has not been started"))
}

impl Container {
    pub async fn add_exec(&self, id: &str, streams: Streams, description: Option<&Any>) -> Result<()> {
        state::check_name(id)?;
        let description = description.ok_or_else(|| Fail::invalid("a process without a description"))?;
        let mut inner = self.lock().await?;
        if inner.init.status(inner.status) != Status::RUNNING {
            return Err(Fail::precondition(format!("container {} does not run", self.id)));
        }
        if inner.execs.contains_key(id) {
            return Err(Fail::new(
                containerd_shim_protos::ttrpc::Code::ALREADY_EXISTS,
                format!("process {id} exists already"),
            ));
        }
        if inner.execs.len() >= EXECS_MAX {
            return Err(Fail::new(
                containerd_shim_protos::ttrpc::Code::RESOURCE_EXHAUSTED,
                format!("container {} has {EXECS_MAX} processes that nobody has deleted", self.id),
            ));
        }
        let file = self.state.join(format!("exec-{id}.json"));
        std::fs::write(&file, &description.value).context("cannot keep the process's description")?;
        let exec = Exec { streams, description: file, ended: watch::Sender::new(None), process: None };
        inner.execs.insert(id.to_owned(), exec);
        self.shared.events.publish(task::TaskExecAdded {
            container_id: self.id.clone(),
            exec_id: id.to_owned(),
            ..task::TaskExecAdded::default()
        });
        Ok(())
    }

    pub async fn start_exec(self: &Arc<Self>, id: &str) -> Result<i32> {
        let mut inner = self.lock().await?;
        let exec = inner.known(id)?;
        if exec.process.is_some() {
            return Err(Fail::precondition(format!("process {id} has been started already")));
        }
        let (streams, description) = (exec.streams.clone(), exec.description.clone());
        if inner.init.status(inner.status) != Status::RUNNING {
            return Err(Fail::precondition(format!("container {} does not run", self.id)));
        }
        let request = Request {
            id: self.id.clone(),
            state: self.state.clone(),
            bundle: self.bundle.clone(),
            rootfs: Vec::new(),
            process: Some(description),
            terminal: streams.terminal,
            systemd_cgroup: false,
            no_pivot_root: false,
            artifact: Known::Settled,
        };
        let process = self.launch(request, streams, id).await?;
        let pid = process.pid;
        tokio::spawn(self.clone().watch_exec(id.to_owned(), process.exits.clone()));
        if let Some(exec) = inner.execs.get_mut(id) {
            exec.process = Some(process);
        }
        self.shared.events.publish(task::TaskExecStarted {
            container_id: self.id.clone(),
            exec_id: id.to_owned(),
            pid: pid as u32,
            ..task::TaskExecStarted::default()
        });
        Ok(pid)
    }

    async fn launch(&self, request: Request, streams: Streams, id: &str) -> Result<Process> {
        let (shared, id) = (self.shared.clone(), id.to_owned());
        let (mut launched, held, copied, streams) = blocking(move || {
            let owner = Owner { namespace: &shared.namespace, id: &id };
            let opened = io::open_all(&streams, &owner, &shared.reaper)?;
            let launched = launch::launch(&shared.reaper, &request, opened.ends)?;
            let launched =
                launched.ok_or_else(|| Fail::internal("cannot run the process", "its entry is missing"))?;
            Ok((launched, opened.held, opened.copied, streams))
        })
        .await?;
        steps::trace(std::mem::take(&mut launched.steps));
        Process::of(launched, held, streams, copied)
    }

    async fn watch_exec(self: Arc<Self>, id: String, exits: Exits) {
        let exit = exit_of(exits).await;
        if let Some(exec) = self.inner.lock().await.execs.get_mut(&id) {
            self.announce_exit(&id, exec.process.as_mut());
            exec.ended.send_replace(Some(exit));
        }
    }

    pub async fn delete_exec(&self, id: &str) -> Result<Deleted> {
        let mut inner = self.lock().await?;
        inner.known(id)?;
        let deleted = match inner.process_mut(id) {
            // It never ran.
            Err(_) => Deleted { pid: 0, exit: Exit { status: 0, at: std::time::SystemTime::now() } },
            Ok(process) => {
                let exit = process.exit();
                let exit =
                    exit.ok_or_else(|| Fail::precondition(format!("process {id} is still running")))?;
                self.announce_exit(id, Some(&mut *process));
                std::mem::take(&mut process.held).finish().await;
                Deleted { pid: process.pid, exit }
            }
        };
        inner.execs.remove(id);
        // It is small, and the container's folder goes as a whole.
        let _ = std::fs::remove_file(self.state.join(format!("exec-{id}.json")));
        self.shared.events.publish(task::TaskDelete {
            container_id: self.id.clone(),
            id: id.to_owned(),
            pid: deleted.pid as u32,
            exit_status: deleted.exit.status,
            exited_at: timestamp(deleted.exit.at),
            ..task::TaskDelete::default()
        });
        Ok(deleted)
    }
}
