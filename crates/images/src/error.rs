//! Why an image cannot be had, and what to do about it.

use http::StatusCode;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("the registry {host} does not answer: {why}")]
    Unreachable { host: String, why: String },
    #[error("the registry {host} lets us not in ({status}{})", said(message))]
    Refused {
        host: String,
        status: StatusCode,
        /// As the registry says it; empty if it says nothing.
        message: String,
        /// Whether we showed who we are.
        known: bool,
    },
    #[error("the registry {host} has no such image{}", said(message))]
    NotFound { host: String, message: String },
    #[error("the registry {host} wants fewer requests (429{})", said(message))]
    TooMany {
        host: String,
        message: String,
        /// When to ask again, if the registry says it.
        after: Option<Duration>,
    },
    #[error("the registry {host} answers with {status}{}", said(message))]
    Status { host: String, status: StatusCode, message: String },
    #[error("{0}")]
    Credentials(String),
    #[error("{}: {what}", path.display())]
    Settings { path: PathBuf, what: String },
    /// Not as the specification says.
    #[error("{0}")]
    Malformed(String),
    #[error("{what} is not what its digest says: {expected} was named, {found} came")]
    Digest { what: &'static str, expected: String, found: String },
    #[error("it has {found} bytes, and its manifest says {expected}")]
    Size { expected: u64, found: String },
    #[error("it has {bytes} bytes, and at most {max} are taken")]
    TooLarge { bytes: u64, max: u64 },
    #[error("it has nothing for WebAssembly, but: {0}")]
    NoPlatform(String),
    #[error("it has no WebAssembly module that could be meant, but: {0}")]
    NoModule(String),
    #[error("cannot keep it in {}: {error}", path.display())]
    Store { path: PathBuf, error: io::Error },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl PullError {
    /// Whether it may be different in a while, so that what is known from before may be used meanwhile.
    pub fn is_passing(&self) -> bool {
        match self {
            PullError::Unreachable { .. } | PullError::TooMany { .. } => true,
            PullError::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            PullError::Unreachable { .. } => {
                "check the name of the registry and the network; an image that was pulled before needs neither"
            }
            PullError::Refused { known: true, .. } => {
                "check that this account may pull the image; `docker login REGISTRY` stores other credentials"
            }
            PullError::Refused { known: false, .. } => {
                "store credentials with `docker login REGISTRY`; they are read from Docker's config.json"
            }
            PullError::NotFound { .. } => "check the name and the tag, and that the image was pushed",
            PullError::TooMany { .. } => {
                "try again later; registries allow more to those who log in (`docker login REGISTRY`)"
            }
            PullError::Status { .. } => "try again later, or ask who runs the registry",
            PullError::Credentials(_) => "correct Docker's config.json, or store them anew by `docker login`",
            PullError::Settings { .. } => {
                "write {\"REGISTRY\": {\"mirrors\": [\"https://HOST\"], \"insecure\": false}}"
            }
            PullError::Malformed(_) => "push the image anew, by a tool that follows the OCI specifications",
            PullError::Digest { .. } | PullError::Size { .. } => {
                "try again; if it stays so, the registry or something on the way to it is damaged"
            }
            PullError::TooLarge { .. } => "make the module smaller: without debug information, and optimised",
            PullError::NoPlatform(_) => "push the image for the platform wasi/wasm",
            PullError::NoModule(_) => {
                "push the wasm file as one layer of the type application/wasm, or as plugin.wasm in an image"
            }
            PullError::Store { .. } => {
                "check the space on the disk and who owns the folder, or set SAMPAN_CACHE_DIR to another"
            }
        }
    }
}
