//! What the requests in one shared instance have in common: a lock around who is inside, and what becomes of it.
//!
//! Three parties meet here: requests, which enter and leave; the driver inside of the instance, which lets them in
//! when the guest is not busy; and the instance's task, which ends it.

use super::Head;
use crate::serve::{Ended, Place};
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use sampan_service::Depth;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

/// A request with all that its answer needs.
pub(super) struct Job {
    pub request: Request<WasiBody>,
    pub head: oneshot::Sender<Head>,
    /// Dropped when the body of the response was read, or when there is none.
    pub read: oneshot::Sender<()>,
}

/// What a request is told before its answer is complete.
pub(super) enum Said {
    /// It has not begun here: it may try another instance.
    Back(Box<Job>),
    Ended(Ended),
}

/// A request inside of the instance.
struct Member {
    said: oneshot::Sender<Said>,
    depth: Depth,
    /// As long as the guest has not got it.
    job: Option<Box<Job>>,
    /// As long as the guest has not answered.
    answer: Option<(oneshot::Sender<Head>, oneshot::Sender<()>)>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    /// Requests that have entered, which also names them.
    entered: u64,
    /// Requests that the guest has got.
    begun: u32,
    /// It exists and has looked for requests.
    started: bool,
    /// It did not look for requests when there were some.
    busy: bool,
    /// No guest's task runs.
    quiet: bool,
    /// It serves no more requests than it has.
    retired: bool,
    /// A request left it before its end, and the guest may go on with it.
    spoiled: bool,
    /// Nobody needs it.
    unwanted: bool,
    over: bool,
    /// Of requests that have left: freed by the driver, so that a guest that loops keeps them.
    places: Vec<Place>,
    left: Option<Instant>,
}

/// One instance, as requests see it.
pub(super) struct Room {
    /// Requests at once.
    seats: u32,
    /// Requests in all.
    most: u32,
    state: Mutex<State>,
    /// Of the instance's task.
    pub waker: AtomicWaker,
}

/// A request's seat. Dropping it leaves the room.
pub(super) struct Seat {
    room: Arc<Room>,
    id: u64,
    place: Option<Place>,
}

