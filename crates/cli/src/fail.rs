//! The error that ends a command: what happened, what to do next, and the exit code.

use sampan_engine::LoadError;
use sampan_runtime::{Failure, exit_code};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug)]
pub struct Fail {
    pub message: String,
    pub details: Vec<String>,
    pub help: Option<String>,
    pub code: u8,
    /// Text that stands for all of the above.
    pub shown: Option<String>,
}

impl Fail {
    pub fn new(message: impl Into<String>) -> Self {
        Fail { message: message.into(), details: Vec::new(), help: None, code: exit_code::ERROR, shown: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Findings that are rendered already, each with its place.
    pub fn shown(text: String) -> Self {
        Fail { shown: Some(text), ..Fail::new("") }
    }

    /// As it is printed.
    pub fn text(&self) -> String {
        if let Some(text) = &self.shown {
            return text.clone();
        }
        let mut text = format!("error: {}\n", self.message);
        for detail in &self.details {
            text.push_str(&format!("  {detail}\n"));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("help: {help}\n"));
        }
        text
    }

    /// Prints the error on standard error; returns the exit code.
    pub fn print(self) -> ExitCode {
        let text = self.text();
        // Nobody is left to tell if the stream is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.code)
    }
}

impl From<Failure> for Fail {
    fn from(failure: Failure) -> Self {
        Fail {
            message: failure.message,
            details: failure.backtrace,
            help: failure.help,
            code: exit_code::ERROR,
            shown: None,
        }
    }
}

impl From<LoadError> for Fail {
    fn from(error: LoadError) -> Self {
        let (code, help) = match &error {
            LoadError::Read { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                (exit_code::NOT_FOUND, "check the path of the wasm file")
            }
            LoadError::Read { .. } => (exit_code::NOT_RUNNABLE, "check the permissions of the file"),
            LoadError::Directory(_) => (exit_code::NOT_RUNNABLE, "name the wasm file inside it"),
            LoadError::TooLarge { .. } => (exit_code::NOT_RUNNABLE, "check that it is a wasm file"),
            LoadError::Text { .. } => {
                (exit_code::NOT_RUNNABLE, "correct the text, or compile it with another tool to see more")
            }
            LoadError::NotWasm { .. } => {
                (exit_code::NOT_RUNNABLE, "name a .wasm or .wat file; `sampan inspect` tells more about it")
            }
            LoadError::Wrap { error, .. } => (exit_code::NOT_RUNNABLE, error.help()),
            LoadError::Compile { .. } => {
                (exit_code::NOT_RUNNABLE, "`sampan inspect` tells more about the file")
            }
            LoadError::Wasi03IsOff(_) => {
                (exit_code::NOT_RUNNABLE, "switch WASI 0.3 on, or build the program for WASI 0.2")
            }
            LoadError::Engine(_) => (exit_code::ERROR, "this is a limit of the machine or a fault of Sampan"),
        };
        Fail::new(error.to_string()).help(help).code(code)
    }
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
pub fn print_stdout(text: &str) -> Result<ExitCode, Fail> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fail::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
