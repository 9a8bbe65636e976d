//! What the parts of one connection tell each other: its socket, its requests, and whoever ends it.

use crate::handler::Peer;
use crate::handshake::Handshake;
use crate::server::Shared;
use futures::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Context;

/// Where the requests of an HTTP/1 connection are. There is one at a time.
pub(crate) mod phase {
    /// Between requests, or within the head of the next.
    pub const IDLE: u8 = 0;
    /// A request is with the handler.
    pub const WAITING: u8 = 1;
    /// A response is on its way.
    pub const ANSWERING: u8 = 2;
    /// The connection speaks another protocol now.
    pub const UPGRADED: u8 = 3;
}

/// One connection. Everything happens in its one task, but for [`Line::wake`]: so the orderings are relaxed.
pub(crate) struct Line {
    pub shared: Arc<Shared>,
    pub peer: Peer,
    /// Once there is one.
    pub handshake: OnceLock<Arc<Handshake>>,
    pub http2: AtomicBool,
    pub phase: AtomicU8,
    /// Requests so far; only whether it changed matters.
    pub requests: AtomicU32,
    /// Requests of an HTTP/2 connection that are in flight.
    pub streams: AtomicU32,
    /// Looks at an HTTP/2 connection so far, see [`Line::look`].
    looks: AtomicU32,
    /// Responses that wait for the client to take more, by the look before they began to.
    stalled: [AtomicU32; LOOKS],
    waker: AtomicWaker,
}

/// A stalled response is found two looks later, so that its place is not taken by then.
const LOOKS: usize = 4;

impl Line {
    pub fn new(shared: Arc<Shared>, peer: Peer) -> Self {
        Line {
            shared,
            peer,
            handshake: OnceLock::new(),
            http2: AtomicBool::new(false),
            phase: AtomicU8::new(phase::IDLE),
            requests: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            looks: AtomicU32::new(0),
            stalled: Default::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// The task that [`Line::wake`] is to wake.
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Lets the connection look whether the server drains.
    pub fn wake(&self) {
        self.waker.wake();
    }

    pub fn phase(&self) -> u8 {
        self.phase.load(Relaxed)
    }

    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    pub fn begin(&self) {
        // One task counts, so this needs no lock of the processor.
        self.requests.store(self.requests().wrapping_add(1), Relaxed);
        if self.http2.load(Relaxed) {
            self.streams.fetch_add(1, Relaxed);
        } else {
            self.phase.store(phase::WAITING, Relaxed);
        }
    }

    pub fn answered(&self, upgraded: bool) {
        if !self.http2.load(Relaxed) {
            self.phase.store(if upgraded { phase::UPGRADED } else { phase::ANSWERING }, Relaxed);
        }
    }

    pub fn end(&self) {
        if self.http2.load(Relaxed) {
            self.streams.fetch_sub(1, Relaxed);
        } else if self.phase() != phase::UPGRADED {
            self.phase.store(phase::IDLE, Relaxed);
        }
    }

    /// A response of HTTP/2 begins to wait until the client takes more. hyper does not poll its body then, so it
    /// is the connection that has to look.
    pub fn stall(&self) -> u32 {
        let look = self.looks.load(Relaxed);
        self.stalled[look as usize % LOOKS].fetch_add(1, Relaxed);
        look
    }

    pub fn go_on(&self, look: u32) {
        self.stalled[look as usize % LOOKS].fetch_sub(1, Relaxed);
    }

    /// Whether a response has waited all the time between two looks.
    pub fn look(&self) -> bool {
        let look = self.looks.load(Relaxed).wrapping_add(1);
        self.looks.store(look, Relaxed);
        self.stalled[look.wrapping_sub(2) as usize % LOOKS].load(Relaxed) > 0
    }
}
