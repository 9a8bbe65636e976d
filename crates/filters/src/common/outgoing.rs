//! A body that goes on behind a filter: what it wrote or has read already, then the rest, then trailers with the
//! filter's changes.

use super::headers::Edit;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{Body, BodyError};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub struct Outgoing {
    front: VecDeque<Bytes>,
    rest: Option<Body>,
    /// Those that came, as far as they have.
    trailers: Option<HeaderMap>,
    edits: Vec<Edit>,
    over: bool,
}

impl Outgoing {
    pub fn new(front: Vec<Bytes>, rest: Option<Body>, trailers: Option<HeaderMap>) -> Self {
        let front = front.into_iter().filter(|bytes| !bytes.is_empty()).collect();
        Outgoing { front, rest, trailers, edits: Vec::new(), over: false }
    }

    /// A body that the filter wrote.
    pub fn written(bytes: impl Into<Bytes>) -> Self {
        Outgoing::new(vec![bytes.into()], None, None)
    }

    pub fn edit_trailers(&mut self, edits: Vec<Edit>) {
        self.edits = edits;
    }

    /// Its length, if that is known.
    pub fn length(&self) -> Option<u64> {
        if self.trailers.is_some() || !self.edits.is_empty() {
            return None;
        }
        self.size_hint().exact()
    }

    /// As what other handlers know.
    pub fn into_body(mut self) -> Body {
        if self.trailers.is_some() || !self.edits.is_empty() {
            return self.boxed_unsync();
        }
        match (self.front.len(), self.rest.take()) {
            (0, Some(rest)) => rest,
            (0, None) => sampan_service::empty(),
            (1, None) => sampan_service::full(self.front.pop_front().unwrap_or_default()),
            (_, rest) => {
                self.rest = rest;
                self.boxed_unsync()
            }
        }
    }

    fn last(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        if self.over {
            return None;
        }
        self.over = true;
        let mut trailers = self.trailers.take().unwrap_or_default();
        for edit in self.edits.drain(..) {
            // The filter is gone; what it added beyond the limit is left out.
            let _ = edit.apply(&mut trailers);
        }
        (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(bytes) = self.front.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Some(rest) = &mut self.rest {
            match ready!(Pin::new(rest).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_trailers() {
                    Ok(trailers) => self.trailers = Some(trailers),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Some(Err(error)) => {
                    self.over = true;
                    self.rest = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {}
            }
            self.rest = None;
        }
        Poll::Ready(self.last())
    }

    fn is_end_stream(&self) -> bool {
        let more = self.trailers.is_some() || !self.edits.is_empty();
        self.front.is_empty()
            && (self.over || !more)
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let front: u64 = self.front.iter().map(|bytes| bytes.len() as u64).sum();
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(front + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(front + upper);
        }
        hint
    }
}
