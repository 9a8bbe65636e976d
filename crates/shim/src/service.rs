//! containerd's task API: each method, its request and its response.
//!
//! A request that changes something is carried out to its end also if containerd does not wait for it (its connection
//! breaks, it is restarted): otherwise half of it would be done and nobody would know.

use crate::container::{Container, Deleted};
use crate::creation;
use crate::events::timestamp;
use crate::fail::{Fail, Result};
use crate::io::Streams;
use crate::pod::Pod;
use crate::reaper::exit_of;
use crate::traced::Traced;
use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, Status, UpdateTaskRequest,
    WaitRequest, WaitResponse,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::shim_async::{Task, create_task};
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::ttrpc::asynchronous::Service;
use containerd_shim_protos::ttrpc::{self, Code};
use sampan_telemetry::traces;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone)]
pub struct Tasks {
    pub pod: Arc<Pod>,
}

/// Version 3 of the API, and version 2, whose messages are the same.
pub fn services(pod: &Arc<Pod>, is_traced: bool) -> HashMap<String, Service> {
    let of = |service| -> HashMap<String, Service> {
        let tasks = Tasks { pod: pod.clone() };
        let task: Arc<dyn Task + Send + Sync> =
            if is_traced { Arc::new(Traced { tasks, service }) } else { Arc::new(tasks) };
        create_task(task)
    };
    let older = of("containerd.task.v2.Task").into_iter();
    let renamed = older.map(|(name, service)| (name.replace(".v3.", ".v2."), rename(service)));
    of("containerd.task.v3.Task").into_iter().chain(renamed).collect()
}

/// Methods are kept by their full path in some versions of ttrpc, and by their names in others.
fn rename(service: Service) -> Service {
    let methods = service.methods.into_iter().map(|(name, method)| (name.replace(".v3.", ".v2."), method));
    Service { methods: methods.collect(), streams: service.streams }
}

/// To its end, whoever waits.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> ttrpc::Result<T> {
    let done = tokio::spawn(traces::handed_over(work))
        .await
        .unwrap_or_else(|error| Err(Fail::internal("the shim", error)));
    Ok(done?)
}

#[async_trait]
impl Task for Tasks {
    async fn create(&self, _: &TtrpcContext, asked: CreateTaskRequest) -> ttrpc::Result<CreateTaskResponse> {
        let pod = self.pod.clone();
        whole(async move {
            pod.reserve(&asked.id)?;
            match creation::create(pod.shared.clone(), &asked).await {
                Ok(container) => {
                    let pid = container.inner.lock().await.init.pid as u32;
                    pod.keep(container);
                    Ok(CreateTaskResponse { pid, ..CreateTaskResponse::default() })
                }
                Err(fail) => {
                    pod.forget(&asked.id);
                    Err(fail)
                }
            }
        })
        .await
    }

    async fn start(&self, _: &TtrpcContext, asked: StartRequest) -> ttrpc::Result<StartResponse> {
        let container = self.pod.get(&asked.id)?;
        whole(async move {
            let pid = match asked.exec_id.as_str() {
                "" => container.start().await?,
                exec => container.start_exec(exec).await?,
            };
            Ok(StartResponse { pid: pid as u32, ..StartResponse::default() })
        })
        .await
    }

    async fn delete(&self, _: &TtrpcContext, asked: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        let (pod, container) = (self.pod.clone(), self.pod.get(&asked.id)?);
        let deleted = whole(async move {
            if !asked.exec_id.is_empty() {
                return container.delete_exec(&asked.exec_id).await;
            }
            let deleted = container.delete().await?;
            pod.forget(&asked.id);
            Ok(deleted)
        });
        Ok(deletion(&deleted.await?))
    }

    async fn exec(&self, _: &TtrpcContext, asked: ExecProcessRequest) -> ttrpc::Result<Empty> {
        let streams = Streams {
            stdin: asked.stdin.clone(),
            stdout: asked.stdout.clone(),
            stderr: asked.stderr.clone(),
            terminal: asked.terminal,
        };
        self.pod.get(&asked.id)?.add_exec(&asked.exec_id, streams, asked.spec.as_ref()).await?;
        Ok(Empty::default())
    }

    async fn state(&self, _: &TtrpcContext, asked: StateRequest) -> ttrpc::Result<StateResponse> {
        let container = self.pod.get(&asked.id)?;
        Ok(state(&container, &asked.exec_id).await?)
    }

