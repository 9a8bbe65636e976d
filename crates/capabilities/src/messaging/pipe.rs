//! Between a broker's task, which fetches, and whoever waits for the next delivery: what was fetched, and how
//! much more may be. Dropping a future that waits loses nothing.

use super::{Answer, BrokerError, Delivery, Mark, Token};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What was fetched and nobody has taken may have about so many bytes; then nothing more is fetched.
pub const READY_BYTES_MAX: usize = 16 << 20;

pub(super) struct Pipe {
    in_flight_max: usize,
    state: Mutex<State>,
    /// There is a delivery, or an error.
    arrived: Notify,
    /// There is room for more, or nobody wants any.
    room: Notify,
    closing: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Delivery>,
    ready_bytes: usize,
    /// Fetched, and neither acknowledged nor released.
    held: HashSet<Mark>,
    error: Option<BrokerError>,
    closed: bool,
}

/// How much may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Messages(usize),
    /// The subscription was dropped.
    Closed,
}

impl Pipe {
    pub fn new(in_flight_max: usize) -> Self {
        Pipe {
            in_flight_max,
            state: Mutex::default(),
            arrived: Notify::new(),
            room: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much may be fetched now.
    pub fn look(&self) -> Room {
        let state = self.lock();
        match state.closed {
            true => Room::Closed,
            false if state.ready_bytes >= READY_BYTES_MAX => Room::Messages(0),
            false => Room::Messages(self.in_flight_max.saturating_sub(state.held.len())),
        }
    }

    /// Waits until what [`Pipe::look`] says may have changed. Changes between the two are not missed; at most one
    /// task waits.
    pub async fn changed(&self) {
        self.room.notified().await;
    }

    /// Waits until something may be fetched, and says how much; `None` when nobody wants any more.
    pub async fn room(&self) -> Option<usize> {
        loop {
            match self.look() {
                Room::Closed => return None,
                Room::Messages(0) => self.changed().await,
                Room::Messages(count) => return Some(count),
            }
        }
    }

    /// `false`: a message that is in somebody's hands was fetched again, and is not handed out twice.
    pub fn push(&self, delivery: Delivery) -> bool {
        let mut state = self.lock();
        if !state.held.insert(delivery.token.0.clone()) {
            return false;
        }
        state.ready_bytes += delivery.message.bytes();
        state.ready.push_back(delivery);
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// The task has ended: whoever waits learns why, after what was fetched.
    pub fn fail(&self, error: BrokerError) {
        self.lock().error = Some(error);
        self.arrived.notify_one();
    }

    /// The subscription is dropped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_one();
        self.closing.notify_one();
    }

    /// Waits until the subscription is dropped; one task may.
    pub async fn closed(&self) {
        self.closing.notified().await;
    }

    pub fn next(&self) -> Answer<'_, Delivery> {
        Box::pin(async move {
            loop {
                let taken = self.take();
                if let Some((delivery, more)) = taken {
                    if more {
                        // One notice may have stood for several deliveries, or another waiter has taken it.
                        self.arrived.notify_one();
                    }
                    self.room.notify_one();
                    return delivery;
                }
                self.arrived.notified().await;
            }
        })
    }

    fn take(&self) -> Option<(Result<Delivery, BrokerError>, bool)> {
        let mut state = self.lock();
        if let Some(delivery) = state.ready.pop_front() {
            state.ready_bytes -= delivery.message.bytes();
            let more = !state.ready.is_empty() || state.error.is_some();
            return Some((Ok(delivery), more));
        }
        let error = state.error.clone()?;
        Some((Err(error), true))
    }

    /// A delivery is settled; those of an earlier subscription of the group are nothing of ours.
    pub fn settled(&self, token: &Token) {
        self.lock().held.remove(&token.0);
        self.room.notify_one();
    }

    /// What was fetched and is not settled.
    pub fn held(&self) -> Vec<Mark> {
        self.lock().held.iter().cloned().collect()
    }

    pub fn holds(&self, mark: &Mark) -> bool {
        self.lock().held.contains(mark)
    }
}
