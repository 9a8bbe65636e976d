//! The one thread that writes.
//!
//! It takes what is queued, gives each write a savepoint, commits them together, and only then answers: many
//! writers share the wait for the disk, and a failed write spoils nobody else's.

use super::Failure;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// What waits to be written, in units of [`UNIT_BYTES`], each write counting at least one.
const QUEUE_UNITS: usize = (256 << 20) / UNIT_BYTES;
const UNIT_BYTES: usize = 16 << 10;
/// Writes in one transaction.
const GROUP_MAX: usize = 256;
/// How often what has expired, which nobody sees any more, is removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

pub struct Writer<E> {
    // The thread ends when this is dropped, after what is queued.
    jobs: Sender<Box<dyn Write<E>>>,
    units: Semaphore,
}

/// A write that waits for its turn.
trait Write<E>: Send {
    /// Does it, inside a savepoint.
    fn run(&mut self, db: &Connection) -> Result<(), E>;
    /// Answers whoever asked, with the error if the transaction was not committed.
    fn answer(self: Box<Self>, committed: Result<(), E>);
}

struct Job<F, T, E> {
    work: Option<F>,
    done: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Write<E> for Job<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: Failure,
{
    fn run(&mut self, db: &Connection) -> Result<(), E> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let done = work(db);
        let outcome = done.as_ref().map(drop).map_err(Clone::clone);
        self.done = Some(done);
        outcome
    }

    fn answer(self: Box<Self>, committed: Result<(), E>) {
        let done = self.done.unwrap_or_else(|| Err(E::gone()));
        // Whoever asked may have gone away meanwhile.
        let _ = self.reply.send(done.and_then(|value| committed.map(|()| value)));
    }
}

impl<E: Failure> Writer<E> {
    /// `sweep` removes what has expired, from time to time.
    pub fn start(
        connection: Connection,
        sweep: impl FnMut(&Connection) -> Result<(), E> + Send + 'static,
    ) -> Self {
        let (jobs, receiver) = channel();
        thread::spawn(move || serve(&connection, &receiver, sweep));
        Writer { jobs, units: Semaphore::new(QUEUE_UNITS) }
    }

    /// Queues `work`, which holds about so many bytes, and waits until it is on the disk. Once queued it is
    /// done even if the future is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let units = (1 + bytes / UNIT_BYTES).min(QUEUE_UNITS) as u32;
        let _place = self.units.acquire_many(units).await.map_err(|_| E::gone())?;
        let (reply, answer) = oneshot::channel();
        let job = Job { work: Some(work), done: None, reply };
        self.jobs.send(Box::new(job)).map_err(|_| E::gone())?;
        answer.await.map_err(|_| E::gone())?
    }
}

fn serve<E: Failure>(
    db: &Connection,
    jobs: &Receiver<Box<dyn Write<E>>>,
    mut sweep: impl FnMut(&Connection) -> Result<(), E>,
) {
    let mut sweep_at = Instant::now();
    loop {
        if Instant::now() >= sweep_at {
            // What is left over is invisible, and the next sweep tries again.
            let _ = sweep(db);
            sweep_at = Instant::now() + SWEEP_INTERVAL;
        }
        match jobs.recv_timeout(sweep_at.saturating_duration_since(Instant::now())) {
            Ok(first) => {
                let mut group = vec![first];
                group.extend(jobs.try_iter().take(GROUP_MAX - 1));
                write(db, group);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Writes a group in one transaction, and answers.
fn write<E: Failure>(db: &Connection, mut group: Vec<Box<dyn Write<E>>>) {
    let committed = transact(db, &mut group);
    if committed.is_err() {
        // Nothing to roll back is the usual case, and no error that matters.
        let _ = db.execute_batch("ROLLBACK");
    }
    for job in group {
        job.answer(committed.clone());
    }
}

fn transact<E: Failure>(db: &Connection, group: &mut [Box<dyn Write<E>>]) -> Result<(), E> {
    let sql = |sql| db.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop);
    sql("BEGIN IMMEDIATE").map_err(|error| E::sqlite(&error))?;
    for job in group {
        sql("SAVEPOINT one").map_err(|error| E::sqlite(&error))?;
        if let Err(error) = job.run(db) {
            // A full disk and the like end the whole transaction: then nobody's write is there.
            if db.is_autocommit() {
                return Err(error);
            }
            sql("ROLLBACK TO one").map_err(|error| E::sqlite(&error))?;
        }
        sql("RELEASE one").map_err(|error| E::sqlite(&error))?;
    }
    sql("COMMIT").map_err(|error| E::sqlite(&error))
}
