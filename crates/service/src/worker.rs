//! A worker: a thread with a runtime of its own that holds connections, so that a connection and all that it
//! runs stay on one core.

use crate::line::Line;
use crate::prompt::be_prompt;
use futures::future::select;
use sampan_telemetry::metrics;
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Shorter than most limits on time.
const BEAT: Duration = Duration::from_secs(1);

/// Ends with its value: whatever runs on it is dropped.
pub(crate) struct Worker {
    hand: Hand,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the acceptor holds of a worker.
#[derive(Clone)]
pub(crate) struct Hand {
    pub runtime: Handle,
    pub lines: Arc<Lines>,
}

/// The connections of a worker.
#[derive(Default)]
pub(crate) struct Lines {
    count: AtomicUsize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Line>>>,
}

impl Lines {
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Keeps a connection's place until the slot is dropped.
    pub fn enter(self: &Arc<Self>, line: Arc<Line>) -> Slot {
        let key = self.next.fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(key, line.clone());
        metrics().connections.inc();
        Slot { lines: self.clone(), line, key }
    }
}

/// A connection's place; it goes where the socket goes, also beyond an upgrade.
pub(crate) struct Slot {
    lines: Arc<Lines>,
    line: Arc<Line>,
    key: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lines.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.lines.count.fetch_sub(1, Relaxed);
        metrics().connections.dec();
        self.line.shared.leave();
    }
}

impl Worker {
    pub fn start(index: usize) -> io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let hand = Hand { runtime: runtime.handle().clone(), lines: Arc::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            be_prompt();
            // An error means that the sender is gone, which is as good a reason to end.
            let _ = runtime.block_on(select(stopped, pin!(beat())));
            // A handler's blocking calls must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Worker { hand, stop: Some(stop), thread: Some(thread) })
    }

    pub fn hand(&self) -> Hand {
        self.hand.clone()
    }

    pub fn wake_all(&self) {
        let open = self.hand.lines.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<Arc<Line>> = open.values().cloned().collect();
        // Whoever is woken may want the lock.
        drop(open);
        lines.iter().for_each(|line| line.wake());
    }
}

/// Wakes the runtime now and then. Tokio interrupts a runtime, by a system call, for each timer that ends before the
/// next time when it would wake anyway (tokio 1.54, src/runtime/time/mod.rs, `reregister`), and requests set timers
/// that hardly ever fire.
async fn beat() {
    loop {
        sleep(BEAT).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed by then.
            let _ = thread.join();
        }
    }
}
