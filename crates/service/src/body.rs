//! Bodies between hyper and the handler: with a limit on how long a client may pause, and with an end that is
//! noticed.

use crate::exchange::Flight;
use crate::handler::{Body, BodyError};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The client sent nothing for too long while its request's body was awaited.
#[derive(Debug, thiserror::Error)]
#[error("the client did not go on with its request's body in time")]
pub struct BodyTimeout;

/// A request's body; without one nothing is allocated.
pub(crate) fn request(incoming: Incoming, idle: Duration) -> Body {
    if incoming.is_end_stream() {
        return crate::handler::empty();
    }
    RequestBody { incoming, idle, since: None, sleep: None }.boxed_unsync()
}

struct RequestBody {
    incoming: Incoming,
    idle: Duration,
    /// Since when the handler has waited.
    since: Option<Instant>,
    /// Kept over frames, and moved only when it fires: the timer is not touched for each frame.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    fn waited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(self.idle) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.since = None;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.waited(cx));
                Poll::Ready(Some(Err(BodyTimeout.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response's body. The request is in flight until it is dropped.
pub(crate) struct ResponseBody {
    body: Body,
    flight: Flight,
    /// A frame was given and no other has been asked for: the client has to take it first.
    stalled: Option<u32>,
}

impl ResponseBody {
    pub fn new(body: Body, flight: Flight) -> Self {
        ResponseBody { body, flight, stalled: None }
    }

    fn go_on(&mut self) {
        if let Some(look) = self.stalled.take() {
            self.flight.go_on(look);
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.go_on();
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.go_on();
        // A body that panics ends its response, not the worker.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(cx)));
        let frame = ready!(polled.unwrap_or_else(|panic| {
            this.flight.panicked(&*panic);
            Poll::Ready(Some(Err("the response failed inside".into())))
        }));
        match &frame {
            Some(Ok(frame)) => {
                this.flight.sent(frame.data_ref().map_or(0, Bytes::len));
                this.stalled = this.flight.stall();
            }
            Some(Err(_)) => this.flight.broken(),
            None => {}
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
