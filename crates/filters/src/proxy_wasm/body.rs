//! A body on its way past a filter: pulled frame by frame, so whoever reads slowly slows the other side, and the
//! filter sees what was pulled.

use super::chunks::Chunks;
use super::local::LocalResponse;
use super::slot::Lost;
use super::state::{Local, Stream};
use super::stream::{Handle, Woken};
use super::values::{DataAction, Side};
use super::vm::Step;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::{BoxStream, unfold};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{Body, BodyError};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

pub type Frames = BoxStream<'static, Result<Frame<Bytes>, BodyError>>;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("a filter failed")]
    Failed,
    #[error("a filter answered in the place of this body")]
    Answered,
    #[error("a filter closed the stream")]
    Closed,
    #[error("a filter held the body up for too long")]
    Late,
    #[error("a filter has more of the body buffered than it may (buffer)")]
    TooLarge,
    #[error("a filter changed the body but not its content-length")]
    Length,
}

struct Passing {
    handle: Arc<Handle>,
    side: Side,
    inner: Body,
    see_data: bool,
    see_trailers: bool,
    /// What the filter has let pass.
    out: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// What waits without the filter seeing it again.
    held: Chunks,
    /// While it is stopped: how often it had been resumed.
    stopped: Option<u32>,
    /// Nothing more comes.
    ended: bool,
    /// Everything has passed.
    over: bool,
    /// Bytes that the head promises.
    left: Option<u64>,
}

/// The frames that a filter lets pass. `length` is what the head says, if that has been sent.
pub fn frames(handle: &Arc<Handle>, side: Side, inner: Body, length: Option<u64>) -> Frames {
    let (see_data, see_trailers) = handle.plugin.vms.callbacks.of_body(side);
    let passing = Passing {
        handle: Arc::clone(handle),
        side,
        inner,
        see_data,
        see_trailers,
        out: VecDeque::new(),
        trailers: None,
        held: Chunks::default(),
        stopped: None,
        ended: false,
        over: false,
        left: length,
    };
    unfold(passing, |mut passing| async move { Some((passing.next().await?, passing)) }).boxed()
}

