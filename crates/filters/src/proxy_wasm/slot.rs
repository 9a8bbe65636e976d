//! Where a VM is kept between calls, and how a call gets it.
//!
//! A call takes the VM out of its slot, and the call's future owns it: usually the future is ready when it is first
//! polled, and the VM is back before anybody else looks. A call that takes long goes on in the overflow runtime, and
//! the slot is empty until it ends. The slot's lock is held to look, never while a guest runs, and as a rule only one
//! thread ever takes it: the worker whose VM it is. It is there because a body may be read elsewhere, by a guest that
//! runs long.

use super::calls;
use super::group::Group;
use super::state::{After, State};
use super::tick;
use super::vm::{Step, Vm};
use crate::code::Code;
use sampan_runtime::serve::{Bounded, Ended};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

/// The VM is back, with the guest's action.
type Called = (Box<Vm>, u32);

/// Why a VM did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It ended in this very call.
    Ended,
    /// It had ended before.
    Gone,
}

pub struct Slot {
    pub code: Arc<Code>,
    group: Weak<Group>,
    /// Of the worker whose VM it is.
    pub runtime: Handle,
    inner: Mutex<Inner>,
    /// What `inner` holds, for those who choose among slots.
    look: AtomicU8,
    /// Exchanges that use it.
    pub streams: AtomicU32,
    /// The filter has failed not long ago: its calls are run where they keep no connection waiting.
    pub apart: AtomicBool,
}

struct Inner {
    holds: Holds,
    waiters: Vec<Waker>,
    /// What is to be done as soon as the VM is back.
    steps: Vec<Step>,
}

enum Holds {
    Making,
    Here(Box<Vm>),
    /// A call has it.
    Away,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Look {
    Making,
    Here,
    Away,
    Dead,
}

impl Slot {
    pub fn new(code: &Arc<Code>, group: &Arc<Group>) -> Arc<Self> {
        Arc::new(Slot {
            code: Arc::clone(code),
            group: Arc::downgrade(group),
            runtime: Handle::current(),
            inner: Mutex::new(Inner { holds: Holds::Making, waiters: Vec::new(), steps: Vec::new() }),
            look: AtomicU8::new(Look::Making as u8),
            streams: AtomicU32::new(0),
            apart: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn look(&self) -> Look {
        match self.look.load(Relaxed) {
            0 => Look::Making,
            1 => Look::Here,
            2 => Look::Away,
            _ => Look::Dead,
        }
    }

    fn holds(&self, inner: &mut Inner, holds: Holds) -> Holds {
        let look = match holds {
            Holds::Making => Look::Making,
            Holds::Here(_) => Look::Here,
            Holds::Away => Look::Away,
            Holds::Dead => Look::Dead,
        };
        self.look.store(look as u8, Relaxed);
        std::mem::replace(&mut inner.holds, holds)
    }

    /// Fills a new slot.
    pub async fn fill(
        self: &Arc<Self>,
        making: impl Future<Output = wasmtime::Result<Box<Vm>>> + Send + 'static,
    ) -> Result<(), Lost> {
        let call = self.placed(async move { Ok((making.await?, 0)) });
        let (vm, _) = Running { slot: Arc::clone(self), call: Some(call) }.await?;
        self.put(vm);
        Ok(())
    }

    /// Waits until the VM is there.
    pub async fn settled(&self) -> Result<(), Lost> {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match inner.holds {
                Holds::Here(_) => Poll::Ready(Ok(())),
                Holds::Dead => Poll::Ready(Err(Lost::Gone)),
                Holds::Making | Holds::Away => inner.wait(cx),
            }
        })
        .await
    }

    async fn take(&self) -> Result<Box<Vm>, Lost> {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match self.try_take(&mut inner)? {
                Some(vm) => Poll::Ready(Ok(vm)),
                None => inner.wait(cx),
            }
        })
        .await
    }

    fn try_take(&self, inner: &mut Inner) -> Result<Option<Box<Vm>>, Lost> {
        match inner.holds {
            Holds::Here(_) => match self.holds(inner, Holds::Away) {
                Holds::Here(vm) => Ok(Some(vm)),
                _ => Ok(None),
            },
            Holds::Dead => Err(Lost::Gone),
            Holds::Making | Holds::Away => Ok(None),
        }
    }

    /// Calls the guest. `step` makes the state ready for it, `read` takes out of the state what came of it.
    pub fn call<R, S, F>(
        self: &Arc<Self>,
        step: S,
        read: F,
    ) -> impl Future<Output = Result<R, Lost>> + Send + use<R, S, F>
    where
        R: Send,
        S: FnOnce(&mut State) -> Step + Send,
        F: FnOnce(&mut State, u32) -> R + Send,
    {
        let slot = Arc::clone(self);
        async move {
            let mut vm = slot.take().await?;
            let step = step(vm.state());
            let call = Some(slot.bounded(vm, step));
            let (mut vm, action) = Running { slot: Arc::clone(&slot), call }.await?;
            let read = read(vm.state(), action);
            slot.put(vm);
            Ok(read)
        }
    }

