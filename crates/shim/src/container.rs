//! One container: its first process, those that joined it, and what containerd does to them.
//!
//! Whatever changes a container holds its lock, and announces what it did before it lets go of it. So events come in the
//! order in which things happened, also that of a process that ends at once: its exit waits for its start.

use crate::Guests;
use crate::cgroup::Cgroup;
use crate::events::{Publisher, timestamp};
use crate::execs::Exec;
use crate::fail::{Context, Fail, Result};
use crate::hooks::{self, Subject};
use crate::process::{self, Process};
use crate::reaper::{Exit, Reaper, exit_of};
use crate::{mounts, resources, state, stats};
use containerd_shim_protos::api::Status;
use containerd_shim_protos::events::task;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use libcontainer::container::Container as Runtime;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// What all containers of a shim share.
pub struct Shared {
    pub namespace: String,
    /// Of containerd's gRPC socket.
    pub address: String,
    pub guests: Guests,
    pub events: Publisher,
    pub reaper: Reaper,
}

pub struct Container {
    pub id: String,
    pub bundle: PathBuf,
    /// Its folder (`state.rs`).
    pub state: PathBuf,
    pub cgroup: Cgroup,
    /// All processes die with the first.
    pub has_own_pids: bool,
    pub shared: Arc<Shared>,
    pub inner: Mutex<Inner>,
}

pub struct Inner {
    pub init: Process,
    /// While the first process lives.
    pub status: Status,
    pub execs: HashMap<String, Exec>,
    pub is_deleted: bool,
}

/// How something ended that is now forgotten.
pub struct Deleted {
    pub pid: i32,
    pub exit: Exit,
}

