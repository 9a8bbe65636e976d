//! The guest's body on its way to the client, and with it the guest itself: whoever reads the body lets the guest
//! run, so that a slow client slows it and a client that leaves ends it.

use super::ANSWER_WITHIN;
use crate::serve::{Bounded, Unit};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{Body, BodyError, empty, full};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::WasiBody;

/// Frames that are taken at once where the guest is done: as many as wasi:http keeps for it, and trailers.
const FRAMES_AT_ONCE: usize = 4;

/// The guest ended in the middle of its body. The client must not take what it has for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the response is incomplete: {0}")]
pub(super) struct Incomplete(String);

/// Whether an instance is about to be dropped. Its streams end then as if the guest had closed them, maybe in another
/// thread and before its call has said why.
#[derive(Clone, Default)]
pub(super) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    /// To be dropped before the instance, whichever way its call ends.
    pub fn on_drop(&self) -> impl Drop + use<> {
        struct Leaves(Leaving);
        impl Drop for Leaves {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::SeqCst);
            }
        }
        Leaves(self.clone())
    }
}

pub(super) struct Streamed {
    unit: Arc<Unit>,
    leaving: Option<Leaving>,
    /// Frames that were taken before.
    taken: VecDeque<Frame<Bytes>>,
    body: WasiBody,
    /// The guest, as long as it runs.
    call: Option<Bounded<()>>,
    /// Why the guest ended, if not well.
    failed: Option<String>,
    /// What is left of the length that the guest promised: who sends it reads no further.
    left: Option<u64>,
    /// The body has ended, and the guest that ended with it has not yet said why.
    unexplained: bool,
    over: bool,
}

impl Streamed {
    pub fn new(
        unit: &Arc<Unit>,
        headers: &HeaderMap,
        body: WasiBody,
        leaving: Option<Leaving>,
        call: Option<Bounded<()>>,
        failed: Option<String>,
    ) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Streamed {
            unit: Arc::clone(unit),
            leaving,
            taken: VecDeque::new(),
            body,
            call,
            failed,
            left: length,
            unexplained: false,
            over: false,
        }
    }

    /// For a guest that is done: what it wrote, in one piece where it is one.
    pub fn into_body(mut self, cx: &mut Context<'_>) -> Body {
        if self.call.is_some() || self.failed.is_some() {
            return self.boxed_unsync();
        }
        while self.taken.len() < FRAMES_AT_ONCE {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.taken.push_back(frame),
                Poll::Ready(None) => {
                    self.over = true;
                    break;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error.to_string());
                    break;
                }
                Poll::Pending => break,
            }
        }
        let whole = self.over && self.taken.iter().all(Frame::is_data);
        match (whole, self.taken.len()) {
            (true, 0) => empty(),
            (true, 1) => {
                let frame = self.taken.pop_front().and_then(|frame| frame.into_data().ok());
                full(frame.unwrap_or_default())
            }
            _ => self.boxed_unsync(),
        }
    }

    /// Reads the guest's body in place of a client that does not want it, so that the guest runs to its end.
    pub fn drain(mut self) {
        let overflow = self.unit.machine.overflow.clone();
        overflow.spawn(async move {
            let all = async { while let Some(Ok(_)) = self.frame().await {} };
            // What is left of the guest after this has no time limit of its own, and is dropped.
            let _ = tokio::time::timeout(ANSWER_WITHIN, all).await;
        });
    }

    fn poll_guest(&mut self, cx: &mut Context<'_>) {
        if let Some(call) = &mut self.call
            && let Poll::Ready(result) = Pin::new(call).poll(cx)
        {
            self.call = None;
            if let Err(ended) = result {
                self.unit.ended(&ended);
                self.failed = Some(ended.message());
            }
        }
    }

    /// Whether the body ended because the guest did, and why is not known yet.
    fn is_unexplained(&mut self, cx: &mut Context<'_>) -> bool {
        let leaves = self.leaving.as_ref().is_some_and(|leaving| leaving.0.load(Ordering::SeqCst));
        if leaves {
            self.poll_guest(cx);
        }
        self.unexplained = leaves && self.call.is_some();
        self.unexplained
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.over = true;
        if let Some(why) = self.failed.take() {
            return Some(Err(Incomplete(why).into()));
        }
        None
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The guest first: it may write what is read then.
        self.poll_guest(cx);
        let frame = match self.taken.pop_front() {
            Some(frame) => Some(Ok(frame)),
            None if self.over => None,
            None if self.unexplained => match self.call {
                Some(_) => return Poll::Pending,
                None => None,
            },
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(bytes));
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let why = self.failed.take().unwrap_or_else(|| error.to_string());
                self.failed = Some(why);
                self.end()
            }
            None if !self.over && self.is_unexplained(cx) => return Poll::Pending,
            None => self.end(),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.failed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let whole = self.over || self.left == Some(0);
        if whole && self.failed.is_none() {
            // It has answered and goes on: that is its right, until its limits.
            let unit = Arc::clone(&self.unit);
            call.detach(ANSWER_WITHIN, move |result| {
                if let Err(ended) = result {
                    unit.ended(&ended);
                }
            });
        } else {
            self.unit.metrics.failed("cancelled");
        }
    }
}
