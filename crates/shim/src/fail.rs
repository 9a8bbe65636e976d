//! What goes wrong, and how containerd is told.

use containerd_shim_protos::ttrpc;
use std::fmt::Display;
use ttrpc::Code;

/// An error for containerd: it branches on the code, people read the message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fail {
    pub code: Code,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Fail>;

impl Fail {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Fail { code, message: message.into() }
    }

    /// Something of the system, or of this shim, that the caller cannot help.
    pub fn internal(what: impl Display, error: impl Display) -> Self {
        Fail::new(Code::UNKNOWN, format!("{what}: {error}"))
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Fail::new(Code::NOT_FOUND, message)
    }

    pub fn precondition(message: impl Into<String>) -> Self {
        Fail::new(Code::FAILED_PRECONDITION, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Fail::new(Code::INVALID_ARGUMENT, message)
    }
}

impl From<Fail> for ttrpc::Error {
    fn from(fail: Fail) -> Self {
        ttrpc::Error::RpcStatus(ttrpc::get_status(fail.code, fail.message))
    }
}

/// `what` failed, with the error's reason and all reasons behind it.
pub trait Context<T> {
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T, E: std::error::Error> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|error| {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            Fail::internal(what, text)
        })
    }
}