impl Room {
    pub fn new(seats: u32, most: u32) -> Self {
        Room { seats, most, state: Mutex::default(), waker: AtomicWaker::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in, if there is a seat for it; else gives it back.
    pub fn enter(
        self: &Arc<Self>,
        job: Box<Job>,
        depth: Depth,
        said: oneshot::Sender<Said>,
    ) -> Result<Seat, (Box<Job>, oneshot::Sender<Said>)> {
        let mut state = self.lock();
        let closed = state.over || state.unwanted || state.spoiled || state.retired || state.busy;
        let waiting = state.members.values().filter(|member| member.job.is_some()).count();
        let used_up = state.begun as usize + waiting >= self.most as usize;
        if closed || used_up || state.members.len() >= self.seats as usize {
            return Err((job, said));
        }
        state.entered += 1;
        let id = state.entered;
        state.members.insert(id, Member { said, depth, job: Some(job), answer: None });
        drop(state);
        self.waker.wake();
        Ok(Seat { room: Arc::clone(self), id, place: None })
    }

    /// The next request for the guest, with the depth for all that are inside. The last one retires the instance.
    pub fn begin(&self) -> Option<(u64, Request<WasiBody>, Depth)> {
        let mut state = self.lock();
        let (id, member) = state.members.iter_mut().find(|(_, member)| member.job.is_some())?;
        let (id, job) = (*id, *member.job.take()?);
        member.answer = Some((job.head, job.read));
        state.begun += 1;
        state.quiet = false;
        state.retired |= state.begun >= self.most;
        let inside = state.members.values().filter(|member| member.job.is_none());
        let depth = inside.map(|member| member.depth.0).max().unwrap_or_default();
        Some((id, job.request, Depth(depth)))
    }

    /// Whether the guest has got a request before.
    pub fn has_begun(&self) -> bool {
        self.lock().begun > 0
    }

    /// The guest's answer to a request. It may have left.
    pub fn answer(&self, id: u64, answer: Head) {
        let taken = self.lock().members.get_mut(&id).and_then(|member| member.answer.take());
        let Some((head, read)) = taken else { return };
        // Whoever hears of `read` must find the answer, so an error keeps it until that is sent.
        let (answer, _read) = match answer {
            Ok(response) => {
                (Ok(response.map(|body| Watched { body, read: Some(read) }.boxed_unsync())), None)
            }
            Err(code) => (Err(code), Some(read)),
        };
        let _ = head.send(answer);
    }

    /// The guest failed in this request: it is told first, and more than the others.
    pub fn fail(&self, id: u64, ended: Ended) {
        if let Some(member) = self.lock().members.remove(&id) {
            let _ = member.said.send(Said::Ended(ended));
        }
    }

    /// The driver ran: the guest is `free` for more requests, or not.
    pub fn ran(&self, free: bool) {
        let mut state = self.lock();
        state.started = true;
        state.busy &= !free;
        let places = std::mem::take(&mut state.places);
        drop(state);
        drop(places);
    }

    /// Whether the guest does nothing; `clean` says whether it may serve another request then.
    pub fn set_quiet(&self, quiet: bool, clean: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if quiet && !state.quiet && state.begun > 0 {
            state.retired |= !clean();
        }
        state.quiet = quiet;
    }

    pub fn is_to_end(&self) -> bool {
        let state = self.lock();
        let finished = state.spoiled || (state.retired && state.quiet);
        state.members.is_empty() && (state.unwanted || finished)
    }

    /// Whether requests wait that the guest could have got.
    pub fn has_waiting(&self) -> bool {
        let state = self.lock();
        state.started && state.members.values().any(|member| member.job.is_some())
    }

    /// Gives requests back that the guest was too busy for.
    pub fn give_back(&self) {
        let mut state = self.lock();
        state.busy = true;
        let ids: Vec<u64> =
            state.members.iter().filter(|(_, member)| member.job.is_some()).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(Member { job: Some(job), said, .. }) = state.members.remove(&id) {
                let _ = said.send(Said::Back(job));
            }
        }
    }

    /// Asks the instance to end if it was not used for `idle`; one whose guest goes on by itself after `busy`.
    pub fn end_if_unused(&self, idle: Duration, busy: Duration) {
        let mut state = self.lock();
        let since = state.left.map(|left| left.elapsed());
        let limit = if state.quiet { idle } else { busy };
        if state.members.is_empty() && since.is_some_and(|since| since >= limit) {
            state.unwanted = true;
            drop(state);
            self.waker.wake();
        }
    }

    /// Asks the instance to end: nobody can enter it any more.
    pub fn close(&self) {
        self.lock().unwanted = true;
        self.waker.wake();
    }

    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// The instance is about to be dropped. Who is inside is told first: a body that ends then must not be taken for
    /// whole. One request is told all, the others that they shared its lot.
    pub fn end(&self, ended: &Ended) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        let started = state.started;
        let mut told = state.begun > 0 && state.members.values().all(|member| member.job.is_some());
        for member in std::mem::take(&mut state.members).into_values() {
            let said = match member.job {
                Some(job) if started => Said::Back(job),
                None if told => Said::Ended(Ended::Error(format!(
                    "the instance that served it ended for another request's sake: {ended}"
                ))),
                _ => {
                    told = started;
                    Said::Ended(ended.clone())
                }
            };
            let _ = member.said.send(said);
        }
        let places = std::mem::take(&mut state.places);
        drop(state);
        drop(places);
    }
}

impl Seat {
    /// Takes the request's place, to be freed when the guest has seen it leave.
    pub fn occupy(&mut self, place: Place) {
        self.place = Some(place);
    }

    pub fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// The request is complete: leaving does the instance no harm.
    pub fn finish(self) {
        self.room.lock().members.remove(&self.id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        if let Some(member) = state.members.remove(&self.id) {
            state.spoiled |= member.job.is_none();
        }
        state.left = Some(Instant::now());
        if !state.over {
            state.places.extend(self.place.take());
        }
        drop(state);
        self.room.waker.wake();
    }
}

/// A body that tells when it was read.
struct Watched {
    body: WasiBody,
    read: Option<oneshot::Sender<()>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.read = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
