//! What can go wrong, so that a caller can tell a conflict from a refusal and both from a broken connection.

use crate::Reply;
use serde::Deserialize;
use std::fmt;
use wstd::http::StatusCode;

#[derive(Debug)]
pub enum Error {
    /// Dapr answered with an error, or the app did that was invoked.
    Answer {
        status: StatusCode,
        /// Dapr's code, such as `ERR_STATE_STORE_NOT_FOUND`; empty where the answer has none.
        code: String,
        message: String,
    },
    /// These entries of a bulk were not published: their ids, and why.
    NotPublished(Vec<(String, String)>),
    /// No answer came: Dapr is not there, or it is not granted.
    Transport(wstd::http::Error),
    /// A value that is no JSON, or other JSON than was asked for.
    Json(serde_json::Error),
    /// A request that cannot be written, such as one with an impossible header.
    Request(String),
    /// An answer larger than 64 MiB.
    TooLarge,
}

/// Dapr's body of an error.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Said {
    error_code: String,
    message: String,
}

impl Error {
    pub(crate) fn of_reply(reply: &Reply) -> Self {
        let said = serde_json::from_slice::<Said>(&reply.body).unwrap_or_else(|_| Said {
            error_code: String::new(),
            message: String::from_utf8_lossy(&reply.body).into_owned(),
        });
        Error::Answer { status: reply.status, code: said.error_code, message: said.message }
    }

    /// Whether somebody else wrote the value meanwhile: its etag is another one.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Answer { status, .. } if *status == StatusCode::CONFLICT)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Answer { status, code, message } if code.is_empty() => write!(f, "{status}: {message}"),
            Error::Answer { status, code, message } => write!(f, "{status}: {code}: {message}"),
            Error::NotPublished(entries) => {
                write!(f, "{} events were not published", entries.len())?;
                entries.iter().try_for_each(|(id, why)| write!(f, "; {id}: {why}"))
            }
            Error::Transport(error) => write!(f, "no answer of Dapr: {error:#}"),
            Error::Json(error) => write!(f, "unexpected JSON: {error}"),
            Error::Request(what) => write!(f, "no request can be made: {what}"),
            Error::TooLarge => f.write_str("the answer is larger than 64 MiB"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Transport(error) => Some(error.as_ref()),
            Error::Json(error) => Some(error),
            _ => None,
        }
    }
}