impl Passing {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        loop {
            if let Some(piece) = self.out.pop_front() {
                return Some(self.counted(piece));
            }
            if self.over {
                if self.left.is_some_and(|left| left > 0) {
                    self.left = None;
                    return Some(Err(Broken::Length.into()));
                }
                return self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)));
            }
            if let Err(error) = self.advance().await {
                self.over = true;
                self.left = None;
                return Some(Err(error));
            }
        }
    }

    fn counted(&mut self, piece: Bytes) -> Result<Frame<Bytes>, BodyError> {
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                self.out.clear();
                (self.over, self.left) = (true, None);
                return Err(Broken::Length.into());
            };
            *left = rest;
        }
        Ok(Frame::data(piece))
    }

    /// Waits for the next frame, or for the filter, and then does what follows.
    async fn advance(&mut self) -> Result<(), BodyError> {
        let limit = self.handle.plugin.facts.code.spec.buffer_bytes;
        let frame = match self.stopped {
            None => self.inner.frame().await,
            // Whoever sends must wait for the filter.
            Some(since) if self.ended || self.held.len() as u64 >= limit => {
                let pause = self.handle.plugin.facts.code.spec.pause;
                let woken = tokio::time::timeout(pause, self.handle.woken(self.side, since)).await;
                return self.woken(woken.map_err(|_| Broken::Late)?).await;
            }
            Some(since) => {
                // In a block of its own, so that what waited is dropped before it is said what came.
                let first = {
                    let woken = pin!(self.handle.woken(self.side, since));
                    match select(woken, self.inner.frame()).await {
                        Either::Left((woken, _)) => Either::Left(woken),
                        Either::Right((frame, _)) => Either::Right(frame),
                    }
                };
                match first {
                    Either::Left(woken) => return self.woken(woken).await,
                    Either::Right(frame) => frame,
                }
            }
        };
        match frame.transpose()?.map(Frame::into_data) {
            Some(Ok(piece)) => {
                let end = self.inner.is_end_stream();
                self.data(piece, end).await
            }
            Some(Err(frame)) => match frame.into_trailers() {
                Ok(trailers) => self.trailers(trailers).await,
                Err(_) => Ok(()),
            },
            None => self.data(Bytes::new(), true).await,
        }
    }

    async fn woken(&mut self, woken: Result<Woken, Lost>) -> Result<(), BodyError> {
        match woken {
            Ok(Woken::Resumed) => {}
            Ok(Woken::Diverted) => return Err(Broken::Answered.into()),
            Err(lost) => return Err(self.lost(lost).into()),
        }
        let side = self.side;
        let released = self.handle.look(|stream| release(stream, side)).await;
        let (body, trailers) = released.map_err(|lost| self.lost(lost))?;
        self.passes(body);
        self.trailers = self.trailers.take().or(trailers);
        self.over = self.ended;
        Ok(())
    }

    fn passes(&mut self, body: Option<Chunks>) {
        self.stopped = None;
        self.out.extend(std::mem::take(&mut self.held).into_pieces());
        self.out.extend(body.into_iter().flat_map(Chunks::into_pieces));
    }

    fn lost(&self, lost: Lost) -> Broken {
        self.handle.lose(lost);
        Broken::Failed
    }

    async fn data(&mut self, piece: Bytes, end: bool) -> Result<(), BodyError> {
        self.ended |= end;
        if !self.see_data {
            self.passed(piece);
            return Ok(());
        }
        let (side, last) = (self.side, end && self.side == Side::Response);
        let (mut since, spare) = (0, piece.clone());
        let step = |state: &mut super::state::State, id| {
            let mut len = 0;
            if let Some(stream) = state.streams.get_mut(&id) {
                since = stream.resumed(side);
                stream.count(side, &piece);
                let body = stream.body_mut(side).get_or_insert_default();
                body.push(piece);
                len = body.len();
            }
            Step::Body { side, stream: id, len: len as u32, end, last }
        };
        let seen = self.handle.call(step, |stream, action| saw(stream, side, DataAction::of(action)));
        match seen.await {
            // The context is gone: the response was complete before the request.
            Ok(None) => {
                self.passed(spare);
                Ok(())
            }
            Ok(Some(Seen { diverted: true, .. })) => Err(Broken::Answered.into()),
            Ok(Some(Seen { action: DataAction::Continue, body, .. })) => {
                self.passes(body);
                self.over = end;
                Ok(())
            }
            Ok(Some(Seen { action, body, buffered, .. })) => {
                self.stopped = Some(since);
                if action == DataAction::Watermark {
                    self.held.append(body.unwrap_or_default());
                }
                self.bounded(buffered).await
            }
            Err(_) if self.handle.fails_open() && self.stopped.is_none() => {
                (self.see_data, self.see_trailers) = (false, false);
                self.passed(spare);
                Ok(())
            }
            Err(_) => Err(Broken::Failed.into()),
        }
    }

    /// What the filter does not see; it comes behind what it stopped.
    fn passed(&mut self, piece: Bytes) {
        match self.stopped {
            None => {
                self.out.extend(Some(piece).filter(|piece| !piece.is_empty()));
                self.over = self.ended;
            }
            Some(_) => self.held.push(piece),
        }
    }

    /// A request whose body is too long gets 413, as in Envoy.
    async fn bounded(&mut self, buffered: usize) -> Result<(), BodyError> {
        if buffered as u64 <= self.handle.plugin.facts.code.spec.buffer_bytes {
            return Ok(());
        }
        let status = match self.side {
            Side::Request => StatusCode::PAYLOAD_TOO_LARGE,
            Side::Response => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let asked = self.handle.look(|stream| {
            if matches!(stream.local, Local::None) {
                stream.local = Local::Asked(Box::new(LocalResponse::plain(status)));
            }
            std::mem::take(&mut stream.wakers)
        });
        asked.await.unwrap_or_default().into_iter().for_each(std::task::Waker::wake);
        Err(Broken::TooLarge.into())
    }

    async fn trailers(&mut self, trailers: HeaderMap) -> Result<(), BodyError> {
        self.ended = true;
        if !self.see_trailers {
            self.trailers = Some(trailers);
            self.over = self.stopped.is_none();
            return Ok(());
        }
        let (side, last) = (self.side, self.side == Side::Response);
        let (mut since, spare) = (0, trailers.clone());
        let step = |state: &mut super::state::State, id| {
            let count = trailers.len() as u32;
            if let Some(stream) = state.streams.get_mut(&id) {
                since = stream.resumed(side);
                *stream.trailers_mut(side) = Some(trailers);
            }
            Step::Trailers { side, stream: id, count, last }
        };
        let read = |stream: Option<&mut Stream>, action| {
            let stream = stream?;
            if stream.diverted() {
                return Some(Err(Broken::Answered));
            }
            Some(Ok((action == 0).then(|| release(stream, side))))
        };
        match self.handle.call(step, read).await {
            Ok(Some(Err(broken))) => return Err(broken.into()),
            Ok(Some(Ok(Some((body, trailers))))) => {
                self.passes(body);
                (self.trailers, self.over) = (trailers, true);
            }
            Ok(Some(Ok(None))) => self.stopped = Some(since),
            Ok(None) => (self.trailers, self.over) = (Some(spare), true),
            Err(_) if self.handle.fails_open() && self.stopped.is_none() => {
                (self.trailers, self.over) = (Some(spare), true);
            }
            Err(_) => return Err(Broken::Failed.into()),
        }
        Ok(())
    }
}

/// What a callback on data led to.
struct Seen {
    action: DataAction,
    diverted: bool,
    /// What left the context.
    body: Option<Chunks>,
    /// What stays in it.
    buffered: usize,
}

fn saw(stream: Option<&mut Stream>, side: Side, action: DataAction) -> Option<Seen> {
    let stream = stream?;
    let diverted = stream.diverted();
    let body = stream.body_mut(side);
    Some(match action {
        DataAction::Buffer => {
            let buffered = body.as_ref().map_or(0, Chunks::len);
            Seen { action, diverted, body: None, buffered }
        }
        _ => Seen { action, diverted, body: body.take(), buffered: 0 },
    })
}

/// What the filter holds of a side.
fn release(stream: &mut Stream, side: Side) -> (Option<Chunks>, Option<HeaderMap>) {
    (stream.body_mut(side).take(), stream.trailers_mut(side).clone())
}

/// A body that the filter does not see; the context ends with it.
pub struct Tail {
    body: Body,
    handle: Arc<Handle>,
}

impl Tail {
    pub fn new(body: Body, handle: &Arc<Handle>) -> Self {
        Tail { body, handle: Arc::clone(handle) }
    }
}

impl hyper::body::Body for Tail {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Looked at first, so that an endless body does not hide it.
        if self.handle.poll_closed(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::Closed.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
