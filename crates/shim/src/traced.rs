//! The task API with a span for each call: which call, of which container, what came of it.
//!
//! Names are those of OpenTelemetry's conventions for remote calls and for containers.

use crate::service::Tasks;
use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse,
    StateRequest, StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::Result;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use sampan_telemetry::traces::Span;

pub struct Traced {
    pub tasks: Tasks,
    /// With its version.
    pub service: &'static str,
}

const EXIT_CODE: &str = "process.exit.code";

impl Traced {
    fn span(&self, context: &TtrpcContext, name: &'static str, id: &str, exec: &str) -> Span {
        let header = |name: &str| context.metadata.get(name)?.first().cloned();
        let span = Span::of_call(name, header);
        span.set("rpc.system", "ttrpc");
        span.set("rpc.service", self.service);
        span.set("rpc.method", name.trim_start_matches("task/"));
        span.set("containerd.namespace", self.tasks.pod.shared.namespace.clone());
        span.set("container.id", id.to_owned());
        if !exec.is_empty() {
            span.set("containerd.exec.id", exec.to_owned());
        }
        span
    }
}

/// The work, with its error told.
async fn run<T>(span: &Span, work: impl Future<Output = Result<T>>) -> Result<T> {
    span.around(work).await.inspect_err(|error| span.fail(error.to_string()))
}

#[async_trait]
impl Task for Traced {
    async fn create(&self, context: &TtrpcContext, asked: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let span = self.span(context, "task/Create", &asked.id, "");
        let answer = run(&span, self.tasks.create(context, asked)).await?;
        span.set("process.pid", i64::from(answer.pid));
        Ok(answer)
    }

    async fn start(&self, context: &TtrpcContext, asked: StartRequest) -> Result<StartResponse> {
        let span = self.span(context, "task/Start", &asked.id, &asked.exec_id);
        let answer = run(&span, self.tasks.start(context, asked)).await?;
        span.set("process.pid", i64::from(answer.pid));
        Ok(answer)
    }

    async fn delete(&self, context: &TtrpcContext, asked: DeleteRequest) -> Result<DeleteResponse> {
        let span = self.span(context, "task/Delete", &asked.id, &asked.exec_id);
        let answer = run(&span, self.tasks.delete(context, asked)).await?;
        span.set(EXIT_CODE, i64::from(answer.exit_status));
        Ok(answer)
    }

    async fn exec(&self, context: &TtrpcContext, asked: ExecProcessRequest) -> Result<Empty> {
        let span = self.span(context, "task/Exec", &asked.id, &asked.exec_id);
        run(&span, self.tasks.exec(context, asked)).await
    }

    async fn state(&self, context: &TtrpcContext, asked: StateRequest) -> Result<StateResponse> {
        let span = self.span(context, "task/State", &asked.id, &asked.exec_id);
        run(&span, self.tasks.state(context, asked)).await
    }

    async fn pids(&self, context: &TtrpcContext, asked: PidsRequest) -> Result<PidsResponse> {
        let span = self.span(context, "task/Pids", &asked.id, "");
        run(&span, self.tasks.pids(context, asked)).await
    }

    async fn pause(&self, context: &TtrpcContext, asked: PauseRequest) -> Result<Empty> {
        let span = self.span(context, "task/Pause", &asked.id, "");
        run(&span, self.tasks.pause(context, asked)).await
    }

    async fn resume(&self, context: &TtrpcContext, asked: ResumeRequest) -> Result<Empty> {
        let span = self.span(context, "task/Resume", &asked.id, "");
        run(&span, self.tasks.resume(context, asked)).await
    }

    async fn checkpoint(&self, context: &TtrpcContext, asked: CheckpointTaskRequest) -> Result<Empty> {
        let span = self.span(context, "task/Checkpoint", &asked.id, "");
        run(&span, self.tasks.checkpoint(context, asked)).await
    }

    async fn kill(&self, context: &TtrpcContext, asked: KillRequest) -> Result<Empty> {
        let span = self.span(context, "task/Kill", &asked.id, &asked.exec_id);
        span.set("containerd.signal", i64::from(asked.signal));
        run(&span, self.tasks.kill(context, asked)).await
    }

    async fn resize_pty(&self, context: &TtrpcContext, asked: ResizePtyRequest) -> Result<Empty> {
        let span = self.span(context, "task/ResizePty", &asked.id, &asked.exec_id);
        run(&span, self.tasks.resize_pty(context, asked)).await
    }

    async fn close_io(&self, context: &TtrpcContext, asked: CloseIORequest) -> Result<Empty> {
        let span = self.span(context, "task/CloseIO", &asked.id, &asked.exec_id);
        run(&span, self.tasks.close_io(context, asked)).await
    }

    async fn update(&self, context: &TtrpcContext, asked: UpdateTaskRequest) -> Result<Empty> {
        let span = self.span(context, "task/Update", &asked.id, "");
        run(&span, self.tasks.update(context, asked)).await
    }

    /// As long as the process lives.
    async fn wait(&self, context: &TtrpcContext, asked: WaitRequest) -> Result<WaitResponse> {
        let span = self.span(context, "task/Wait", &asked.id, &asked.exec_id);
        let answer = run(&span, self.tasks.wait(context, asked)).await?;
        span.set(EXIT_CODE, i64::from(answer.exit_status));
        Ok(answer)
    }

    async fn stats(&self, context: &TtrpcContext, asked: StatsRequest) -> Result<StatsResponse> {
        let span = self.span(context, "task/Stats", &asked.id, "");
        run(&span, self.tasks.stats(context, asked)).await
    }

    async fn connect(&self, context: &TtrpcContext, asked: ConnectRequest) -> Result<ConnectResponse> {
        let span = self.span(context, "task/Connect", &asked.id, "");
        run(&span, self.tasks.connect(context, asked)).await
    }

    async fn shutdown(&self, context: &TtrpcContext, asked: ShutdownRequest) -> Result<Empty> {
        let span = self.span(context, "task/Shutdown", &asked.id, "");
        run(&span, self.tasks.shutdown(context, asked)).await
    }
}
