//! Instances of `wasi:http/handler` 0.3 that serve several requests at once (`concurrency` in the manifest).
//!
//! Each instance is a task of the overflow runtime, which owns its store. A request is a future that enters a
//! [`Room`], waits there until its answer was read, and leaves; dropping it leaves too. So time limits and
//! clients that go away end a request as they end any other, and the instance takes no new ones after that,
//! because the guest may go on with what nobody wants.

use super::idle::{Instance, create, is_clean, reuse};
use super::room::{Job, Room, Said};
use super::{ANSWER_WITHIN, Export, Head, http_entry};
use crate::serve::{Ended, Place, Ready, TimeLimits, Unit, apart};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::Request;
use sampan_capabilities::Host;
use sampan_service::Depth;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use wasmtime::Result;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

/// A guest that computes for so long while requests wait for it loses them to another instance.
const BUSY: Duration = Duration::from_millis(20);

/// The shared instances of a component.
#[derive(Default)]
pub struct Shared(Mutex<Vec<Arc<Room>>>);

impl Shared {
    pub fn drop_older(&self, idle: Duration) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| !room.is_over());
        rooms.iter().for_each(|room| room.end_if_unused(idle, ANSWER_WITHIN));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let rooms = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().for_each(|room| room.close());
    }
}

/// Has a request served by an instance that has a seat for it, else by a new one, and waits until its answer was
/// read.
pub(super) async fn call(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
    place: Place,
) -> Result<()> {
    let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
    let (read, mut was_read) = oneshot::channel();
    let mut job = Box::new(Job { request, head, read });
    let mut place = Some(place);
    loop {
        let (said, mut hears) = oneshot::channel();
        let mut seat = enter(&unit, &ready, job, depth, said);
        if let Some(place) = place.take() {
            seat.occupy(place);
        }
        let heard = poll_fn(|cx| {
            // First: a body of an instance that ended must not be taken for whole.
            if let Poll::Ready(said) = Pin::new(&mut hears).poll(cx) {
                return Poll::Ready(Some(said));
            }
            Pin::new(&mut was_read).poll(cx).map(|_| None)
        });
        match heard.await {
            None => {
                seat.finish();
                return Ok(());
            }
            Some(Ok(Said::Back(back))) => {
                place = seat.take_place();
                job = back;
            }
            Some(Ok(Said::Ended(ended))) => return Err(ended.into()),
            Some(Err(_)) => return Err(Ended::NoAnswer.into()),
        }
    }
}

fn enter(
    unit: &Arc<Unit>,
    ready: &Arc<Ready>,
    mut job: Box<Job>,
    depth: Depth,
    mut said: oneshot::Sender<Said>,
) -> super::room::Seat {
    let mut rooms = http_entry(ready).shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    rooms.retain(|room| !room.is_over());
    for room in rooms.iter() {
        match room.enter(job, depth, said) {
            Ok(seat) => return seat,
            Err(back) => (job, said) = back,
        }
    }
    let room = Arc::new(Room::new(unit.component.serving.concurrency, reuse(unit, true)));
    let Ok(seat) = room.enter(job, depth, said) else { unreachable!("a new room has seats") };
    rooms.push(Arc::clone(&room));
    unit.machine.overflow.spawn(live(Arc::clone(unit), Arc::clone(ready), room));
    seat
}

/// Tells who is inside, also when the task is dropped.
struct Door(Arc<Room>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.end(&Ended::Error("the server is shutting down".to_owned()));
    }
}

