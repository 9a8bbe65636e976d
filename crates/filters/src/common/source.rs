//! A body that a filter reads before, or in place of, whoever it is for: pulled from the peer as it is read, and
//! kept only where somebody will want it again.

use super::outgoing::Outgoing;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::StatusCode;
use hyper::body::Body as _;
use sampan_service::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// The exchange cannot go on, and the filter is not to blame: whoever sends the body is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadBody {
    pub status: StatusCode,
    pub why: String,
}

/// Shared between an instance and its exchange: an instance that traps takes nothing with it.
#[derive(Clone)]
pub struct Source(Arc<Mutex<Inner>>);

struct Inner {
    /// `None`: handed on.
    body: Option<Body>,
    /// What was pulled, in order.
    kept: Vec<Bytes>,
    kept_bytes: u64,
    limit: u64,
    keep: Keep,
    /// What was pulled and not read yet.
    unread: Bytes,
    over: bool,
    trailers: Option<HeaderMap>,
    /// Something was read that is not kept.
    lost: bool,
    too_large: StatusCode,
    broken: StatusCode,
}

/// What becomes of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is gone.
    Nothing,
    /// As far as there is room: for an exchange that goes on without its filter.
    Perhaps,
    /// All, or the exchange ends.
    All,
}

impl Source {
    pub fn request(body: Body, keep: Keep, limit: u64) -> Self {
        Source::new(body, keep, limit, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::BAD_REQUEST)
    }

    pub fn response(body: Body, keep: Keep, limit: u64) -> Self {
        Source::new(body, keep, limit, StatusCode::BAD_GATEWAY, StatusCode::BAD_GATEWAY)
    }

    fn new(body: Body, keep: Keep, limit: u64, too_large: StatusCode, broken: StatusCode) -> Self {
        Source(Arc::new(Mutex::new(Inner {
            over: body.is_end_stream(),
            body: Some(body),
            kept: Vec::new(),
            kept_bytes: 0,
            limit,
            keep,
            unread: Bytes::new(),
            trailers: None,
            lost: false,
            too_large,
            broken,
        })))
    }

    /// From now on, all that is read is kept.
    pub fn keep_all(&self) {
        self.lock().keep = Keep::All;
    }

    /// Up to so many bytes; empty at the end of the body.
    pub async fn read(&self, most: usize) -> Result<Bytes, BadBody> {
        poll_fn(|cx| self.poll_read(cx, most)).await
    }

    /// The same for whoever polls.
    pub fn poll_read(&self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Bytes, BadBody>> {
        self.lock().poll_read(cx, most)
    }

    /// Whether nothing is left to be read.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.over && inner.unread.is_empty()
    }

    /// All that is left, which is kept.
    pub async fn read_all(&self) -> Result<Vec<u8>, BadBody> {
        self.keep_all();
        let mut all = Vec::new();
        loop {
            let piece = self.read(usize::MAX).await?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&piece);
        }
    }

    /// What came after the body, once it is over.
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.lock().trailers.clone()
    }

    /// The body for whoever it is for: all of it where it was kept, else what the filter left of it. And whether it
    /// is still the whole.
    pub fn hand_on(&self) -> (Outgoing, bool) {
        let mut inner = self.lock();
        let whole = inner.kept_bytes == 0 || (inner.keep == Keep::All && !inner.lost);
        (inner.give(whole), whole)
    }

    /// The body as if nobody had read it, if that is possible.
    pub fn rescue(&self) -> Option<Outgoing> {
        let mut inner = self.lock();
        (!inner.lost && inner.body.is_some()).then(|| inner.give(true))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn give(&mut self, whole: bool) -> Outgoing {
        let front = if whole { self.kept.clone() } else { vec![self.unread.clone()] };
        let body = self.body.take().filter(|_| !self.over);
        Outgoing::new(front, body, self.trailers.clone())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Bytes, BadBody>> {
        while self.unread.is_empty() {
            let body = self.body.as_mut().filter(|_| !self.over);
            let Some(body) = body else { return Poll::Ready(Ok(Bytes::new())) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => self.over = true,
                Some(Err(error)) => {
                    let why = format!("the body cannot be read: {error}");
                    return Poll::Ready(Err(BadBody { status: self.broken, why }));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pulled(data)?,
                    Err(frame) => {
                        self.over = true;
                        self.trailers = frame.into_trailers().ok();
                    }
                },
            }
        }
        let length = most.min(self.unread.len());
        Poll::Ready(Ok(self.unread.split_to(length)))
    }

    fn pulled(&mut self, data: Bytes) -> Result<(), BadBody> {
        self.kept_bytes += data.remaining() as u64;
        let room = self.kept_bytes <= self.limit;
        match self.keep {
            Keep::All if !room => {
                let why =
                    format!("the body has more than the {} bytes that the filter may buffer", self.limit);
                return Err(BadBody { status: self.too_large, why });
            }
            Keep::Perhaps | Keep::All if room && !self.lost => self.kept.push(data.clone()),
            _ => {
                self.lost = true;
                self.kept.clear();
            }
        }
        self.unread = data;
        Ok(())
    }
}
