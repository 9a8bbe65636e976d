//! How a guest ended, and the exit code that tells it.

use sampan_app::Limits;
use sampan_engine::trap::{self, Ended};
use std::time::Duration;
use wasmtime::Error;
use wasmtime_wasi::I32Exit;

/// Exit codes besides the guest's own.
pub mod exit_code {
    /// Sampan's own error.
    pub const ERROR: u8 = 1;
    /// Wrong flags, or a grant that this machine cannot honour, as of `docker run`.
    pub const CANNOT_START: u8 = 125;
    /// The file is no program that can run, as of `docker run`.
    pub const NOT_RUNNABLE: u8 = 126;
    /// There is no such file, as of `docker run`.
    pub const NOT_FOUND: u8 = 127;
    /// The wall time of `--timeout` was over, as with `timeout(1)`.
    pub const TIMEOUT: u8 = 124;
    /// The guest trapped: 128 + SIGABRT.
    pub const TRAP: u8 = 134;
    /// Memory limit, as of a container that the kernel ended: 128 + SIGKILL.
    pub const MEMORY: u8 = 137;
    /// Stack exhausted, as of a native program: 128 + SIGSEGV.
    pub const STACK: u8 = 139;
    /// Processor time of `--cpu-time` was over: 128 + SIGXCPU.
    pub const CPU_TIME: u8 = 152;
    /// The fuel of `--fuel` was used up: the next free number.
    pub const FUEL: u8 = 153;
    /// Ended by a signal: this plus its number.
    pub const SIGNAL: u8 = 128;
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub exit_code: u8,
    /// Set where something else than the guest's own exit ended it.
    pub failure: Option<Failure>,
    /// Results of an invoked function, in text, one an entry.
    pub results: Vec<String>,
    /// From code to instance, the start section included.
    pub instantiate_time: Duration,
    pub run_time: Duration,
    /// The most that the guest's memories and tables took together.
    pub peak_guest_bytes: u64,
}

/// What to tell the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub backtrace: Vec<String>,
    pub help: Option<String>,
}

impl Failure {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Failure { message: message.into(), backtrace: Vec::new(), help: Some(help.into()) }
    }
}

/// The exit code and the words for the error that a call into the guest returned.
pub(crate) fn of_error(error: &Error, limits: &Limits) -> (u8, Option<Failure>) {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (exit.0 as u8, None);
    }
    let failure = |message: String, backtrace, help: Option<&str>| {
        Some(Failure { message, backtrace, help: help.map(str::to_owned) })
    };
    match trap::explain(error) {
        Ended::Memory { wanted_bytes, limit_bytes } => {
            let message = format!(
                "the guest was stopped: it asked for {} of memory and may have {}",
                mebibytes(wanted_bytes),
                mebibytes(limit_bytes),
            );
            (
                exit_code::MEMORY,
                failure(message, Vec::new(), Some("a larger limit is set with -m, for example -m 256m")),
            )
        }
        Ended::Fuel => {
            let fuel = limits.fuel.unwrap_or_default();
            let message = format!("the guest was stopped: it used up its fuel of {fuel}");
            (exit_code::FUEL, failure(message, Vec::new(), Some("more fuel is given with --fuel")))
        }
        Ended::StackOverflow { backtrace } => {
            let message = "the guest trapped: its call stack is exhausted".to_owned();
            (
                exit_code::STACK,
                failure(
                    message,
                    backtrace,
                    Some("a deeper stack is given with --stack, for example --stack 16m"),
                ),
            )
        }
        Ended::Trap { reason, backtrace } => {
            (exit_code::TRAP, failure(format!("the guest trapped: {reason}"), backtrace, None))
        }
        Ended::Error(message) => (exit_code::ERROR, failure(message, Vec::new(), None)),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
