//! How calls are made and measured: the policies of resiliency and the counters of each component, looked up once.

use crate::components::Components;
use crate::error::Problem;
use crate::resiliency::{Block, Direction, Policies as All, Policy, PolicyError, ResiliencyError, Verdict};
use http::StatusCode;
use sampan_app::dapr::Resiliency;
use sampan_capabilities::messaging::{Backoff, Outcome, Retry};
use sampan_telemetry::{BlockMetrics, metrics};
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};
use tonic::Code;

pub struct Policies {
    all: All,
    app_id: String,
    components: BTreeMap<String, OfComponent>,
    /// Of apps that were invoked; there are no more than apps whose names are known.
    invoked: RwLock<HashMap<String, BlockMetrics>>,
    nothing: Policy,
}

struct OfComponent {
    /// Of calls to it.
    outbound: Policy,
    /// Of events from it.
    inbound: Policy,
    metrics: BlockMetrics,
}

impl Policies {
    /// # Errors
    /// If a breaker's expression is none.
    pub fn new(resources: &[Resiliency], app_id: &str, components: &Components) -> Result<Self, PolicyError> {
        let all = All::new(resources, app_id)?;
        let mut of_each = BTreeMap::new();
        let mut add = |name: &String, block| {
            let of = |direction| all.component(name, block, direction);
            let (outbound, inbound) = (of(Direction::Outbound), of(Direction::Inbound));
            let metrics = metrics().block(app_id, label(block), name);
            of_each.insert(name.clone(), OfComponent { outbound, inbound, metrics });
        };
        components.state.keys().for_each(|name| add(name, Block::Statestore));
        components.pubsub.keys().for_each(|name| add(name, Block::Pubsub));
        components.secrets.keys().for_each(|name| add(name, Block::Secretstore));
        components.configuration.keys().for_each(|name| add(name, Block::Configuration));
        components.locks.keys().for_each(|name| add(name, Block::Lock));
        components.outputs.keys().for_each(|name| add(name, Block::Binding));
        components.inputs.keys().for_each(|name| add(name, Block::Binding));
        Ok(Policies {
            all,
            app_id: app_id.to_owned(),
            components: of_each,
            invoked: RwLock::default(),
            nothing: Policy::default(),
        })
    }

    /// Of calls to a component.
    pub fn outbound(&self, component: &str) -> Guarded<'_> {
        let of = self.components.get(component);
        Guarded { policy: of.map_or(&self.nothing, |of| &of.outbound), metrics: of.map(|of| &of.metrics) }
    }

    /// Of events from a component.
    pub fn inbound(&self, component: &str) -> Guarded<'_> {
        let of = self.components.get(component);
        Guarded { policy: of.map_or(&self.nothing, |of| &of.inbound), metrics: of.map(|of| &of.metrics) }
    }

    /// How often events are handled anew that failed in spite of the policy: not at all, if it has retries.
    pub fn inbound_retry(&self, component: &str) -> Option<Retry> {
        self.inbound(component).policy.retry.as_ref()?;
        Some(Retry { retries_max: Some(0), backoff: Backoff::Constant(Duration::ZERO) })
    }

    /// Counts what became of events from a component.
    pub fn count(&self, component: &str, outcomes: &[Outcome]) {
        let Some(OfComponent { metrics, .. }) = self.components.get(component) else { return };
        for outcome in outcomes {
            match outcome {
                Outcome::Ack => metrics.events_ok.inc(),
                Outcome::Retry => metrics.events_retry.inc(),
                Outcome::Drop => metrics.events_dropped.inc(),
            };
        }
    }

    /// Counts an invocation of an app whose name is known, or any other's under one name.
    pub fn invoked(&self, app: &str, error: Option<u16>, duration: Duration) {
        if let Some(metrics) = self.invoked.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return metrics.called(error, duration);
        }
        let metrics = metrics().block(&self.app_id, "invoke", app);
        metrics.called(error, duration);
        self.invoked.write().unwrap_or_else(PoisonError::into_inner).insert(app.to_owned(), metrics);
    }

    /// Of invocations of an app; `far` if it is on another host.
    pub fn app(&self, app: &str, path: &str, far: bool) -> Policy {
        let policy = self.all.app(app, path);
        if policy.retry.is_none() && far && !self.all.names_app(app) {
            return Policy { retry: self.all.service_retries().retry.clone(), ..policy };
        }
        policy
    }
}

/// A building block in metrics.
fn label(block: Block) -> &'static str {
    match block {
        Block::Statestore => "state",
        Block::Pubsub => "pubsub",
        Block::Secretstore => "secrets",
        Block::Configuration => "configuration",
        Block::Lock => "lock",
        Block::Binding => "binding",
    }
}

/// Calls under a policy, measured.
#[derive(Clone, Copy)]
pub struct Guarded<'a> {
    policy: &'a Policy,
    metrics: Option<&'a BlockMetrics>,
}

impl Guarded<'_> {
    pub async fn run<T, F: Future<Output = Result<T, Problem>>>(
        self,
        call: impl FnMut() -> F,
    ) -> Result<T, Problem> {
        let began = Instant::now();
        let done = self.try_all(call).await;
        if let Some(metrics) = self.metrics {
            metrics.called(done.as_ref().err().map(|problem| problem.status.as_u16()), began.elapsed());
        }
        done
    }

    async fn try_all<T, F: Future<Output = Result<T, Problem>>>(
        self,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Problem> {
        if self.policy.is_none() {
            return call().await;
        }
        let classify = |result: &Result<T, Problem>| match result {
            Ok(_) => Verdict::Ok,
            Err(problem) => verdict(problem),
        };
        self.policy.run(call, classify).await.map_err(problem)
    }

    /// An event's handling, where asking for another try is a failure.
    pub async fn outcome<F: Future<Output = Outcome>>(self, mut call: impl FnMut() -> F) -> Outcome {
        if self.policy.is_none() {
            return call().await;
        }
        let classify = |result: &Result<Outcome, std::convert::Infallible>| match result {
            Ok(Outcome::Retry) => Verdict::Retryable { status: None },
            _ => Verdict::Ok,
        };
        let call = || {
            let handled = call();
            async { Ok(handled.await) }
        };
        self.policy.run(call, classify).await.unwrap_or(Outcome::Retry)
    }
}

/// What is wrong with the request stays wrong; so does a tag that does not match.
fn verdict(problem: &Problem) -> Verdict {
    if problem.status.is_client_error() { Verdict::Final } else { Verdict::Retryable { status: None } }
}

pub fn problem(error: ResiliencyError<Problem>) -> Problem {
    let unavailable = |message: String| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unavailable, "ERR_RESILIENCY", message)
    };
    match error {
        ResiliencyError::Call(problem) => problem,
        ResiliencyError::Timeout(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::DeadlineExceeded,
            "ERR_RESILIENCY",
            "the policy's time is over",
        ),
        ResiliencyError::Open => unavailable("circuit breaker is open".to_owned()),
        ResiliencyError::HalfOpen => unavailable("too many requests".to_owned()),
    }
}
