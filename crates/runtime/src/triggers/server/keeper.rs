//! Keeps one instance of a server guest running: starts it, tells when it listens, starts it again when it
//! ends, later each time.

use super::pool::Pool;
use futures::future::{Either, select};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The pause before the second restart; the first is at once. It doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A guest that ran for so long may be restarted at once again.
const SETTLED: Duration = Duration::from_secs(10);

/// An instance that is about to run.
pub struct Started {
    /// Where its port is on this machine.
    pub address: SocketAddr,
    /// The guest's ports on which it listens.
    pub listening: watch::Receiver<Vec<u16>>,
    /// The guest's whole life; says why it ended.
    pub run: Pin<Box<dyn Future<Output = String> + Send>>,
}

/// Makes an instance, or says why not.
pub type Start = Arc<dyn Fn() -> Result<Started, String> + Send + Sync>;

/// How it stands with the guest.
#[derive(Clone, Debug)]
pub enum State {
    /// It was started and does not listen yet.
    Starting,
    /// It takes connections.
    Up(Arc<Pool>),
    /// It ended, and is not started again before this time.
    Down { until: Instant },
}

/// The task that keeps a guest running. Dropping it ends the guest.
pub struct Keeper {
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a request cannot be answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUp {
    /// When to ask again.
    pub retry_after: Duration,
    /// It runs, but did not begin to listen.
    pub starting: bool,
}

impl Keeper {
    /// Starts the guest on `runtime`, where it stalls nobody else. `log` gets sentences about its end.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        port: u16,
        start: Start,
        log: impl Fn(String) + Send + 'static,
    ) -> Keeper {
        let (sender, state) = watch::channel(State::Starting);
        let task = runtime.spawn(async move {
            let mut failures = 0;
            loop {
                let begin = Instant::now();
                sender.send_replace(State::Starting);
                let why = once(&sender, port, &start).await;
                failures = if begin.elapsed() >= SETTLED { 0 } else { failures + 1 };
                let pause = pause_after(failures);
                log(match pause {
                    Duration::ZERO => format!("the server ended: {why}; it is started again"),
                    pause => format!("the server ended: {why}; it is started again in {pause:?}"),
                });
                if !pause.is_zero() {
                    sender.send_replace(State::Down { until: Instant::now() + pause });
                    tokio::time::sleep(pause).await;
                }
            }
        });
        Keeper { state, task }
    }

    /// The guest's pool of connections, once it listens. Waits for that at most `patience`, and not at all
    /// for a restart that comes later.
    pub async fn up(&self, patience: Duration) -> Result<Arc<Pool>, NotUp> {
        let mut state = self.state.clone();
        let deadline = Instant::now() + patience;
        let wait = async {
            loop {
                match &*state.borrow_and_update() {
                    State::Up(pool) => return Ok(pool.clone()),
                    State::Down { until } if *until > deadline => {
                        let retry_after = until.saturating_duration_since(Instant::now());
                        return Err(NotUp { retry_after, starting: false });
                    }
                    State::Starting | State::Down { .. } => {}
                }
                if state.changed().await.is_err() {
                    // The runtime is shutting down.
                    return Err(NotUp { retry_after: PAUSE_MAX, starting: false });
                }
            }
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(result) => result,
            Err(_) => {
                let starting = matches!(*self.state.borrow(), State::Starting);
                Err(NotUp { retry_after: Duration::from_secs(1), starting })
            }
        }
    }
}

/// One life of the guest.
async fn once(sender: &watch::Sender<State>, port: u16, start: &Start) -> String {
    let started = match start() {
        Ok(started) => started,
        Err(why) => return why,
    };
    let Started { address, mut listening, mut run } = started;
    let listens = std::pin::pin!(async { listening.wait_for(|ports| ports.contains(&port)).await.map(drop) });
    match select(&mut run, listens).await {
        Either::Left((why, _)) => return why,
        Either::Right((Ok(()), _)) => {}
        // The guest's sockets are gone, and it is about to follow.
        Either::Right((Err(_), _)) => return run.await,
    }
    let pool = Arc::new(Pool::new(address));
    sender.send_replace(State::Up(pool.clone()));
    let why = run.await;
    // Whoever has the pool must not send another request to whoever gets this port next.
    pool.close();
    sender.send_replace(State::Starting);
    why
}

/// How long a guest that ended is left alone: `failures` counts its ends since it last ran for long.
fn pause_after(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => PAUSE_MAX.min(PAUSE_MIN * 2u32.saturating_pow((more - 2).min(16))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_first_restart_is_at_once_and_the_pause_is_bounded() {
        for (failures, ms) in
            [(0, 0), (1, 0), (2, 100), (3, 200), (4, 400), (8, 6400), (9, 10_000), (1000, 10_000)]
        {
            assert_eq!(pause_after(failures), Duration::from_millis(ms), "{failures}");
        }
    }

    /// A guest whose life a test directs: each start sends its `listening` to the test.
    type Births =
        tokio::sync::mpsc::UnboundedReceiver<(watch::Sender<Vec<u16>>, tokio::sync::oneshot::Sender<String>)>;

    fn puppet() -> (Start, Births) {
        let (births, receiver) = tokio::sync::mpsc::unbounded_channel();
        let births = Mutex::new(births);
        let start = move || {
            let (ports, listening) = watch::channel(Vec::new());
            let (end, ended) = tokio::sync::oneshot::channel();
            births.lock().unwrap().send((ports, end)).unwrap();
            let run = Box::pin(async { ended.await.unwrap_or_default() });
            Ok(Started { address: "127.0.0.1:9".parse().unwrap(), listening, run })
        };
        (Arc::new(start), receiver)
    }

    fn block_on(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn requests_wait_until_the_guest_listens_and_again_after_its_end() {
        block_on(async {
            let (start, mut births) = puppet();
            let keeper = Keeper::start(&tokio::runtime::Handle::current(), 80, start, |_| {});
            let (ports, end) = births.recv().await.unwrap();
            let (pool, ()) = futures::future::join(keeper.up(PATIENCE), async {
                ports.send(vec![81]).unwrap();
                tokio::task::yield_now().await;
                ports.send(vec![81, 80]).unwrap();
            })
            .await;
            let pool = pool.unwrap();
            end.send("bored".to_owned()).unwrap();
            // At once, for the first time.
            let (ports, _end) = births.recv().await.unwrap();
            assert!(pool.is_closed());
            ports.send(vec![80]).unwrap();
            assert!(!Arc::ptr_eq(&keeper.up(PATIENCE).await.unwrap(), &pool));
        });
    }

    #[test]
    fn a_guest_that_cannot_start_is_tried_again_later_and_said_to_be_down() {
        block_on(async {
            let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
            let start: Start = Arc::new(|| Err("no such folder".to_owned()));
            let keeper = Keeper::start(&tokio::runtime::Handle::current(), 80, start, move |line| {
                says.send(line).unwrap()
            });
            assert_eq!(said.recv().await.unwrap(), "the server ended: no such folder; it is started again");
            let second = said.recv().await.unwrap();
            assert!(second.ends_with("in 100ms"), "{second}");
            // Who has no patience is told at once when to come again.
            let error = keeper.up(Duration::ZERO).await.unwrap_err();
            assert!(error.retry_after <= PAUSE_MAX);
        });
    }

    #[test]
    fn dropping_the_keeper_ends_the_guest() {
        block_on(async {
            let (start, mut births) = puppet();
            let keeper = Keeper::start(&tokio::runtime::Handle::current(), 80, start, |_| {});
            let (_ports, mut end) = births.recv().await.unwrap();
            drop(keeper);
            end.closed().await;
        });
    }
}
