//! What is answered: JSON, errors in Docker's form, and bodies that are written while the client reads.

use crate::Error;
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use sampan_images::{ImageError, PullError};
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write};
use tokio::sync::mpsc::{Receiver, Sender, channel};

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Answered = Result<Response<Body>, Failure>;

/// Pieces that wait for a client that reads slowly.
const WAITING_MAX: usize = 16;
const PIECE_MAX_BYTES: usize = 64 << 10;

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn with(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub fn text(body: &'static str) -> Answered {
    Ok(with(StatusCode::OK, "text/plain; charset=utf-8", full(body)))
}

pub fn json(value: &impl Serialize) -> Answered {
    json_with(StatusCode::OK, value)
}

pub fn json_with(status: StatusCode, value: &impl Serialize) -> Answered {
    let mut text = serde_json::to_vec(value).map_err(|error| Failure::internal(error.to_string()))?;
    text.push(b'\n');
    Ok(with(status, "application/json", full(text)))
}

/// An answer without a body.
pub fn status(status: StatusCode) -> Answered {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    Ok(response)
}

pub fn no_content() -> Answered {
    status(StatusCode::NO_CONTENT)
}

/// A body that is written while it is sent.
pub fn streamed(kind: &'static str) -> (Out, Response<Body>) {
    let (out, body) = out();
    (out, with(StatusCode::OK, kind, body))
}

pub fn out() -> (Out, Body) {
    let (sender, receiver) = channel(WAITING_MAX);
    let next = |mut receiver: Receiver<io::Result<Bytes>>| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    };
    (Out { sender }, StreamBody::new(stream::unfold(receiver, next)).boxed_unsync())
}

/// Where such a body is written to. Its end is that of the body.
#[derive(Clone)]
pub struct Out {
    sender: Sender<io::Result<Bytes>>,
}

impl Out {
    /// Whether the client still reads.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Until the client has left.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Whether it went out.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.sender.send(Ok(bytes.into())).await.is_ok()
    }

    /// Outside of tasks.
    pub fn send_blocking(&self, bytes: impl Into<Bytes>) -> bool {
        self.sender.blocking_send(Ok(bytes.into())).is_ok()
    }

    /// A line of JSON, outside of tasks.
    pub fn line_blocking(&self, value: &impl Serialize) -> bool {
        line(value).is_some_and(|line| self.send_blocking(line))
    }

    pub async fn line(&self, value: &impl Serialize) -> bool {
        match line(value) {
            Some(line) => self.send(line).await,
            None => false,
        }
    }

    /// The body breaks off: the client must not take it for whole.
    pub fn fail_blocking(self, error: impl ToString) {
        // The client may have left.
        let _ = self.sender.blocking_send(Err(io::Error::other(error.to_string())));
    }
}

fn line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut text = serde_json::to_vec(value).ok()?;
    // As Docker ends them.
    text.extend_from_slice(b"\r\n");
    Some(text)
}

/// Outside of tasks. Small pieces are kept until there is one worth sending, or a flush.
pub struct Writer {
    out: Out,
    piece: Vec<u8>,
}

impl Writer {
    pub fn new(out: Out) -> Self {
        Writer { out, piece: Vec::new() }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_MAX_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() || self.out.send_blocking(piece) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}

/// An error in Docker's form.
#[derive(Debug)]
pub struct Failure {
    pub status: StatusCode,
    pub message: String,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Failure { status, message: message.into() }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::new(StatusCode::NOT_FOUND, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Failure::new(StatusCode::CONFLICT, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub fn no_page() -> Self {
        Failure::not_found("page not found")
    }

    pub fn into_response(self) -> Response<Body> {
        let message = json!({ "message": self.message });
        with(self.status, "application/json", full(format!("{message}\n")))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            // Clients look for these words.
            Error::NotFound(name) => return Failure::not_found(format!("No such container: {name}")),
            Error::NoPath(path) => {
                return Failure::not_found(format!("Could not find the file {path} in the container"));
            }
            Error::NameTaken { name, id } => {
                return Failure::conflict(format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to \
                     remove (or rename) that container to be able to reuse that name."
                ));
            }
            Error::State { .. } => StatusCode::CONFLICT,
            Error::Ambiguous(_) | Error::Name(_) | Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::File { .. } | Error::Supervisor(_) | Error::Damaged { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Failure::new(status, error.to_string())
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        let status = match &error {
            // Clients look for these words, and pull then.
            ImageError::NotFound(name) => return Failure::not_found(format!("No such image: {name}")),
            ImageError::Registry(PullError::NotFound { .. }) => StatusCode::NOT_FOUND,
            ImageError::Registry(PullError::Refused { .. }) => StatusCode::FORBIDDEN,
            ImageError::Platform { .. } => StatusCode::NOT_FOUND,
            ImageError::InUse { .. } | ImageError::ManyNames { .. } => StatusCode::CONFLICT,
            ImageError::Ambiguous { .. } | ImageError::Name { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, format!("{error} ({})", error.help()))
    }
}
