//! What can go wrong with containers, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no container {0}")]
    NotFound(String),
    #[error("`{0}` could be more than one container")]
    Ambiguous(String),
    #[error("the name {name} is used by the container {id}")]
    NameTaken { name: String, id: String },
    #[error("`{0}` is no name for a container")]
    Name(String),
    /// What was asked does not fit the state.
    #[error("the container {name} {is}")]
    State { name: String, is: &'static str },
    #[error("{0}")]
    Invalid(String),
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
    /// The supervisor said no, or said nothing.
    #[error("{0}")]
    Supervisor(String),
    /// A path in a container that is not there.
    #[error("the container has no {0}")]
    NoPath(String),
    /// A record of ours that another version wrote, or that is damaged.
    #[error("{path} is damaged: {why}", path = path.display())]
    Damaged { path: PathBuf, why: String },
}

impl Error {
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |error| Error::File { path, error }
    }

    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            Error::NotFound(_) => "`sampan ps -a` lists all containers",
            Error::Ambiguous(_) => "give more of the id",
            Error::NameTaken { .. } => "choose another name, or remove that container by `sampan rm`",
            Error::Name(_) => "begin with a letter or digit, and go on with those, `_`, `.` and `-`",
            Error::State { .. } => "`sampan ps -a` shows what containers do",
            Error::Invalid(_) => "correct it and try again",
            Error::File { .. } => {
                "check the space on the disk and who owns the folder, or set SAMPAN_DATA_DIR to another"
            }
            Error::Supervisor(_) => "`sampan logs` and `sampan inspect` may tell more",
            Error::NoPath(_) => "check the path; it begins at the container's root",
            Error::Damaged { .. } => "remove the container by `sampan rm -f`",
        }
    }
}
