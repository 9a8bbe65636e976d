//! Waiting for the sockets of one guest: an epoll instance of their own inside Tokio's.
//!
//! Nested, because a guest's poll needs what a Tokio registration does not give: the level at the time of
//! the call, edges that begin anew when interest does, and one wake-up for a thousand sockets.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The operating system's socket behind a guest's. It never blocks.
pub struct OsSocket {
    socket: socket2::Socket,
    /// Never used twice, unlike the descriptor's number.
    pub id: u64,
}

impl OsSocket {
    pub fn new(socket: socket2::Socket) -> io::Result<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        socket.set_nonblocking(true)?;
        Ok(Arc::new(OsSocket { socket, id: NEXT.fetch_add(1, Ordering::Relaxed) }))
    }
}

impl std::ops::Deref for OsSocket {
    type Target = socket2::Socket;

    fn deref(&self) -> &socket2::Socket {
        &self.socket
    }
}

impl AsFd for OsSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Ready is said for as long as it lasts.
    Level,
    /// Ready is said once for each change, and once when interest begins.
    Edge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    pub read: bool,
    pub write: bool,
}

/// What happened on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    pub id: u64,
    pub read: bool,
    pub write: bool,
    /// The peer sends no more.
    pub no_more: bool,
    /// The connection is gone, or there never was one.
    pub gone: bool,
}

/// Sockets to wait for, by [`OsSocket::id`].
pub type Wanted = HashMap<u64, (Arc<OsSocket>, Readiness)>;

pub struct Poller {
    epoll: AsyncFd<OwnedFd>,
    trigger: Trigger,
    /// What the kernel watches. A socket that was closed meanwhile is gone from the kernel's list.
    watched: HashMap<u64, (Weak<OsSocket>, Readiness)>,
}

impl Poller {
    /// Must be called inside a Tokio runtime.
    pub fn new(trigger: Trigger) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by what is registered, which closes it after it is deregistered.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) }?;
        Ok(Poller { epoll, trigger, watched: HashMap::new() })
    }

    /// Makes `wanted` all that is watched. What was watched already keeps its edge.
    pub fn watch(&mut self, wanted: &Wanted) -> io::Result<()> {
        let epoll = &self.epoll;
        self.watched.retain(|id, (socket, _)| {
            let keep = wanted.contains_key(id);
            if !keep && let Some(socket) = socket.upgrade() {
                // It is watched and open, so this cannot fail; and there is nobody to tell.
                let _ = epoll::delete(epoll, &*socket);
            }
            keep
        });
        for (id, (socket, readiness)) in wanted {
            let flags = self.flags(*readiness);
            match self.watched.get(id) {
                Some((_, watched)) if watched == readiness => continue,
                Some(_) => epoll::modify(&self.epoll, &**socket, EventData::new_u64(*id), flags)?,
                None => epoll::add(&self.epoll, &**socket, EventData::new_u64(*id), flags)?,
            }
            self.watched.insert(*id, (Arc::downgrade(socket), *readiness));
        }
        Ok(())
    }

    fn flags(&self, readiness: Readiness) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN | EventFlags::RDHUP, readiness.read);
        flags.set(EventFlags::OUT, readiness.write);
        flags.set(EventFlags::ET, self.trigger == Trigger::Edge);
        flags
    }

    /// What is ready now; waits for nothing.
    pub fn ready(&mut self) -> io::Result<Vec<Happened>> {
        if self.watched.is_empty() {
            return Ok(Vec::new());
        }
        let mut events = Vec::with_capacity(self.watched.len());
        epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&Timespec { tv_sec: 0, tv_nsec: 0 }),
        )?;
        Ok(events.iter().map(happened).collect())
    }

    /// What is ready, once something is.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Happened>>> {
        loop {
            let ready = self.ready()?;
            if !ready.is_empty() {
                return Poll::Ready(Ok(ready));
            }
            // What happens from here on wakes us; what happened before is in the next round.
            match self.epoll.poll_read_ready(cx)? {
                Poll::Ready(mut guard) => guard.clear_ready(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn happened(event: &Event) -> Happened {
    let flags = event.flags;
    let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
    Happened {
        id: event.data.u64(),
        read: gone || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
        write: gone || flags.contains(EventFlags::OUT),
        no_more: flags.contains(EventFlags::RDHUP),
        gone,
    }
}

/// Waits for single sockets, in calls that block the guest.
#[derive(Default)]
pub struct Waiter(Option<Poller>);

impl Waiter {
    /// Waits until `socket` is ready, at most for `timeout`. `false` when the time is over.
    pub async fn wait(
        &mut self,
        socket: &Arc<OsSocket>,
        readiness: Readiness,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        let poller = match &mut self.0 {
            Some(poller) => poller,
            none => none.insert(Poller::new(Trigger::Level)?),
        };
        poller.watch(&HashMap::from([(socket.id, (socket.clone(), readiness))]))?;
        let ready = std::future::poll_fn(|cx| poller.poll_ready(cx));
        match timeout {
            None => ready.await.map(|_| true),
            Some(timeout) => match tokio::time::timeout(timeout, ready).await {
                Ok(ready) => ready.map(|_| true),
                Err(_) => Ok(false),
            },
        }
    }
}
