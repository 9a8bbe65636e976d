//! The response's body on its way to the guest.

use super::Error;
use super::pool::Lease;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// Yields what the server sends, no faster than it is asked for. Holds the guest's place among its requests
/// under way, and the connection: read to its end it gives the connection back, dropped earlier it closes it.
pub struct ResponseBody {
    incoming: Incoming,
    between_bytes: Duration,
    /// Made when the server first keeps us waiting.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs since the last frame.
    waiting: bool,
    open: Option<Open>,
}

struct Open {
    lease: Lease,
    _place: OwnedSemaphorePermit,
}

impl ResponseBody {
    pub fn new(
        incoming: Incoming,
        between_bytes: Duration,
        lease: Lease,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let open = Some(Open { lease, _place: place });
        let mut body = ResponseBody { incoming, between_bytes, timer: None, waiting: false, open };
        body.release_at_end();
        body
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(open) = self.open.take()
        {
            open.lease.release();
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let between_bytes = self.between_bytes;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(between_bytes)));
        if !self.waiting {
            timer.as_mut().reset(Instant::now() + between_bytes);
            self.waiting = true;
        }
        timer.as_mut().poll(cx)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = false;
                self.release_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.open = None;
                Poll::Ready(Some(Err(Error::from_body(&error))))
            }
            Poll::Ready(None) => {
                if let Some(open) = self.open.take() {
                    open.lease.release();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(self.poll_silence(cx));
                self.open = None;
                Poll::Ready(Some(Err(Error::ReadTimeout)))
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
