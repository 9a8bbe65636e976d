//! Waiting for the head of a response: how long, and what is known of the request's body meanwhile.

use super::failure::Failure;
use super::link::Unanswered;
use super::timer::Timer;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use hyper::client::conn::TrySendError;
use sampan_service::{Body, BodyError, BodyTimeout};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait for a response.
pub struct Wait<'a> {
    pub deadline: Instant,
    pub silence: Duration,
    /// `None` where the request has no body.
    pub upload: Option<&'a Upload>,
}

impl Wait<'_> {
    /// Ready when it was too long. A request's body that still goes on gives more time, and so does one that the client
    /// does not go on with: that has a limit of its own, and the server cannot answer what it has not got.
    pub fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Failure> {
        loop {
            ready!(timer.poll(cx, self.deadline));
            let goes_on = |upload: &Upload| upload.moved.swap(false, Relaxed) || upload.is_awaited();
            if !self.upload.is_some_and(goes_on) {
                return Poll::Ready(Failure::FirstByte(self.silence));
            }
            self.deadline = Instant::now() + self.silence;
        }
    }

    /// What an error of hyper means.
    pub fn unanswered(&self, mut error: TrySendError<Request<Body>>) -> Unanswered {
        let request = error.take_message().map(Box::new);
        let broken = self.upload.map_or(WELL, |upload| upload.broken.load(Relaxed));
        let error = error.into_error();
        let failure = match broken {
            SLOW => Failure::ClientSlow,
            BROKEN => Failure::ClientBody,
            _ if request.is_some() => Failure::Gone,
            _ if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() => {
                Failure::BadResponse(error)
            }
            _ => Failure::Reset(error),
        };
        Unanswered { request, failure }
    }
}

const WELL: u8 = 0;
const SLOW: u8 = 1;
const BROKEN: u8 = 2;

/// What is known of a request's body while it is sent.
#[derive(Default)]
pub struct Upload {
    moved: AtomicBool,
    /// The server would take more of it, and the client has not sent it.
    awaited: AtomicBool,
    broken: AtomicU8,
}

impl Upload {
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Relaxed)
    }
}

/// The body, watched.
pub fn watched(body: Body, upload: &Arc<Upload>) -> Body {
    Watched { body, upload: upload.clone() }.boxed_unsync()
}

struct Watched {
    body: Body,
    upload: Arc<Upload>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.upload.awaited.store(polled.is_pending(), Relaxed);
        let frame = ready!(polled);
        self.upload.moved.store(true, Relaxed);
        if let Some(Err(error)) = &frame {
            let broken = if error.is::<BodyTimeout>() { SLOW } else { BROKEN };
            self.upload.broken.store(broken, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
