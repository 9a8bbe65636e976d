//! An app, the engine and the capabilities, made into running guests.

pub mod command;
mod invoke;
mod outcome;
mod stdio;
mod watchdog;

pub use outcome::{Failure, Outcome, exit_code};
pub use stdio::standard_streams;