    async fn pids(&self, _: &TtrpcContext, asked: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let container = self.pod.get(&asked.id)?;
        let execs: HashMap<i32, String> = {
            let inner = container.lock().await?;
            let started =
                inner.execs.iter().filter_map(|(id, exec)| Some((exec.process.as_ref()?.pid, id.clone())));
            started.collect()
        };
        let processes = container.cgroup.pids().into_iter().map(|pid| ProcessInfo {
            pid: pid as u32,
            info: execs.get(&pid).map(|id| details(id)).into(),
            ..ProcessInfo::default()
        });
        Ok(PidsResponse { processes: processes.collect(), ..PidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, asked: PauseRequest) -> ttrpc::Result<Empty> {
        let container = self.pod.get(&asked.id)?;
        whole(async move { container.pause().await }).await?;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, asked: ResumeRequest) -> ttrpc::Result<Empty> {
        let container = self.pod.get(&asked.id)?;
        whole(async move { container.resume().await }).await?;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(Fail::new(Code::UNIMPLEMENTED, "a guest's state cannot be written to a checkpoint").into())
    }

    async fn kill(&self, _: &TtrpcContext, asked: KillRequest) -> ttrpc::Result<Empty> {
        self.pod.get(&asked.id)?.kill(&asked.exec_id, asked.signal, asked.all).await?;
        Ok(Empty::default())
    }

    async fn resize_pty(&self, _: &TtrpcContext, asked: ResizePtyRequest) -> ttrpc::Result<Empty> {
        let container = self.pod.get(&asked.id)?;
        container.lock().await?.process(&asked.exec_id)?.resize(asked.width, asked.height)?;
        Ok(Empty::default())
    }

    async fn close_io(&self, _: &TtrpcContext, asked: CloseIORequest) -> ttrpc::Result<Empty> {
        let container = self.pod.get(&asked.id)?;
        if asked.stdin {
            container.lock().await?.process_mut(&asked.exec_id)?.held.close_stdin();
        }
        Ok(Empty::default())
    }

    async fn update(&self, _: &TtrpcContext, asked: UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let container = self.pod.get(&asked.id)?;
        whole(async move { container.update(asked.resources.as_ref()).await }).await?;
        Ok(Empty::default())
    }

    async fn wait(&self, _: &TtrpcContext, asked: WaitRequest) -> ttrpc::Result<WaitResponse> {
        let exits = self.pod.get(&asked.id)?.lock().await?.exits(&asked.exec_id)?;
        let exit = exit_of(exits).await;
        Ok(WaitResponse {
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..WaitResponse::default()
        })
    }

    async fn stats(&self, _: &TtrpcContext, asked: StatsRequest) -> ttrpc::Result<StatsResponse> {
        let stats = self.pod.get(&asked.id)?.stats().await?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..StatsResponse::default() })
    }

    async fn connect(&self, _: &TtrpcContext, asked: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        let pid = self.pod.get(&asked.id)?.lock().await?.init.pid;
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: pid as u32,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }

    /// containerd asks after each container of a pod; the last one means it.
    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        self.pod.end_if_empty();
        Ok(Empty::default())
    }
}

async fn state(container: &Container, exec: &str) -> Result<StateResponse> {
    let inner = container.lock().await?;
    let (streams, process) = inner.state(exec)?;
    let alive = if exec.is_empty() { inner.status } else { Status::RUNNING };
    let exit = process.and_then(|process| process.exit());
    Ok(StateResponse {
        id: container.id.clone(),
        exec_id: exec.to_owned(),
        bundle: container.bundle.to_string_lossy().into_owned(),
        pid: process.map_or(0, |process| process.pid) as u32,
        status: process.map_or(Status::CREATED, |process| process.status(alive)).into(),
        stdin: streams.stdin.clone(),
        stdout: streams.stdout.clone(),
        stderr: streams.stderr.clone(),
        terminal: streams.terminal,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: exit.map_or_else(MessageField::none, |exit| timestamp(exit.at)),
        ..StateResponse::default()
    })
}

fn deletion(deleted: &Deleted) -> DeleteResponse {
    DeleteResponse {
        pid: deleted.pid as u32,
        exit_status: deleted.exit.status,
        exited_at: timestamp(deleted.exit.at),
        ..DeleteResponse::default()
    }
}

fn details(exec: &str) -> Any {
    let details = ProcessDetails { exec_id: exec.to_owned(), ..ProcessDetails::default() };
    Any {
        type_url: "containerd.runc.v1.ProcessDetails".to_owned(),
        value: details.write_to_bytes().unwrap_or_default(),
        ..Any::default()
    }
}