impl Container {
    pub async fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().await;
        if inner.is_deleted { Err(self.missing()) } else { Ok(inner) }
    }

    fn missing(&self) -> Fail {
        Fail::not_found(format!("container {} does not exist", self.id))
    }

    /// libcontainer's folder of this container.
    fn runtime_folder(&self) -> PathBuf {
        self.state.join(&self.id)
    }

    /// Does something with libcontainer's view of the container, on a thread that may block.
    async fn with_runtime<T: Send + 'static>(
        &self,
        what: &'static str,
        act: impl FnOnce(&mut Runtime) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = self.runtime_folder();
        blocking(move || act(&mut Runtime::load(folder).context(what)?)).await
    }

    pub async fn start(&self) -> Result<i32> {
        let mut inner = self.lock().await?;
        if inner.init.status(inner.status) != Status::CREATED {
            return Err(Fail::precondition(format!("container {} is not waiting to be started", self.id)));
        }
        self.with_runtime("cannot start the container", |runtime| {
            runtime.start().context("cannot start the container")
        })
        .await?;
        inner.status = Status::RUNNING;
        let pid = inner.init.pid;
        self.shared.events.publish(task::TaskStart {
            container_id: self.id.clone(),
            pid: pid as u32,
            ..task::TaskStart::default()
        });
        let (shared, id, bundle) = (self.shared.clone(), self.id.clone(), self.bundle.clone());
        let told = blocking(move || {
            let subject = Subject { id: &id, bundle: &bundle, reaper: Some(&shared.reaper) };
            hooks::poststart(&subject, pid)
        });
        if let Err(fail) = told.await {
            inner.init.signal(libc::SIGKILL as u32)?;
            exit_of(inner.init.exits.clone()).await;
            return Err(fail);
        }
        Ok(pid)
    }

    /// Announces the end of the first process, after the ends of all others.
    pub async fn watch(self: Arc<Self>) {
        let exits = self.inner.lock().await.init.exits.clone();
        exit_of(exits).await;
        if !self.has_own_pids {
            let cgroup = self.cgroup.clone();
            // It only ends processes; there is nothing to hear from it.
            let _ = tokio::task::spawn_blocking(move || cgroup.kill_all()).await;
        }
        let others: Vec<_> = self.inner.lock().await.exits_of_execs().collect();
        for exits in others {
            exit_of(exits).await;
        }
        self.announce_exits(&mut *self.inner.lock().await);
    }

    /// Of all processes that have ended, each once, the first process last.
    fn announce_exits(&self, inner: &mut Inner) {
        for (id, exec) in &mut inner.execs {
            self.announce_exit(id, exec.process.as_mut());
        }
        self.announce_exit(&self.id, Some(&mut inner.init));
    }

    pub fn announce_exit(&self, id: &str, process: Option<&mut Process>) {
        let Some((process, exit)) = process.and_then(|process| process.exit().map(|exit| (process, exit)))
        else {
            return;
        };
        if std::mem::replace(&mut process.is_announced, true) {
            return;
        }
        self.shared.events.publish(task::TaskExit {
            container_id: self.id.clone(),
            id: id.to_owned(),
            pid: process.pid as u32,
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..task::TaskExit::default()
        });
    }

    pub async fn kill(&self, exec: &str, signal: u32, all: bool) -> Result<()> {
        let inner = self.lock().await?;
        if !exec.is_empty() {
            return inner.process(exec)?.signal(signal);
        }
        if inner.init.exit().is_some() {
            return Err(Fail::not_found("process already finished"));
        }
        let is_kill = signal == libc::SIGKILL as u32;
        if all {
            process::signal_all(&self.cgroup, signal);
        } else if inner.status == Status::CREATED && signal == libc::SIGTERM as u32 {
            // It is the first of its PID namespace and has no handler yet, so only this ends it.
            inner.init.signal(libc::SIGKILL as u32)?;
        } else {
            inner.init.signal(signal)?;
        }
        if is_kill && inner.status == Status::PAUSED {
            self.cgroup.thaw();
        }
        Ok(())
    }

    pub async fn pause(&self) -> Result<()> {
        let mut inner = self.lock().await?;
        if inner.init.status(inner.status) != Status::RUNNING {
            return Err(Fail::precondition(format!("container {} does not run", self.id)));
        }
        let what = "cannot pause the container";
        self.with_runtime(what, move |runtime| runtime.pause().context(what)).await?;
        inner.status = Status::PAUSED;
        let container_id = self.id.clone();
        self.shared.events.publish(task::TaskPaused { container_id, ..task::TaskPaused::default() });
        Ok(())
    }

    pub async fn resume(&self) -> Result<()> {
        let mut inner = self.lock().await?;
        if inner.init.status(inner.status) != Status::PAUSED {
            return Err(Fail::precondition(format!("container {} is not paused", self.id)));
        }
        let what = "cannot resume the container";
        self.with_runtime(what, move |runtime| runtime.resume().context(what)).await?;
        inner.status = Status::RUNNING;
        let container_id = self.id.clone();
        self.shared.events.publish(task::TaskResumed { container_id, ..task::TaskResumed::default() });
        Ok(())
    }

    pub async fn update(&self, wanted: Option<&Any>) -> Result<()> {
        let wanted = resources::decode(wanted)?;
        let _inner = self.lock().await?;
        self.with_runtime("cannot change the container's limits", move |runtime| {
            resources::apply(runtime, &wanted)
        })
        .await
    }

    pub async fn stats(&self) -> Result<Any> {
        let inner = self.lock().await?;
        if inner.init.exit().is_some() {
            return Err(Fail::not_found(format!("container {} has ended", self.id)));
        }
        let (cgroup, pid) = (self.cgroup.clone(), inner.init.pid as u32);
        blocking(move || Ok(stats::read(&cgroup, pid))).await
    }

    /// Forgets the container, which has ended or was never started.
    pub async fn delete(&self) -> Result<Deleted> {
        let mut inner = self.lock().await?;
        match inner.init.status(inner.status) {
            Status::STOPPED => {}
            Status::CREATED => inner.init.signal(libc::SIGKILL as u32)?,
            _ => return Err(Fail::precondition(format!("container {} is still running", self.id))),
        }
        let exit = exit_of(inner.init.exits.clone()).await;
        self.announce_exits(&mut inner);
        std::mem::take(&mut inner.init.held).finish().await;
        let (folder, cgroup) = (self.runtime_folder(), self.cgroup.clone());
        let (bundle, state) = (self.bundle.clone(), self.state.clone());
        let (shared, id) = (self.shared.clone(), self.id.clone());
        blocking(move || {
            cgroup.kill_all();
            let subject = Subject { id: &id, bundle: &bundle, reaper: Some(&shared.reaper) };
            clean_up(&folder, &state, &subject)
        })
        .await?;
        inner.is_deleted = true;
        let pid = inner.init.pid;
        self.shared.events.publish(task::TaskDelete {
            container_id: self.id.clone(),
            pid: pid as u32,
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..task::TaskDelete::default()
        });
        Ok(Deleted { pid, exit })
    }
}

/// Removes what a container without processes has left: its control group, mounts and folder go, then hooks hear of it.
pub fn clean_up(runtime_folder: &Path, state: &Path, subject: &Subject<'_>) -> Result<()> {
    // containerd may have what it has deleted cleaned up once more, when it sees that the shim has ended.
    let is_known = state.exists();
    let removed = match Runtime::load(runtime_folder.to_owned()) {
        Ok(mut runtime) => runtime.delete(true).context("cannot remove the container"),
        // It was never made, or not all of it.
        Err(_) => Ok(()),
    };
    mounts::unmount_all(&subject.bundle.join("rootfs"));
    // A folder that still says something about processes or control groups is needed for the next attempt.
    removed?;
    state::remove(state);
    if is_known {
        hooks::poststop(subject);
    }
    Ok(())
}

/// Runs something that blocks, to its end, whether the caller stays or not.
pub async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => result,
        Err(error) => Err(Fail::internal("the shim", error)),
    }
}
