//! Reads where they are asked for: a row that is in memory is read before a thread would have woken up.
//!
//! Nobody can say beforehand whether it is. So a read that takes long sends those after it to the threads for a while:
//! a slow disk holds up a worker's other guests for one read in each [`PAUSE`], not for all.

use crate::keyvalue::StoreError;
use rusqlite::Connection;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a read from memory takes at the most.
const LONG: Duration = Duration::from_micros(500);
/// After a longer one, reads go to the threads for so long.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Near {
    connections: Vec<Mutex<Connection>>,
    began: Instant,
    /// In microseconds since `began`.
    paused_until_us: AtomicU64,
}

impl Near {
    /// The connections must not wait for locks of other processes.
    pub fn new(connections: Vec<Connection>) -> Self {
        let connections = connections.into_iter().map(Mutex::new).collect();
        Near { connections, began: Instant::now(), paused_until_us: AtomicU64::new(0) }
    }

    /// `None`: the threads shall do it, because no connection is free, the disk is slow, or it failed.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Option<T> {
        let start = Instant::now();
        let now_us = start.duration_since(self.began).as_micros() as u64;
        if now_us < self.paused_until_us.load(Relaxed) {
            return None;
        }
        let connection = self.connections.iter().find_map(|one| one.try_lock().ok())?;
        let done = work(&connection);
        if start.elapsed() > LONG {
            self.paused_until_us.store(now_us + PAUSE.as_micros() as u64, Relaxed);
        }
        done.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_slow_read_the_threads_have_their_turn() {
        let near = Near::new(vec![Connection::open_in_memory().expect("a database")]);
        let quick = || near.read(|_| Ok(1));
        // One that is long does not count, whatever the machine is doing meanwhile.
        let begun = Instant::now();
        while quick().is_none() {
            assert!(begun.elapsed() < sampan_testing::PATIENCE);
        }
        let slow = near.read(|_| {
            std::thread::sleep(LONG * 2);
            Ok(2)
        });
        assert_eq!((slow, quick()), (Some(2), None));
        near.paused_until_us.store(0, Relaxed);
        assert_eq!(near.read(|_| Err::<(), _>(StoreError::Other("broken".to_owned()))), None);
        // Somebody else has the only connection.
        near.paused_until_us.store(0, Relaxed);
        let nested = near.read(|_| Ok(quick()));
        assert_eq!(nested, Some(None));
    }
}
