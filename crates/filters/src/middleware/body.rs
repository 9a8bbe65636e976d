//! Bodies on their way to a guest and from it.

use super::next::Watch;
use super::running::Running;
use crate::code::Code;
use crate::common::source::Source;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::BodyError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// The request's body, on its way to the guest.
pub struct Reading {
    source: Source,
    watch: Arc<Watch>,
    over: bool,
}

impl Reading {
    pub fn new(source: Source, watch: &Arc<Watch>) -> Self {
        Reading { over: source.is_over(), source, watch: Arc::clone(watch) }
    }
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.source.poll_read(cx, usize::MAX));
        self.watch.piece();
        Poll::Ready(match piece {
            Ok(bytes) if bytes.is_empty() => {
                self.over = true;
                self.source.trailers().map(|trailers| Ok(Frame::trailers(trailers)))
            }
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(why) => {
                self.over = true;
                Some(Err(WasiError::InternalError(Some(why.to_string()))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

/// The guest ended in the middle of its body. The client must not take what it has for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the response is incomplete: {0}")]
struct Incomplete(String);

/// The response's body on its way from the guest, and with it the guest itself: whoever reads the body lets the
/// guest run.
pub struct Streamed {
    code: Arc<Code>,
    body: WasiBody,
    /// The guest, as long as it runs.
    running: Option<Running>,
    /// Why the guest ended, if not well.
    failed: Option<String>,
    watch: Arc<Watch>,
    over: bool,
}

impl Streamed {
    pub fn new(code: &Arc<Code>, body: WasiBody, running: Running, watch: Arc<Watch>) -> Self {
        Streamed { code: Arc::clone(code), body, running: Some(running), failed: None, watch, over: false }
    }

    fn poll_guest(&mut self, cx: &mut Context<'_>) {
        if let Some(running) = &mut self.running
            && let Poll::Ready(result) = Pin::new(running).poll(cx)
        {
            self.running = None;
            if let Err(ended) = result {
                self.code.ended(&ended);
                self.code.health.failed();
                self.failed = Some(ended.message());
            }
        }
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // The guest first: it may write what is read then.
        self.poll_guest(cx);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.watch.piece();
        let why = match frame {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Some(self.failed.take().unwrap_or_else(|| error.to_string())),
            None => self.failed.take(),
        };
        self.over = true;
        Poll::Ready(why.map(|why| Err(Incomplete(why).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // A client that left ends the guest; one that has all lets it come to its end.
        if let Some(running) = self.running.take().filter(|_| self.over || self.body.is_end_stream()) {
            running.finish();
        }
    }
}
