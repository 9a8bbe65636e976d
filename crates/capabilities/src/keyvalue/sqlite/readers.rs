//! Threads that read, each with a connection of its own: a read that waits for the disk stops no guest.

use crate::embedded::Failure;
use crate::keyvalue::StoreError;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::{Semaphore, oneshot};

/// Reads that wait at once; more wait for a place without costing a value's memory.
const QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

pub struct Readers {
    // The threads end when this is dropped.
    jobs: Sender<Job>,
    places: Arc<Semaphore>,
}

impl Readers {
    pub fn start(connections: Vec<Connection>) -> Self {
        let (jobs, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for connection in connections {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || serve(&connection, &receiver));
        }
        Readers { jobs, places: Arc::new(Semaphore::new(QUEUE_MAX)) }
    }

    /// Runs `work` in one of the threads. Dropping the future skips work that has not begun.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _place = self.places.acquire().await.map_err(|_| StoreError::gone())?;
        let (reply, answer) = oneshot::channel();
        let job = move |db: &Connection| {
            if !reply.is_closed() {
                // Whoever asked may have gone away meanwhile.
                let _ = reply.send(work(db));
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| StoreError::gone())?;
        answer.await.map_err(|_| StoreError::gone())?
    }
}

fn serve(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // One thread at a time waits for the next job; the lock is free while it runs.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}
