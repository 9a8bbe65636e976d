//! `poll_oneoff` of both generations, and WasmEdge's `epoll_oneoff`: clocks and sockets are ours, the other
//! descriptors are wasmtime-wasi's, and whoever is first ends the wait.

use super::memory::{self, Scratch};
use super::wire::{self, ClockId, Event, Generation, Interest, Subscription};
use super::{Descriptor, Errno, Preview1};
use crate::Host;
use crate::sockets::{Happened, Poller, Trigger, Wanted};
use std::collections::HashMap;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::Result;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Clockid;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wiggle::GuestMemory;

/// More than a guest can have descriptors and a use for clocks.
const MAX_SUBSCRIPTIONS: u32 = 1 << 15;

/// The parameters of a call: pointers to subscriptions and events, how many of them, and where to say how
/// many events there are.
pub struct Call {
    pub generation: Generation,
    pub trigger: Trigger,
    pub subscriptions: u32,
    pub events: u32,
    pub count: u32,
    pub out: u32,
}

/// The subscriptions, by who answers them. Indexes are those of the guest's array.
#[derive(Default)]
struct Plan {
    /// Events that need no waiting: errors.
    done: Vec<Event>,
    clocks: Vec<(usize, Instant)>,
    sockets: Vec<(usize, u64)>,
    wanted: Wanted,
    /// With wasmtime-wasi's number of the descriptor.
    others: Vec<(usize, u32)>,
}