/// The life of an instance.
async fn live(unit: Arc<Unit>, ready: Arc<Ready>, room: Arc<Room>) {
    // Processor time: as much as its requests may use together, and each that enters brings its part.
    let Limits { cpu, seats } = Limits::of(&unit);
    let limits = TimeLimits { wall: None, cpu: cpu.map(|cpu| cpu.saturating_mul(seats)) };
    let refund = Arc::new(AtomicU64::new(0));
    let (unit2, room2, refund2) = (Arc::clone(&unit), Arc::clone(&room), Arc::clone(&refund));
    let run = async move {
        let Export::Wasi03(pre) = &http_entry(&ready).export else {
            return Err(wasmtime::format_err!("the component's code is of another kind"));
        };
        let mut instance = create(&unit2, &ready, pre).await?;
        // The code may be unloaded while the instance is idle.
        drop(ready);
        let error = serve(&unit2, &room2, &refund2, &mut instance).await;
        // The instance lives until its requests were told.
        Ok((instance, error))
    };
    let mut run = apart(Arc::clone(&unit.machine), limits, refund, run);
    // Dropped before `run`, whichever way this ends.
    let door = Door(Arc::clone(&room));
    let mut late: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|cx| {
        room.waker.register(cx.waker());
        if let Poll::Ready(result) = Pin::new(&mut run).poll(cx) {
            return Poll::Ready(Some(result));
        }
        if room.is_to_end() {
            return Poll::Ready(None);
        }
        give_back(&room, &mut late, cx);
        Poll::Pending
    });
    let ended = ended.await;
    match &ended {
        Some(Ok((_, error))) => room.end(&Ended::of(error)),
        Some(Err(ended)) => room.end(ended),
        None => {}
    }
    drop(door);
}

struct Limits {
    cpu: Option<Duration>,
    seats: u32,
}

impl Limits {
    fn of(unit: &Unit) -> Self {
        Limits { cpu: unit.component.limits.cpu_time, seats: unit.component.serving.concurrency }
    }
}

/// Gives requests back that have waited too long for the guest to let them in.
fn give_back(room: &Room, late: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) {
    if !room.has_waiting() {
        *late = None;
        return;
    }
    let timer = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(BUSY)));
    if timer.as_mut().poll(cx).is_ready() {
        *late = None;
        room.give_back();
    }
}

/// Lets requests into the instance as they come. Returns when the guest fails; otherwise the task drops it.
async fn serve(
    unit: &Unit,
    room: &Room,
    refund: &AtomicU64,
    instance: &mut Instance<Service>,
) -> wasmtime::Error {
    let Instance { store, exports, .. } = instance;
    let exports = &*exports;
    let cpu = Limits::of(unit).cpu.map_or(0, |cpu| u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX));
    let handler = *exports.wasi_http_handler().func_handle().func();
    let driven = store.run_concurrent(async |accessor: &Accessor<Host>| {
        let mut calls = FuturesUnordered::new();
        poll_fn(|cx| {
            let mut begun = false;
            loop {
                // 1. What the guest has answered.
                match calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => continue,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(error),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                // 2. What waits for it, unless it wants no more now.
                let free = accessor.poll_ready_for_concurrent_call(handler, cx).is_ready();
                room.ran(free);
                let reused = room.has_begun();
                if free
                    && !begun
                    && let Some((id, request, depth)) = room.begin()
                {
                    if reused {
                        unit.metrics.reused.inc();
                    }
                    refund.fetch_add(cpu, Ordering::Relaxed);
                    accessor.with(|mut access| access.data_mut().http.set_depth(depth));
                    calls.push(one(accessor, exports, room, id, request));
                    // One at a time: where the guest computes long, the others are better off elsewhere.
                    cx.waker().wake_by_ref();
                    begun = true;
                    continue;
                }
                // 3. Whether it is doing something of its own.
                let quiet = calls.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready();
                room.set_quiet(quiet, || accessor.with(|mut access| is_clean(access.data_mut())));
                return Poll::Pending;
            }
        })
        .await
    });
    driven.await.unwrap_or_else(|error| error)
}

/// One request inside of the instance.
async fn one(
    accessor: &Accessor<Host>,
    exports: &Service,
    room: &Room,
    id: u64,
    request: Request<WasiBody>,
) -> Result<()> {
    let (request, _transmitted) = accessor.with(|mut access| {
        let (request, transmitted) = p3::Request::from_http(access.data_mut().http().hooks, request);
        let transmitted: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(transmitted);
        (request, transmitted)
    });
    let answer = match exports.handle(accessor, request).await {
        Ok(Ok(response)) => accessor.with(|store| response.into_http(store, async { Ok(()) })).map(Ok),
        Ok(Err(code)) => Ok(Err(format!("{code:?}"))),
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => {
            room.answer(id, answer);
            Ok(())
        }
        Err(error) => {
            room.fail(id, Ended::of(&error));
            Err(error)
        }
    }
}
