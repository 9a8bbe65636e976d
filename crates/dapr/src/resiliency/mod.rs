//! Dapr's policies at work: a call with a time limit, within a circuit breaker, tried again.
//!
//! <https://docs.dapr.io/operations/resiliency/>. The order is Dapr's: retry(breaker(timeout(call))).

mod breaker;
mod clock;
mod retry;
mod target;
#[cfg(test)]
mod tests;

pub use breaker::Breaker;
pub use target::{Block, Direction, Policies, PolicyError};

use breaker::Rejected;
use clock::{Clock, TokioClock};
use retry::Waits;
use sampan_app::dapr::RetryPolicy;
use std::sync::Arc;
use std::time::Duration;

/// What counts for a call. The default does nothing to it.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Of each attempt.
    pub timeout: Option<Duration>,
    pub retry: Option<Arc<RetryPolicy>>,
    pub breaker: Option<Arc<Breaker>>,
}

/// What a call's result is to its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// It has failed, and may be tried again. A status of 100 and more is one of HTTP, a smaller one of gRPC;
    /// without one all retry policies match.
    Retryable {
        status: Option<u16>,
    },
    /// It has failed, and would again.
    Final,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResiliencyError<E> {
    /// The call's own error, of the last attempt.
    #[error(transparent)]
    Call(E),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Too many calls have failed; nothing is called for now.
    #[error("circuit breaker is open")]
    Open,
    /// The breaker tries whether all is well again, with other calls.
    #[error("too many requests")]
    HalfOpen,
}

/// How an attempt ended.
enum Attempt<T, E> {
    Done(Result<T, E>),
    TimedOut(Duration),
    Rejected(Rejected),
}

impl Policy {
    /// Whether there is none, so that a caller may take a shorter way.
    pub fn is_none(&self) -> bool {
        self.timeout.is_none() && self.retry.is_none() && self.breaker.is_none()
    }

    /// For calls that cannot be repeated, such as those whose body streams.
    pub fn without_retry(&self) -> Policy {
        Policy { retry: None, ..self.clone() }
    }

    /// Calls, as often as the policy says.
    ///
    /// # Errors
    /// That of the last attempt. A result that `classify` calls failed is returned as it is once no further
    /// attempt is made, also if it is `Ok`.
    pub async fn run<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        make_call: impl FnMut() -> F,
        classify: impl Fn(&Result<T, E>) -> Verdict,
    ) -> Result<T, ResiliencyError<E>> {
        self.run_by(&TokioClock, make_call, classify).await
    }

    async fn run_by<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        clock: &impl Clock,
        mut make_call: impl FnMut() -> F,
        classify: impl Fn(&Result<T, E>) -> Verdict,
    ) -> Result<T, ResiliencyError<E>> {
        let mut waits = self.retry.as_deref().map(Waits::new);
        loop {
            let attempt = self.attempt(clock, &mut make_call, &classify).await;
            let wait = waits.as_mut().filter(|waits| is_retried(waits.policy, &attempt, &classify));
            let wait = wait.and_then(|waits| waits.next(fastrand::f64()));
            match (wait, attempt) {
                (Some(wait), _) => clock.sleep(wait).await,
                (None, Attempt::Done(result)) => return result.map_err(ResiliencyError::Call),
                (None, Attempt::TimedOut(after)) => return Err(ResiliencyError::Timeout(after)),
                (None, Attempt::Rejected(Rejected::Open)) => return Err(ResiliencyError::Open),
                (None, Attempt::Rejected(Rejected::HalfOpen)) => return Err(ResiliencyError::HalfOpen),
            }
        }
    }

    /// One call, if the breaker lets it through.
    async fn attempt<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        clock: &impl Clock,
        make_call: &mut impl FnMut() -> F,
        classify: impl Fn(&Result<T, E>) -> Verdict,
    ) -> Attempt<T, E> {
        let pass = match self.breaker.as_deref().map(|breaker| breaker.enter(clock.now())).transpose() {
            Ok(pass) => pass,
            Err(rejected) => return Attempt::Rejected(rejected),
        };
        let attempt = match self.timeout.filter(|timeout| !timeout.is_zero()) {
            None => Attempt::Done(make_call().await),
            Some(timeout) => match clock.timeout(timeout, make_call()).await {
                Some(result) => Attempt::Done(result),
                None => Attempt::TimedOut(timeout),
            },
        };
        if let Some(pass) = pass {
            let good = matches!(&attempt, Attempt::Done(result) if classify(result) == Verdict::Ok);
            pass.leave(good, clock.now());
        }
        attempt
    }
}

fn is_retried<T, E>(
    policy: &RetryPolicy,
    attempt: &Attempt<T, E>,
    classify: impl Fn(&Result<T, E>) -> Verdict,
) -> bool {
    match attempt {
        Attempt::TimedOut(_) => true,
        Attempt::Rejected(_) => false,
        Attempt::Done(result) => match classify(result) {
            Verdict::Ok | Verdict::Final => false,
            Verdict::Retryable { status } => status.is_none_or(|status| retry::matches(policy, status)),
        },
    }
}
