//! Connections of one database, shared by all instances of a process: bounded in number, the wait for one
//! bounded in time, cleaned before another guest gets them, replaced when they die.

use super::connection::{Done, Item};
use super::{Error, Value};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

/// How long a guest waits for a connection that others have.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long making a connection may take, name look-up and TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long cleaning a connection, or ending its statement, may take before it is dropped instead.
const CLEAN_MAX: Duration = Duration::from_secs(5);
/// An older idle connection is not used again: routers forget them, servers close them.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// An idle connection is asked whether it lives if it was not used for so long.
const TRUSTED: Duration = Duration::from_secs(1);
/// After a failed attempt there is none for this long, then twice that, …
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How connections of one database are made.
pub(super) trait Driver: Send + Sync + 'static {
    type Session: Session;

    fn connect(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// The database for messages: no password.
    fn label(&self) -> String;
}

/// One connection.
pub(super) trait Session: Send + 'static {
    /// Runs one statement and sends columns and rows. Dropping it in the middle is allowed if `cancel`
    /// follows.
    fn run(
        &mut self,
        statement: String,
        params: Vec<Value>,
        sink: mpsc::Sender<Item>,
    ) -> impl Future<Output = Result<Done, Error>> + Send;

    /// Runs the statements of a manifest's `init`.
    fn init(&mut self, statements: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether the connection can run another statement, as far as is known.
    fn usable(&self) -> bool;

    /// Asks the database whether the connection lives.
    fn ping(&mut self) -> impl Future<Output = bool> + Send;

    /// Takes back what the guest did to the session: an open transaction, variables, temporary tables.
    /// `false`: this cannot be done, the connection must go.
    fn clean(&mut self) -> impl Future<Output = bool> + Send;

    /// Ends the running statement; the connection is dropped.
    fn cancel(self) -> impl Future<Output = ()> + Send;
}

pub(super) struct Pool<D: Driver> {
    driver: D,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(D::Session, Instant)>>,
    failure: Mutex<Option<Failure>>,
    /// Statements that the first connection runs.
    init: Option<String>,
    initialised: OnceCell<()>,
}

/// The last attempt to connect, if it failed.
struct Failure {
    error: Error,
    until: Instant,
    backoff: Duration,
}

/// A connection that is in use; dropping it drops the connection.
pub(super) struct Leased<D: Driver> {
    session: D::Session,
    /// When the connection was last known to live.
    proven: Instant,
    pool: Arc<Pool<D>>,
    permit: OwnedSemaphorePermit,
}

impl<D: Driver> Pool<D> {
    pub fn new(driver: D, size: u32, init: Option<String>) -> Self {
        let size = size.max(1);
        Pool {
            driver,
            size,
            permits: Arc::new(Semaphore::new(size as usize)),
            idle: Mutex::default(),
            failure: Mutex::default(),
            init,
            initialised: OnceCell::new(),
        }
    }

    /// Whether no connection is in use.
    pub fn is_idle(&self) -> bool {
        self.permits.available_permits() == self.size as usize
    }

    pub async fn take(self: &Arc<Self>) -> Result<Leased<D>, Error> {
        let wait = timeout(WAIT_MAX, Arc::clone(&self.permits).acquire_owned());
        let permit = wait.await.map_err(|_| self.exhausted())?.map_err(|_| self.exhausted())?;
        let (mut session, proven) = match self.take_idle().await {
            Some(idle) => idle,
            None => (self.connect().await?, Instant::now()),
        };
        self.initialised
            .get_or_try_init(async || match &self.init {
                Some(statements) => session.init(statements).await,
                None => Ok(()),
            })
            .await?;
        Ok(Leased { session, proven, pool: Arc::clone(self), permit })
    }

    fn exhausted(&self) -> Error {
        Error::Connection(format!(
            "all {} connections to {} were in use for {WAIT_MAX:?}",
            self.size,
            self.driver.label()
        ))
    }

    async fn take_idle(&self) -> Option<(D::Session, Instant)> {
        loop {
            // The one used last: the others may grow old.
            let (mut session, since) = lock(&self.idle).pop()?;
            let age = since.elapsed();
            if age > IDLE_MAX || !session.usable() {
                continue;
            }
            if age < TRUSTED {
                return Some((session, since));
            }
            if timeout(CLEAN_MAX, session.ping()).await.unwrap_or(false) {
                return Some((session, Instant::now()));
            }
        }
    }

    async fn connect(&self) -> Result<D::Session, Error> {
        if let Some(failure) = &*lock(&self.failure)
            && Instant::now() < failure.until
        {
            return Err(failure.error.clone());
        }
        let connected = timeout(CONNECT_MAX, self.driver.connect()).await.unwrap_or_else(|_| {
            let label = self.driver.label();
            Err(Error::Connection(format!("cannot connect to {label}: no answer for {CONNECT_MAX:?}")))
        });
        let mut failure = lock(&self.failure);
        *failure = connected.as_ref().err().map(|error| {
            let before = failure.as_ref().map(|failure| failure.backoff * 2);
            let backoff = before.unwrap_or(BACKOFF_MIN).min(BACKOFF_MAX);
            Failure { error: error.clone(), until: Instant::now() + backoff, backoff }
        });
        connected
    }
}

impl<D: Driver> Leased<D> {
    pub fn session(&mut self) -> &mut D::Session {
        &mut self.session
    }

    /// A statement came to its end.
    pub fn proven(&mut self) {
        self.proven = Instant::now();
    }

    pub async fn give_back(mut self) {
        let clean = timeout(CLEAN_MAX, self.session.clean()).await.unwrap_or(false);
        if clean && self.session.usable() {
            let mut idle = lock(&self.pool.idle);
            idle.retain(|(_, since)| since.elapsed() <= IDLE_MAX);
            idle.push((self.session, self.proven));
        }
    }

    /// The place in the pool is free when the statement has ended.
    pub async fn cancel(self) {
        let Leased { session, permit, .. } = self;
        let _ = timeout(CLEAN_MAX, session.cancel()).await;
        drop(permit);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
