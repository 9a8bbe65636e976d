//! A guest's call as a future: bounded in time, and moved out of its neighbours' way when it takes long.
//!
//! [`Bounded`] polls the call where it was made, usually in a connection's own task, so that a call that answers
//! quickly costs no task and no wake-up. Before each poll it notes in this thread what the call may still use;
//! the epoch callback, which runs on the same thread, reads it. A call that does not return within its first
//! slice yields and goes on in the overflow runtime.

use super::ended::Ended;
use super::habit::Habit;
use super::machine::Machine;
use sampan_capabilities::Host;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

/// Epochs of a first slice: 1 to 2 ms.
const FIRST_SLICE_TICKS: u64 = 2;
/// A poll that resumes a guest after a wait finds the deadline passed long ago; it is at its end only after this.
const FIRST_SLICE: Duration = Duration::from_millis(1);
/// Epochs of a slice in the overflow runtime, where guests that run long take turns: up to 1 ms.
const LONG_SLICE_TICKS: u64 = 1;

/// What a call may use. `None`: not bounded by this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    pub wall: Option<Duration>,
    pub cpu: Option<Duration>,
}

/// The error with which the epoch callback ends a guest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Overrun {
    #[error("the wall time of {0:?} is over")]
    Wall(Duration),
    #[error("the processor time of {0:?} is over")]
    Cpu(Duration),
}

/// What the epoch callback must know of the call that this thread is polling.
#[derive(Clone, Copy)]
struct Slice {
    began: Instant,
    limits: TimeLimits,
    wall_end: Option<Instant>,
    cpu_used: Duration,
    overflow: bool,
    yielded: bool,
}

thread_local! {
    static SLICE: Cell<Option<Slice>> = const { Cell::new(None) };
}

/// Sets a store up to be interrupted; to be called once for each store.
pub fn interruptible(store: &mut Store<Host>) {
    store.epoch_deadline_callback(on_epoch);
    begin_call(store);
}

/// Sets the deadline anew; to be called before each call.
pub fn begin_call(store: &mut Store<Host>) {
    store.set_epoch_deadline(FIRST_SLICE_TICKS);
}

fn on_epoch(_: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
    let Some(mut slice) = SLICE.get() else {
        // Nobody counts: a call outside of `Bounded`, which does not exist in a server.
        return Ok(UpdateDeadline::Yield(FIRST_SLICE_TICKS));
    };
    let now = Instant::now();
    let ran = now.saturating_duration_since(slice.began);
    if let (Some(limit), Some(end)) = (slice.limits.wall, slice.wall_end)
        && now >= end
    {
        return Err(Overrun::Wall(limit).into());
    }
    if let Some(limit) = slice.limits.cpu
        && slice.cpu_used + ran >= limit
    {
        return Err(Overrun::Cpu(limit).into());
    }
    if !slice.overflow && ran < FIRST_SLICE {
        return Ok(UpdateDeadline::Continue(1));
    }
    slice.yielded = true;
    SLICE.set(Some(slice));
    Ok(UpdateDeadline::Yield(LONG_SLICE_TICKS))
}

type Call<T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send>>;

/// A call that counts its time. Dropping it ends the guest.
struct Metered<T> {
    call: Call<T>,
    machine: Arc<Machine>,
    limits: TimeLimits,
    began: Instant,
    cpu_used: Duration,
    /// Nanoseconds of processor time that others have given back to it.
    refund: Option<Arc<AtomicU64>>,
    overflow: bool,
    habit: Option<Habit>,
    /// Made when the guest first waits.
    timer: Option<Pin<Box<Sleep>>>,
}

enum Step<T> {
    Done(Result<T, Ended>),
    Waiting,
    /// It used up its first slice and wants to go on.
    Long,
}

impl<T> Metered<T> {
    fn step(&mut self, cx: &mut Context<'_>) -> Step<T> {
        let began = Instant::now();
        if let Some(refund) = &self.refund {
            let refund = Duration::from_nanos(refund.swap(0, Ordering::Relaxed));
            self.cpu_used = self.cpu_used.saturating_sub(refund);
        }
        let slice = Slice {
            began,
            limits: self.limits,
            wall_end: self.limits.wall.map(|wall| self.began + wall),
            cpu_used: self.cpu_used,
            overflow: self.overflow,
            yielded: false,
        };
        let running = self.machine.ticker.run();
        // A guest's host call may poll another guest.
        let outer = SLICE.replace(Some(slice));
        let polled = self.call.as_mut().poll(cx);
        let slice = SLICE.replace(outer);
        drop(running);
        if let Poll::Ready(result) = polled {
            self.note(began);
            return Step::Done(result.map_err(|error| Ended::of(&error)));
        }
        self.cpu_used += began.elapsed();
        if let Some(limit) = self.limits.cpu
            && self.cpu_used >= limit
        {
            return Step::Done(Err(Ended::Cpu { limit, backtrace: Vec::new() }));
        }
        if slice.is_some_and(|slice| slice.yielded) {
            return Step::Long;
        }
        if let Some(limit) = self.limits.wall {
            let end = self.began + limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
            if timer.as_mut().poll(cx).is_ready() {
                return Step::Done(Err(Ended::Timeout { limit, backtrace: Vec::new() }));
            }
        }
        Step::Waiting
    }