/// WasmEdge's `epoll_oneoff`: `poll_oneoff` of preview 1 with edges.
pub async fn poll_epoll(
    memory: &mut [u8],
    host: &mut Host,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result<i32> {
    let generation = Generation::Preview1;
    let call = Call { generation, trigger: Trigger::Edge, subscriptions, events, count, out };
    poll_oneoff(memory, host, call).await
}

pub async fn poll_oneoff(memory: &mut [u8], host: &mut Host, call: Call) -> Result<i32> {
    let subscriptions = match read_subscriptions(memory, &call) {
        Ok(subscriptions) => subscriptions,
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    let preview1 = &mut host.preview1;
    let plan = plan(preview1, &subscriptions)?;
    let events = match wait(preview1, &subscriptions, plan, call.trigger).await? {
        Ok(events) => events,
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    Ok(Errno::code(write_events(memory, &call, &events)))
}

fn read_subscriptions(memory: &[u8], call: &Call) -> Result<Vec<Subscription>, Errno> {
    // To wait for nothing would be to wait for ever.
    if call.count == 0 || call.count > MAX_SUBSCRIPTIONS {
        return Err(Errno::INVAL);
    }
    let size = call.generation.subscription_size();
    let bytes = memory::aligned(memory, call.subscriptions, call.count * size, 8)?;
    // The places of the answer are looked at first: a wait whose result is lost is no use.
    memory::aligned(memory, call.events, call.count * wire::EVENT_SIZE, 8)?;
    memory::aligned(memory, call.out, 4, 4)?;
    bytes
        .chunks_exact(size as usize)
        .map(|bytes| wire::subscription(bytes, call.generation).ok_or(Errno::INVAL))
        .collect()
}

fn write_events(memory: &mut [u8], call: &Call, events: &[Event]) -> Result<(), Errno> {
    let len = events.len() as u32 * wire::EVENT_SIZE;
    let target = memory::aligned_mut(memory, call.events, len, 8)?;
    for (event, target) in events.iter().zip(target.chunks_exact_mut(wire::EVENT_SIZE as usize)) {
        target.copy_from_slice(&event.to_bytes());
    }
    memory::write_u32(memory, call.out, events.len() as u32)
}

fn plan(preview1: &mut Preview1, subscriptions: &[Subscription]) -> Result<Plan> {
    let mut plan = Plan::default();
    let now = Instant::now();
    for (index, subscription) in subscriptions.iter().enumerate() {
        let (fd, write) = match subscription.interest {
            Interest::Clock { id, timeout_ns, absolute } => {
                let elapsed = if absolute { clock_ns(&mut preview1.wasi, id)? } else { 0 };
                let wait = Duration::from_nanos(timeout_ns.saturating_sub(elapsed));
                // A time beyond what the clock can count never comes.
                plan.clocks.extend(now.checked_add(wait).map(|deadline| (index, deadline)));
                continue;
            }
            Interest::Read { fd } => (fd, false),
            Interest::Write { fd } => (fd, true),
        };
        match preview1.descriptors().get_mut(fd) {
            Ok(Descriptor::Wasi(inner)) => plan.others.push((index, *inner)),
            Ok(Descriptor::Socket(socket)) => match socket.os() {
                Ok(os) => {
                    plan.sockets.push((index, os.id));
                    let wanted = plan.wanted.entry(os.id).or_insert_with(|| (os, Default::default()));
                    wanted.1.read |= !write;
                    wanted.1.write |= write;
                }
                Err(error) => plan.done.push(Event::new(subscription, Errno::from(error).0)),
            },
            Err(errno) => plan.done.push(Event::new(subscription, errno.0)),
        }
    }
    Ok(plan)
}

/// The guest's clock now.
fn clock_ns(wasi: &mut WasiP1Ctx, id: ClockId) -> Result<u64> {
    let id = match id {
        ClockId::Realtime => Clockid::Realtime,
        ClockId::Monotonic => Clockid::Monotonic,
    };
    match wasi.clock_time_get(&mut GuestMemory::Unshared(&mut []), id, 0) {
        Ok(now) => Ok(now),
        // A clock beyond what its 64 bits can hold: whatever is waited for has come.
        Err(error) => error.downcast().map(|_| u64::MAX),
    }
}

async fn wait(
    preview1: &mut Preview1,
    subscriptions: &[Subscription],
    plan: Plan,
    trigger: Trigger,
) -> Result<Result<Vec<Event>, Errno>> {
    let Plan { done: mut events, clocks, sockets, wanted, others } = plan;
    let mut poller = match socket_poller(&mut preview1.level, &mut preview1.edge, trigger, &wanted) {
        Ok(poller) => poller,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut inner =
        (!others.is_empty()).then(|| Box::pin(poll_others(&mut preview1.wasi, subscriptions, others)));
    let earliest = clocks.iter().map(|(_, deadline)| *deadline).min();
    // Made when there is something to wait for: a time that is over needs no timer, which would only fire in
    // the next round of its clock, a millisecond later.
    let mut sleep = None;
    let at_once = !events.is_empty();
    // Each source is asked in every round, so that a busy one does not hide the others.
    let (happened, others) = std::future::poll_fn(|cx| {
        let happened = match &mut poller {
            Some(poller) => poller.poll_ready(cx),
            None => Poll::Pending,
        };
        let others = match &mut inner {
            Some(inner) => Pin::as_mut(inner).poll(cx),
            None => Poll::Pending,
        };
        if happened.is_ready() || others.is_ready() || at_once {
            return Poll::Ready((happened, others));
        }
        match earliest {
            None => Poll::Pending,
            Some(deadline) if deadline <= Instant::now() => Poll::Ready((happened, others)),
            Some(deadline) => {
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                Pin::as_mut(sleep).poll(cx).map(|()| (happened, others))
            }
        }
    })
    .await;
    if let Poll::Ready(happened) = happened {
        match happened {
            Ok(happened) => events.extend(socket_events(subscriptions, &sockets, &wanted, &happened)),
            Err(error) => return Ok(Err(error.into())),
        }
    }
    if let Poll::Ready(others) = others {
        match others? {
            Ok(others) => events.extend(others),
            Err(errno) => return Ok(Err(errno)),
        }
    }
    let now = Instant::now();
    let due = clocks.iter().filter(|(_, deadline)| *deadline <= now);
    events.extend(due.map(|(index, _)| Event::new(&subscriptions[*index], 0)));
    Ok(Ok(events))
}

/// The poller for the sockets of this call, watching them. Where there are none, none is made; but one
/// that is there learns that nobody is interested any more.
fn socket_poller<'a>(
    level: &'a mut Option<Poller>,
    edge: &'a mut Option<Poller>,
    trigger: Trigger,
    wanted: &Wanted,
) -> std::io::Result<Option<&'a mut Poller>> {
    let poller = match trigger {
        Trigger::Level => level,
        Trigger::Edge => edge,
    };
    if poller.is_none() && !wanted.is_empty() {
        *poller = Some(Poller::new(trigger)?);
    }
    if let Some(poller) = poller {
        poller.watch(wanted)?;
    }
    Ok(poller.as_mut().filter(|_| !wanted.is_empty()))
}

fn socket_events(
    subscriptions: &[Subscription],
    sockets: &[(usize, u64)],
    wanted: &Wanted,
    happened: &[Happened],
) -> Vec<Event> {
    let happened: HashMap<u64, &Happened> = happened.iter().map(|event| (event.id, event)).collect();
    let mut events = Vec::new();
    for (index, id) in sockets {
        let Some(happened) = happened.get(id) else { continue };
        let subscription = &subscriptions[*index];
        let write = matches!(subscription.interest, Interest::Write { .. });
        if !(if write { happened.write } else { happened.read }) {
            continue;
        }
        let mut event = Event::new(subscription, 0);
        // A peer that sends no more may still read.
        event.hangup = if write { happened.gone } else { happened.gone || happened.no_more };
        let queued = wanted.get(id).and_then(|(os, _)| rustix::io::ioctl_fionread(os).ok());
        // A listening socket has connections and no bytes.
        event.len = if write { 1 } else { queued.unwrap_or(1) };
        events.push(event);
    }
    events
}

/// Polls descriptors of wasmtime-wasi, which reads subscriptions from a guest's memory: here, from ours.
async fn poll_others(
    wasi: &mut WasiP1Ctx,
    subscriptions: &[Subscription],
    others: Vec<(usize, u32)>,
) -> Result<Result<Vec<Event>, Errno>> {
    let count = others.len();
    let events_start = count * Generation::Preview1.subscription_size() as usize;
    let out_start = events_start + count * wire::EVENT_SIZE as usize;
    let mut scratch = Scratch::new(out_start + 8);
    let bytes = scratch.as_mut();
    for ((index, inner), target) in others.iter().zip(bytes.chunks_exact_mut(48)) {
        let write = matches!(subscriptions[*index].interest, Interest::Write { .. });
        target.copy_from_slice(&wire::descriptor_subscription(*index as u64, *inner, write));
    }
    let view = &mut GuestMemory::Unshared(&mut *bytes);
    let errno = wasi::poll_oneoff(wasi, view, 0, events_start as i32, count as i32, out_start as i32).await?;
    if errno != 0 {
        return Ok(Err(u16::try_from(errno).map_or(Errno::IO, Errno)));
    }
    let ready = memory::read_u32(bytes, out_start as u32).unwrap_or(0);
    let events = bytes[events_start..out_start]
        .chunks_exact(wire::EVENT_SIZE as usize)
        .take(ready as usize)
        .filter_map(Event::from_bytes)
        .filter_map(|event| {
            let index = usize::try_from(event.userdata).ok()?;
            Some(Event { userdata: subscriptions.get(index)?.userdata, ..event })
        })
        .collect();
    Ok(Ok(events))
}
