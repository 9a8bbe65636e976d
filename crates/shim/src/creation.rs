//! `Create`: from containerd's request to a container whose first process waits for its start.

use crate::artifact::{self, Known};
use crate::cgroup::Cgroup;
use crate::container::{Container, Inner, Shared, blocking, clean_up};
use crate::fail::{Context, Fail, Result};
use crate::hooks::Subject;
use crate::io::{self, Owner, Streams};
use crate::launch::{self, Request};
use crate::mounts::Mount;
use crate::options::Options;
use crate::process::Process;
use crate::{oom, state, steps};
use containerd_shim_protos::api::{CreateTaskRequest, Status};
use containerd_shim_protos::events::task::{TaskCreate, TaskIO};
use containerd_shim_protos::protobuf::MessageField;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

pub async fn create(shared: Arc<Shared>, asked: &CreateTaskRequest) -> Result<Arc<Container>> {
    if !asked.checkpoint.is_empty() {
        return Err(Fail::new(
            containerd_shim_protos::ttrpc::Code::UNIMPLEMENTED,
            "a container cannot be restored from a checkpoint",
        ));
    }
    // 1. What containerd says, and where what outlives this process is kept.
    let options = asked.options.as_ref().map(Options::of_any).transpose()?.unwrap_or_default();
    let state = state::folder(&shared.namespace, &asked.id)?;
    let bundle = PathBuf::from(&asked.bundle);
    let streams = Streams {
        stdin: asked.stdin.clone(),
        stdout: asked.stdout.clone(),
        stderr: asked.stderr.clone(),
        terminal: asked.terminal,
    };
    let mut request = Request {
        id: asked.id.clone(),
        state: state.clone(),
        bundle: bundle.clone(),
        rootfs: asked.rootfs.iter().map(mount).collect(),
        process: None,
        terminal: asked.terminal,
        systemd_cgroup: options.systemd_cgroup,
        no_pivot_root: options.no_pivot_root,
        artifact: Known::Nothing,
    };

    // 2. The process. What fails leaves nothing behind.
    let (owner, kept) = (shared.clone(), streams.clone());
    let (mut launched, held, copied, cgroup) = blocking(move || {
        state::create(&request.state)?;
        let made = make(&owner, &mut request, &kept);
        if made.is_err() {
            // The first error is the one to tell.
            let subject = Subject { id: &request.id, bundle: &request.bundle, reaper: Some(&owner.reaper) };
            let _ = clean_up(&request.state.join(&request.id), &request.state, &subject);
            state::remove(&request.state);
        }
        made
    })
    .await?;
    steps::trace(std::mem::take(&mut launched.steps));
    let has_own_pids = launched.has_own_pids;
    let init = Process::of(launched, held, streams, copied)?;

    // 3. Known from here on, and announced.
    let pid = init.pid;
    let container = Arc::new(Container {
        id: asked.id.clone(),
        bundle,
        state,
        cgroup,
        has_own_pids,
        shared,
        inner: Mutex::new(Inner { init, status: Status::CREATED, execs: HashMap::new(), is_deleted: false }),
    });
    announce(&container, asked, pid);
    tokio::spawn(container.clone().watch());
    oom::watch(&container);
    Ok(container)
}

type Made = (launch::Launched, io::Held, Option<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)>, Cgroup);

fn make(shared: &Shared, request: &mut Request, streams: &Streams) -> Result<Made> {
    let owner = Owner { namespace: &shared.namespace, id: &request.id };
    let opened = io::open_all(streams, &owner, &shared.reaper)?;
    // Once more, because who reads a FIFO takes its last writer's end for the end.
    let ends = io::again(&opened.ends)?;
    let launched = match launch::launch(&shared.reaper, request, ends)? {
        Some(launched) => launched,
        None => {
            request.artifact = artifact::find(shared, &request.id)?;
            let launched = launch::launch(&shared.reaper, request, opened.ends)?;
            launched.ok_or_else(|| {
                Fail::internal("cannot make the container's process", "its entry is missing")
            })?
        }
    };
    // Now, because a process that has ended is in no group.
    let cgroup = Cgroup::of(launched.pid).context("the container's control group")?;
    Ok((launched, opened.held, opened.copied, cgroup))
}

fn mount(one: &containerd_shim_protos::types::mount::Mount) -> Mount {
    Mount {
        kind: one.type_.clone(),
        source: one.source.clone(),
        target: one.target.clone(),
        options: one.options.clone(),
    }
}

fn announce(container: &Container, asked: &CreateTaskRequest, pid: i32) {
    let io = TaskIO {
        stdin: asked.stdin.clone(),
        stdout: asked.stdout.clone(),
        stderr: asked.stderr.clone(),
        terminal: asked.terminal,
        ..TaskIO::default()
    };
    container.shared.events.publish(TaskCreate {
        container_id: asked.id.clone(),
        bundle: asked.bundle.clone(),
        rootfs: asked.rootfs.clone(),
        io: MessageField::some(io),
        pid: pid as u32,
        ..TaskCreate::default()
    });
}
