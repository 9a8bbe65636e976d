//! An app, the engine and the capabilities, made into running guests.

pub mod command;
mod counters;
mod invoke;
mod outcome;
pub mod serve;
mod stdio;
pub mod triggers;
mod watchdog;

pub use counters::Counters;
pub use outcome::{Failure, Outcome, exit_code};
pub use stdio::standard_streams;