    /// Looks into the state, if the VM is here; otherwise whoever asks is woken when it is.
    pub fn peek<R>(&self, cx: &Context<'_>, look: impl FnOnce(&mut State) -> R) -> Poll<Result<R, Lost>> {
        let mut inner = self.lock();
        match &mut inner.holds {
            Holds::Here(vm) => Poll::Ready(Ok(look(vm.state()))),
            Holds::Dead => Poll::Ready(Err(Lost::Gone)),
            Holds::Making | Holds::Away => inner.wait(cx),
        }
    }

    /// Has the guest called with nobody waiting for it, now or as soon as it can be.
    pub fn background(self: &Arc<Self>, step: Step) {
        let mut inner = self.lock();
        match self.try_take(&mut inner) {
            Ok(Some(vm)) => {
                drop(inner);
                let mut running = Running { slot: Arc::clone(self), call: Some(self.bounded(vm, step)) };
                let polled = Pin::new(&mut running).poll(&mut Context::from_waker(Waker::noop()));
                // Where it takes long, dropping `running` has it go on elsewhere.
                if let Poll::Ready(Ok((vm, _))) = polled {
                    self.put(vm);
                }
            }
            Ok(None) => inner.steps.push(step),
            Err(_) => {}
        }
    }

    /// The same, by the worker whose VM it is.
    pub fn background_at_home(self: &Arc<Self>, step: Step) {
        let slot = Arc::clone(self);
        self.runtime.spawn(async move { slot.background(step) });
    }

    /// For a call that is no exchange's: whether it ended the VM is counted here.
    pub async fn call_in_background(
        self: Arc<Self>,
        step: impl FnOnce(&mut State) -> Step + Send,
        read: impl FnOnce(&mut State, u32) + Send,
    ) -> Result<(), Lost> {
        let called = self.call(step, read).await;
        if called == Err(Lost::Ended) {
            self.code.health.failed();
        }
        called
    }

    fn bounded(&self, mut vm: Box<Vm>, step: Step) -> Bounded<Called> {
        vm.begin_call();
        self.placed(async move {
            let action = vm.step(step).await?;
            Ok((vm, action))
        })
    }

    fn placed(
        &self,
        call: impl Future<Output = wasmtime::Result<Called>> + Send + 'static,
    ) -> Bounded<Called> {
        let call = self.code.bounded(call);
        if self.apart.load(Relaxed) { call.apart() } else { call }
    }

    /// Puts the VM back and does what the guest asked for.
    fn put(self: &Arc<Self>, mut vm: Box<Vm>) {
        let state = vm.state();
        let mut after = After::default();
        if !state.after.is_empty() {
            after = std::mem::take(&mut state.after);
            for stream in after.over.drain(..) {
                state.streams.remove(&stream);
            }
            tick::set(self, state, &after);
            calls::start(self, state, &mut after);
        }
        let (waiters, steps) = {
            let mut inner = self.lock();
            self.holds(&mut inner, Holds::Here(vm));
            (std::mem::take(&mut inner.waiters), std::mem::take(&mut inner.steps))
        };
        after.wakers.into_iter().chain(waiters).for_each(Waker::wake);
        for context in after.done {
            self.background(Step::Delete { context });
        }
        for context in after.leaving {
            tick::bound(self, context);
        }
        for (slot, root, queue) in after.queues {
            if let Some(slot) = slot.upgrade() {
                slot.background_at_home(Step::QueueReady { root, queue });
            }
        }
        for step in steps {
            self.background(step);
        }
    }

    /// The VM is gone; its streams will find out.
    fn fail(self: &Arc<Self>, ended: &Ended) {
        self.code.ended(ended);
        let (old, waiters) = {
            let mut inner = self.lock();
            inner.steps.clear();
            (self.holds(&mut inner, Holds::Dead), std::mem::take(&mut inner.waiters))
        };
        drop(old);
        if let Some(group) = self.group.upgrade() {
            group.failed(self);
        }
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Wakes whoever waits for the VM, and so everybody who looks into its state again.
    pub fn lease_ended(self: &Arc<Self>) {
        if self.streams.fetch_sub(1, Relaxed) == 1
            && let Some(group) = self.group.upgrade()
        {
            group.released(self);
        }
    }
}

impl Inner {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// A call under way. Whoever waits for it may go: the VM is others' too, so the call goes on to its end.
struct Running {
    slot: Arc<Slot>,
    call: Option<Bounded<Called>>,
}

impl Future for Running {
    type Output = Result<(Box<Vm>, u32), Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Ready(Err(Lost::Gone)) };
        let result = std::task::ready!(Pin::new(call).poll(cx));
        self.call = None;
        Poll::Ready(result.map_err(|ended| {
            self.slot.fail(&ended);
            Lost::Ended
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let slot = Arc::clone(&self.slot);
        call.detach(slot.code.spec.pause, move |result| match result {
            Ok((vm, _)) => slot.put(vm),
            Err(ended) => slot.fail(&ended),
        });
    }
}