    /// Remembers whether the call that has returned was long.
    fn note(&self, began: Instant) {
        let Some(habit) = &self.habit else { return };
        // Most components are never long, and need no look at the clock.
        if self.overflow || habit.is_open() {
            match self.cpu_used + began.elapsed() >= FIRST_SLICE {
                true => habit.was_long(),
                false => habit.was_short(),
            }
        }
    }
}

impl<T> Future for Metered<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.step(cx) {
            Step::Done(result) => Poll::Ready(result),
            Step::Waiting => Poll::Pending,
            // The guest has woken itself and takes its turn, after all threads of this processor that have anything
            // to do: the kernel would let them wait for its next tick, which is 1 to 10 ms away.
            Step::Long => {
                std::thread::yield_now();
                Poll::Pending
            }
        }
    }
}

/// A call for a task of the overflow runtime from its beginning on: an instance that serves many requests at once.
/// What is put into `refund`, in nanoseconds, is taken off the processor time that it has used.
pub fn apart<T: Send + 'static>(
    machine: Arc<Machine>,
    limits: TimeLimits,
    refund: Arc<AtomicU64>,
    call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
) -> impl Future<Output = Result<T, Ended>> + Send + Unpin {
    Metered {
        call: Box::pin(call),
        machine,
        limits,
        began: Instant::now(),
        cpu_used: Duration::ZERO,
        refund: Some(refund),
        overflow: true,
        habit: None,
        timer: None,
    }
}

/// A guest's call: polled here until it returns or takes long, then in the overflow runtime. Dropping it ends the
/// guest.
pub struct Bounded<T>(State<T>);

enum State<T> {
    Here(Metered<T>),
    Moved(JoinHandle<Result<T, Ended>>, Handle),
    Over,
}

impl<T: Send + 'static> Bounded<T> {
    pub fn new(
        machine: Arc<Machine>,
        limits: TimeLimits,
        call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
    ) -> Self {
        Bounded(State::Here(Metered {
            call: Box::pin(call),
            machine,
            limits,
            began: Instant::now(),
            cpu_used: Duration::ZERO,
            refund: None,
            overflow: false,
            habit: None,
            timer: None,
        }))
    }

    /// Begins in the overflow runtime, for a call that nobody trusts to be short.
    pub fn apart(mut self) -> Self {
        self.move_away();
        self
    }

    /// Begins in the overflow runtime where calls are usually long.
    pub fn habitual(mut self, habit: &Habit) -> Self {
        if let State::Here(metered) = &mut self.0 {
            metered.habit = Some(habit.clone());
            if habit.is_long() {
                self.move_away();
            }
        }
        self
    }

    /// What is put into `refund`, in nanoseconds, is taken off the processor time that the call has used: for one
    /// that lives as long as there is something to do.
    pub fn refunded(mut self, refund: Arc<AtomicU64>) -> Self {
        if let State::Here(metered) = &mut self.0 {
            metered.refund = Some(refund);
        }
        self
    }

    /// Lets the call go on in the overflow runtime, also when nobody waits for it. `within` bounds it where it has no
    /// limit of its own.
    pub fn detach(mut self, within: Duration, after: impl FnOnce(Result<T, Ended>) + Send + 'static) {
        let limited = match &self.0 {
            State::Here(metered) => metered.limits.wall.is_some(),
            State::Moved(..) | State::Over => false,
        };
        let overflow = match &mut self.0 {
            State::Here(metered) => {
                metered.overflow = true;
                metered.machine.overflow.clone()
            }
            State::Moved(_, overflow) => overflow.clone(),
            State::Over => return,
        };
        overflow.spawn(async move {
            let result = if limited {
                self.await
            } else {
                // Dropping it ends the guest.
                let over = |_| Err(Ended::Timeout { limit: within, backtrace: Vec::new() });
                tokio::time::timeout(within, self).await.unwrap_or_else(over)
            };
            after(result);
        });
    }

    fn move_away(&mut self) {
        if let State::Here(mut metered) = std::mem::replace(&mut self.0, State::Over) {
            metered.overflow = true;
            let overflow = metered.machine.overflow.clone();
            let task = overflow.spawn(metered);
            self.0 = State::Moved(task, overflow);
        }
    }
}

impl<T: Send + 'static> Future for Bounded<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Here(metered) = &mut self.0 {
            match metered.step(cx) {
                Step::Waiting => return Poll::Pending,
                Step::Long => self.move_away(),
                Step::Done(result) => {
                    self.0 = State::Over;
                    return Poll::Ready(result);
                }
            }
        }
        let State::Moved(task, _) = &mut self.0 else {
            return Poll::Ready(Err(Ended::Error("it was polled after its end".to_owned())));
        };
        let result = std::task::ready!(Pin::new(task).poll(cx));
        self.0 = State::Over;
        Poll::Ready(result.unwrap_or_else(|_| Err(Ended::Error("the server is shutting down".to_owned()))))
    }
}

impl<T> Drop for Bounded<T> {
    fn drop(&mut self) {
        if let State::Moved(task, _) = &self.0 {
            task.abort();
        }
    }
}
