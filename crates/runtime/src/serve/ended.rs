//! Why a guest ended before its time: the reason for metrics, the status for the client, the words for the log.

use super::budget::BudgetExceeded;
use super::slice::Overrun;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use sampan_engine::trap;
use sampan_service::{Body, Unanswered, full};
use std::time::Duration;
use wasmtime_wasi::I32Exit;

/// Seconds after which a client may try again what was refused for want of places or memory.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why a call of a guest has no result.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The guest asked to end with this code.
    Exit(i32),
    Trap {
        reason: String,
        backtrace: Vec<String>,
    },
    Stack {
        backtrace: Vec<String>,
    },
    /// One instance wanted more than it may have.
    Memory {
        wanted_bytes: u64,
        limit_bytes: u64,
    },
    /// The app, or all apps together, would have more than they may have.
    Budget(BudgetExceeded),
    /// The wall time is over.
    Timeout {
        limit: Duration,
        backtrace: Vec<String>,
    },
    /// The processor time is over.
    Cpu {
        limit: Duration,
        backtrace: Vec<String>,
    },
    /// The pool of instances is empty.
    Exhausted,
    /// It returned, or gave up the means to answer, without an answer.
    NoAnswer,
    /// Whatever else, in its own words.
    Error(String),
}

impl Ended {
    /// From the error that a call, or an instantiation, returned.
    pub fn of(error: &wasmtime::Error) -> Ended {
        if let Some(ended) = error.downcast_ref::<Ended>() {
            return ended.clone();
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Ended::Exit(exit.0);
        }
        if let Some(exceeded) = error.downcast_ref::<BudgetExceeded>() {
            return Ended::Budget(exceeded.clone());
        }
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Ended::Exhausted;
        }
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            let backtrace = match trap::explain(error) {
                trap::Ended::Trap { backtrace, .. } => backtrace,
                _ => Vec::new(),
            };
            return match *overrun {
                Overrun::Wall(limit) => Ended::Timeout { limit, backtrace },
                Overrun::Cpu(limit) => Ended::Cpu { limit, backtrace },
            };
        }
        match trap::explain(error) {
            trap::Ended::Memory { wanted_bytes, limit_bytes } => Ended::Memory { wanted_bytes, limit_bytes },
            trap::Ended::StackOverflow { backtrace } => Ended::Stack { backtrace },
            trap::Ended::Trap { reason, backtrace } => Ended::Trap { reason, backtrace },
            trap::Ended::Fuel => Ended::Error("it used up its fuel".to_owned()),
            trap::Ended::Error(message) => Ended::Error(message),
        }
    }

    /// The label in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Ended::Exit(_) => "exit",
            Ended::Trap { .. } => "trap",
            Ended::Stack { .. } => "stack",
            Ended::Memory { .. } => "memory",
            Ended::Budget(_) => "memory_budget",
            Ended::Timeout { .. } => "timeout",
            Ended::Cpu { .. } => "cpu",
            Ended::Exhausted => "pool",
            Ended::NoAnswer => "no_answer",
            Ended::Error(_) => "error",
        }
    }

    /// What the client gets if nothing was answered yet.
    pub fn status(&self) -> StatusCode {
        match self {
            Ended::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Ended::Budget(_) | Ended::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One sentence for the log.
    pub fn message(&self) -> String {
        match self {
            Ended::Exit(code) => format!("it ended with exit code {code} instead of answering"),
            Ended::Trap { reason, .. } => format!("it trapped: {reason}"),
            Ended::Stack { .. } => "it trapped: its call stack is exhausted".to_owned(),
            Ended::Memory { wanted_bytes, limit_bytes } => format!(
                "it was stopped: it asked for {} of memory and may have {} (limits.memory)",
                mebibytes(*wanted_bytes),
                mebibytes(*limit_bytes)
            ),
            Ended::Budget(exceeded) => format!("it was stopped: {exceeded}"),
            Ended::Timeout { limit, .. } => {
                format!("it was stopped: its time of {limit:?} is over (limits.time)")
            }
            Ended::Cpu { limit, .. } => {
                format!("it was stopped: its processor time of {limit:?} is over (limits.cpu)")
            }
            Ended::NoAnswer => "it did not answer".to_owned(),
            Ended::Exhausted => "no instance is left for it in the server's pool".to_owned(),
            Ended::Error(message) => message.clone(),
        }
    }

    /// Where the guest was, innermost frame first.
    pub fn backtrace(&self) -> &[String] {
        match self {
            Ended::Trap { backtrace, .. }
            | Ended::Stack { backtrace }
            | Ended::Timeout { backtrace, .. }
            | Ended::Cpu { backtrace, .. } => backtrace,
            _ => &[],
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Ended {}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A response of Sampan's own. It says no more than its status: reasons are for the log.
pub fn failure_response(status: StatusCode) -> Response<Body> {
    let text = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.extensions_mut().insert(Unanswered);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response
}
