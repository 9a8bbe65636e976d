//! An exchange's hold on its context in a VM. It is shared by the exchange and its bodies; the context ends with the
//! last of them.

use super::group::Lease;
use super::local::LocalResponse;
use super::plugin::ProxyWasm;
use super::slot::{Lost, Slot};
use super::state::{Local, State, Stream};
use super::values::Side;
use super::vm::Step;
use sampan_app::OnFailure;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

pub struct Handle {
    pub plugin: Arc<ProxyWasm>,
    lease: Lease,
    /// 0 before it began.
    id: AtomicU32,
    /// The guest was told that it is over.
    ended: AtomicBool,
    lost: AtomicBool,
}

/// Why somebody who waited goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// `proxy_continue_stream`.
    Resumed,
    /// The filter answers itself, or closes the stream.
    Diverted,
}

/// What comes in the place of what would have come.
pub enum Diversion {
    Answer(LocalResponse),
    /// Nothing: the client's stream is reset.
    Closed,
    /// The context is not there any more.
    Gone,
}

impl Handle {
    pub fn new(plugin: Arc<ProxyWasm>, lease: Lease) -> Arc<Self> {
        let (id, ended, lost) = (AtomicU32::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Handle { plugin, lease, id, ended, lost })
    }

    pub fn id(&self) -> u32 {
        self.id.load(Relaxed)
    }

    pub fn begins(&self, id: u32) {
        self.id.store(id, Relaxed);
    }

    pub fn slot(&self) -> &Arc<Slot> {
        &self.lease.0
    }

    /// Whether the filter failed, and its exchange must not go on without it.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    pub fn fails_open(&self) -> bool {
        self.plugin.facts.code.spec.on_failure == OnFailure::Open
    }

    /// Calls the guest. What `read` gets is `None` where the context is gone.
    pub async fn call<R: Send>(
        &self,
        step: impl FnOnce(&mut State, u32) -> Step + Send,
        read: impl FnOnce(Option<&mut Stream>, u32) -> R + Send,
    ) -> Result<R, Lost> {
        let read = |state: &mut State, action| {
            let stream = state.streams.get_mut(&self.id()).map(Box::as_mut);
            if stream.as_ref().is_some_and(|stream| stream.over || stream.leaving) {
                self.ended.store(true, Relaxed);
            }
            read(stream, action)
        };
        let result = self.slot().call(|state| step(state, self.id()), read).await;
        result.inspect_err(|lost| self.lose(*lost))
    }

    pub fn lose(&self, lost: Lost) {
        self.lost.store(true, Relaxed);
        // Who only shared the VM has not shown anything about the filter.
        if lost == Lost::Ended {
            self.plugin.facts.code.health.failed();
        }
    }

    /// Looks into the context as soon as the VM is back.
    pub async fn look<R>(&self, look: impl FnOnce(&mut Stream) -> R) -> Result<R, Lost> {
        let mut look = Some(look);
        let id = self.id();
        let looked = poll_fn(|cx| {
            self.slot().peek(cx, |state| {
                let stream = state.streams.get_mut(&id)?;
                look.take().map(|look| look(stream))
            })
        });
        looked.await?.ok_or(Lost::Gone)
    }

    /// Until the guest lets a side go on that had been resumed `since` times when it stopped.
    pub fn poll_woken(&self, cx: &mut Context<'_>, side: Side, since: u32) -> Poll<Result<Woken, Lost>> {
        let id = self.id();
        let looked = self.slot().peek(cx, |state| {
            let stream = state.streams.get_mut(&id)?;
            if stream.diverted() {
                return Some(Poll::Ready(Woken::Diverted));
            }
            if stream.resumed(side) != since {
                return Some(Poll::Ready(Woken::Resumed));
            }
            state.streams.get_mut(&id)?.wait(cx.waker());
            Some(Poll::Pending)
        });
        match ready!(looked) {
            Ok(Some(Poll::Pending)) => Poll::Pending,
            Ok(Some(Poll::Ready(woken))) => Poll::Ready(Ok(woken)),
            Ok(None) => Poll::Ready(Err(Lost::Gone)),
            Err(lost) => Poll::Ready(Err(lost)),
        }
    }

    /// Until the guest answers in the place of others. A VM that ended never does.
    pub fn poll_diverted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let id = self.id();
        let looked = self.slot().peek(cx, |state| {
            let Some(stream) = state.streams.get_mut(&id) else { return false };
            stream.wait(cx.waker());
            stream.diverted()
        });
        match looked {
            Poll::Ready(Ok(true)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    pub async fn woken(&self, side: Side, since: u32) -> Result<Woken, Lost> {
        poll_fn(|cx| self.poll_woken(cx, side, since)).await
    }

    /// Until the guest closes the stream.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let id = self.id();
        let looked = self.slot().peek(cx, |state| {
            let Some(stream) = state.streams.get_mut(&id) else { return false };
            stream.wait(cx.waker());
            stream.closed
        });
        match looked {
            Poll::Ready(Ok(true)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// What the guest wants in the place of what would have come. A stream that it closed stays so, whatever else it
    /// said.
    pub async fn diversion(&self) -> Diversion {
        let taken = self.look(|stream| match std::mem::replace(&mut stream.local, Local::Taken) {
            _ if stream.closed => Diversion::Closed,
            Local::Asked(local) => Diversion::Answer(*local),
            Local::None | Local::Taken => Diversion::Gone,
        });
        taken.await.unwrap_or(Diversion::Gone)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let stream = self.id();
        if stream != 0 && !self.ended.load(Relaxed) {
            self.slot().background(Step::End { stream });
        }
    }
}
