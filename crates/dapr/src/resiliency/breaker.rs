//! A circuit breaker: where too many calls have failed, none is made for a while; then a few try.
//!
//! The states and counts are those of Dapr's library, <https://pkg.go.dev/github.com/sony/gobreaker>.

use sampan_app::dapr::BreakerPolicy;
use sampan_capabilities::cel::Expression;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What breakers of one policy share.
#[derive(Debug)]
pub(super) struct Template {
    pub requests_max: u32,
    pub interval: Duration,
    pub timeout: Duration,
    pub trip: Expression,
}

impl Template {
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(policy: &BreakerPolicy) -> Result<Self, String> {
        Ok(Template {
            requests_max: policy.requests_max.max(1),
            interval: policy.interval,
            timeout: policy.timeout,
            trip: Expression::parse(&policy.trip)?,
        })
    }
}

/// The breaker of one target.
#[derive(Debug)]
pub struct Breaker {
    template: Arc<Template>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    counts: Counts,
    /// Results of calls that began in another one do not count.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Counts begin anew at this time.
    Closed {
        until: Option<Instant>,
    },
    Open {
        until: Instant,
    },
    HalfOpen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u32,
    successes: u32,
    failures: u32,
    consecutive_successes: u32,
    consecutive_failures: u32,
}

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Open,
    HalfOpen,
}

/// A call that was let through. One that is dropped before its end counts neither way.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    generation: u64,
    left: bool,
}

impl Breaker {
    pub(super) fn new(template: Arc<Template>) -> Self {
        let kind = Kind::Closed { until: None };
        let state = State { kind, counts: Counts::default(), generation: 0 };
        Breaker { template, state: Mutex::new(state) }
    }

    pub(super) fn enter(&self, now: Instant) -> Result<Pass<'_>, Rejected> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut state, now);
        match state.kind {
            Kind::Open { .. } => return Err(Rejected::Open),
            Kind::HalfOpen if state.counts.requests >= self.template.requests_max => {
                return Err(Rejected::HalfOpen);
            }
            Kind::HalfOpen | Kind::Closed { .. } => {}
        }
        state.counts.requests = state.counts.requests.saturating_add(1);
        Ok(Pass { breaker: self, generation: state.generation, left: false })
    }

    /// What the time alone changes.
    fn advance(&self, state: &mut State, now: Instant) {
        match state.kind {
            Kind::Open { until } if now >= until => state.enter(Kind::HalfOpen),
            Kind::Closed { until: Some(until) } if now >= until => self.close(state, now),
            // The first period begins with the first call.
            Kind::Closed { until: None } if !self.template.interval.is_zero() => self.close(state, now),
            _ => {}
        }
    }

    fn close(&self, state: &mut State, now: Instant) {
        let interval = Some(self.template.interval).filter(|interval| !interval.is_zero());
        state.enter(Kind::Closed { until: interval.and_then(|interval| now.checked_add(interval)) });
    }

    fn open(&self, state: &mut State, now: Instant) {
        // A time that is too far away to be written down is for ever.
        let far = Duration::from_secs(365 * 24 * 3600);
        let until = now.checked_add(self.template.timeout).unwrap_or(now + far);
        state.enter(Kind::Open { until });
    }

    fn leave(&self, generation: u64, good: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.advance(&mut state, now);
        if state.generation != generation {
            return;
        }
        let counts = &mut state.counts;
        if good {
            counts.successes = counts.successes.saturating_add(1);
            counts.consecutive_successes = counts.consecutive_successes.saturating_add(1);
            counts.consecutive_failures = 0;
            let enough = counts.consecutive_successes >= self.template.requests_max;
            if enough && matches!(state.kind, Kind::HalfOpen) {
                self.close(&mut state, now);
            }
            return;
        }
        counts.failures = counts.failures.saturating_add(1);
        counts.consecutive_failures = counts.consecutive_failures.saturating_add(1);
        counts.consecutive_successes = 0;
        match state.kind {
            Kind::HalfOpen => self.open(&mut state, now),
            Kind::Closed { .. } if self.trips(state.counts) => self.open(&mut state, now),
            Kind::Closed { .. } | Kind::Open { .. } => {}
        }
    }

    fn trips(&self, counts: Counts) -> bool {
        let numbers = [
            ("requests", counts.requests.into()),
            ("totalSuccesses", counts.successes.into()),
            ("totalFailures", counts.failures.into()),
            ("consecutiveSuccesses", counts.consecutive_successes.into()),
            ("consecutiveFailures", counts.consecutive_failures.into()),
        ];
        // What cannot be told trips nothing, as in Dapr.
        self.template.trip.holds(&numbers).unwrap_or(false)
    }
}

impl State {
    fn enter(&mut self, kind: Kind) {
        *self = State { kind, counts: Counts::default(), generation: self.generation.wrapping_add(1) };
    }
}

impl Pass<'_> {
    /// The call has ended.
    pub fn leave(mut self, good: bool, now: Instant) {
        self.left = true;
        self.breaker.leave(self.generation, good, now);
    }
}

impl Drop for Pass<'_> {
    /// Its caller has gone. Otherwise a breaker that is half open would wait for it for ever.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation == self.generation {
            state.counts.requests = state.counts.requests.saturating_sub(1);
        }
    }
}
