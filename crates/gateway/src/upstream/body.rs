//! A response's body on its way from a server to the client: pulled frame by frame, with a bound on pauses. Its
//! end gives the connection back; dropping it earlier closes the connection, which cancels the request.

use super::Inner;
use super::failure::Failure;
use super::gate::Permit;
use super::lease::{Carrier, Lease};
use super::outlier::Shown;
use super::timer::Timer;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use sampan_service::BodyError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the server sent nothing for {0:?}")]
    Idle(Duration),
    #[error("{}", Failure::Total)]
    Total,
}

pub struct Flow {
    incoming: Incoming,
    /// `None` once the body has come to its end.
    held: Option<Held>,
    inner: Arc<Inner>,
    total: Option<Instant>,
    /// Since when the client's side has waited.
    since: Option<Instant>,
    timer: Timer,
    /// Told at the next poll, so that what came before it goes out first.
    broken: Option<BodyError>,
}

/// What a response in flight keeps.
pub struct Held {
    pub lease: Lease,
    pub permit: Permit,
}

impl Flow {
    pub fn new(incoming: Incoming, held: Held, inner: Arc<Inner>, total: Option<Instant>) -> Flow {
        Flow { incoming, held: Some(held), inner, total, since: None, timer: Timer::default(), broken: None }
    }

    /// A frame if there is one, else a look at the connection, which may bring one.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let Poll::Pending = polled else { return polled };
        let Some(Held { lease: Lease { carrier: Carrier::Http1(link), .. }, .. }) = &mut self.held else {
            return Poll::Pending;
        };
        link.drive(cx);
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn finish(&mut self) {
        if let Some(Held { lease, permit }) = self.held.take() {
            self.inner.saw(&lease.server.0, Shown::WholeBody);
            lease.release(&self.inner);
            drop(permit);
        }
    }

    fn fail(&mut self, reason: &'static str, of_server: bool) {
        self.inner.metrics.failed(reason);
        if let Some(held) = self.held.take().filter(|_| of_server) {
            self.inner.saw(&held.lease.server.0, Shown::BrokenBody);
        }
    }

    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let idle = self.inner.spec.timeouts.idle;
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + idle;
        let until = self.total.map_or(deadline, |total| total.min(deadline));
        let timer = match &mut self.held {
            Some(Held { lease: Lease { carrier: Carrier::Http1(link), .. }, .. }) => link.timer(),
            _ => &mut self.timer,
        };
        timer.poll(cx, until).map(|()| {
            let total = until < deadline;
            // A client that takes its time with what it has got uses up the time of the whole, too.
            self.fail(if total { "total" } else { "idle" }, !total);
            if total { Broken::Total.into() } else { Broken::Idle(idle).into() }
        })
    }
}

impl hyper::body::Body for Flow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match this.pull(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.since = None;
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.fail("body", true);
                this.broken = Some(error.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => this.overdue(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
