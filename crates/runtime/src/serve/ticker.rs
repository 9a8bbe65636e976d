//! The epoch ticker: one thread that advances the engines' epochs while guests run, and sleeps otherwise.
//!
//! Guests' code looks at the epoch at loops and function entries. Nothing but a deadline that has passed costs
//! more than that look, so the ticks can be short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::EngineWeak;

/// One epoch.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the thread sleeps until one runs.
const IDLE_TICKS: u32 = 32;

pub struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    /// Guests that are being polled now.
    running: AtomicU32,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub fn start<'a>(engines: impl Iterator<Item = &'a wasmtime::Engine>) -> std::io::Result<Self> {
        let engines: Vec<EngineWeak> = engines.map(wasmtime::Engine::weak).collect();
        let shared = Arc::new(Shared {
            running: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let clone = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("epochs".into()).spawn(move || clone.tick(&engines))?;
        Ok(Ticker { shared, thread: thread.thread().clone() })
    }

    /// To be held while a guest is polled.
    pub fn run(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // Only after a silence: otherwise the flag is read and nothing else.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.shared.asleep.store(false, Ordering::SeqCst);
            self.thread.unpark();
        }
        Running(&self.shared.running)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A guest runs as long as this lives.
pub struct Running<'a>(&'a AtomicU32);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn tick(&self, engines: &[EngineWeak]) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            for engine in engines {
                if let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                }
            }
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        // A guest that began in between has either seen the flag, or is seen here.
        while self.asleep.load(Ordering::SeqCst)
            && self.running.load(Ordering::SeqCst) == 0
            && !self.stop.load(Ordering::SeqCst)
        {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}
