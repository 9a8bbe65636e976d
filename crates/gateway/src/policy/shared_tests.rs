//! The window's arithmetic, and counting in a store.

use super::*;
use sampan_app::{OnFailure, RateKey};
use std::collections::HashMap;
use std::sync::Mutex;

/// A store; every call is counted.
#[derive(Default)]
struct Memory {
    numbers: Mutex<HashMap<String, i64>>,
    calls: AtomicU64,
    down: std::sync::atomic::AtomicBool,
}

impl Memory {
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMap<String, i64>) -> T,
    ) -> BoxFuture<'_, Result<T, String>> {
        self.calls.fetch_add(1, Relaxed);
        let down = self.down.load(Relaxed);
        let done = if down { Err("down".to_owned()) } else { Ok(work(&mut self.numbers.lock().unwrap())) };
        Box::pin(std::future::ready(done))
    }
}

impl Counters for Memory {
    fn begin(&self, key: String, ttl: Duration) -> BoxFuture<'_, Result<(), String>> {
        assert!(ttl > Duration::from_secs(20));
        self.work(|numbers| {
            numbers.entry(key).or_default();
        })
    }

    fn add(&self, key: String, delta: i64) -> BoxFuture<'_, Result<i64, String>> {
        self.work(move |numbers| {
            let number = numbers.get_mut(&key).expect("a count is begun before it is added to");
            *number += delta;
            *number
        })
    }

    fn get(&self, key: String) -> BoxFuture<'_, Result<i64, String>> {
        self.work(move |numbers| numbers.get(&key).copied().unwrap_or(0))
    }
}

/// 4 in 10 seconds.
fn shared(memory: &Arc<Memory>) -> Shared {
    let limit = RateLimit {
        requests: 4,
        per: Duration::from_secs(10),
        burst: 4,
        key: RateKey::Route,
        store: Some("s".into()),
        on_failure: OnFailure::Open,
    };
    Shared::new(memory.clone(), &limit)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

fn take(shared: &Shared, now: u64) -> (bool, u32, u128) {
    let taken = block_on(shared.take_at("k", 1, now));
    let verdict = taken.expect("the store is up");
    (verdict.allowed, verdict.remaining, verdict.retry.as_millis())
}

#[test]
fn two_processes_count_together_and_the_window_slides() {
    let memory = Arc::new(Memory::default());
    let (one, other) = (shared(&memory), shared(&memory));
    assert_eq!(take(&one, 100_000), (true, 3, 0));
    assert_eq!(take(&other, 101_000), (true, 2, 0));
    assert_eq!(take(&one, 102_000), (true, 1, 0));
    assert_eq!(take(&other, 103_000), (true, 0, 0));
    // Full: room is when a quarter of the window before is out of sight, 12.5 s after the first.
    assert_eq!(take(&one, 104_000), (false, 0, 8_500));
    assert_eq!(take(&other, 109_999), (false, 0, 2_501));
    assert_eq!(take(&one, 110_000), (false, 0, 2_500));
    assert_eq!(take(&one, 112_499), (false, 0, 1));
    assert_eq!(take(&one, 112_500), (true, 0, 0));
    assert_eq!(take(&other, 112_500), (false, 0, 2_500));
    // What was refused has not counted.
    assert_eq!(take(&other, 115_000), (true, 0, 0));
    // Two windows on, nothing is left of it.
    assert_eq!(take(&one, 130_000), (true, 3, 0));
}

#[test]
fn refused_clients_cost_the_store_nothing() {
    let memory = Arc::new(Memory::default());
    let shared = shared(&memory);
    assert_eq!([0; 5].map(|_| take(&shared, 100_000).0), [true, true, true, true, false]);
    let calls = memory.calls.load(Relaxed);
    // Two to begin, one for each, one to take back the fifth.
    assert_eq!(calls, 2 + 5 + 1);
    (0..1000).for_each(|at| assert!(!take(&shared, 100_001 + at).0));
    assert_eq!(memory.calls.load(Relaxed), calls);
}

#[test]
fn what_is_said_to_be_the_time_to_retry_is_true() {
    for (before, count) in (0..=4).flat_map(|before| (0..=4).map(move |count| (before, count))) {
        for now in [100_000, 103_333, 109_999] {
            let window = Window { per: 10_000, requests: 4 };
            if window.left(before, count + 1, now).is_some() {
                continue;
            }
            let at = window.room_at(before, count, now);
            let fits = |at: u64| match at / 10_000 - now / 10_000 {
                0 => window.left(before, count + 1, at).is_some(),
                1 => window.left(count, 1, at).is_some(),
                _ => true,
            };
            assert!(fits(at) && !fits(at - 1), "{before} {count} {now}: {at}");
        }
    }
}

#[test]
fn a_store_that_is_down_is_left_alone_for_a_while() {
    let memory = Arc::new(Memory::default());
    memory.down.store(true, Relaxed);
    let shared = shared(&memory);
    block_on(async {
        for _ in 0..10 {
            assert!(shared.take("k", 1).await.is_err());
        }
    });
    assert_eq!(memory.calls.load(Relaxed), 1);
}
