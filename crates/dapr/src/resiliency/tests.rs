//! Policies at work, by a clock that stands still until somebody waits.

use super::breaker::Template;
use super::*;
use sampan_app::dapr::{BackOff, BreakerPolicy, ComponentTarget, PolicyNames, Resiliency, StatusMatch};
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Waiting ends at once, and is written down. A call that is not ready when it is first asked times out.
struct TestClock {
    start: Instant,
    passed: Cell<Duration>,
    waits: RefCell<Vec<Duration>>,
}

impl TestClock {
    fn new() -> Self {
        TestClock { start: Instant::now(), passed: Cell::default(), waits: RefCell::default() }
    }

    fn pass(&self, time: Duration) {
        self.passed.set(self.passed.get() + time);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.start + self.passed.get()
    }

    async fn sleep(&self, time: Duration) {
        self.waits.borrow_mut().push(time);
        self.pass(time);
    }

    async fn timeout<F: Future>(&self, time: Duration, call: F) -> Option<F::Output> {
        let mut call = pin!(call);
        poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                self.pass(time);
                Poll::Ready(None)
            }
        })
        .await
    }
}

/// Of futures that are ready.
fn finish<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn retry(back_off: BackOff, retries_max: Option<u32>) -> Option<Arc<RetryPolicy>> {
    Some(Arc::new(RetryPolicy { back_off, retries_max, ..RetryPolicy::default() }))
}

/// A call's result is its status: below 400 is good, 4xx is final.
fn classify(result: &Result<u16, u16>) -> Verdict {
    match result {
        Ok(status) | Err(status) => match status {
            200..400 => Verdict::Ok,
            400..500 => Verdict::Final,
            status => Verdict::Retryable { status: Some(*status) },
        },
    }
}

/// Calls that end with these statuses, the last of them for ever; how many were made, and the result.
fn run(policy: &Policy, clock: &TestClock, statuses: &[u16]) -> (usize, Result<u16, ResiliencyError<u16>>) {
    let calls = Cell::new(0);
    let call = || {
        let status = statuses[calls.get().min(statuses.len() - 1)];
        calls.set(calls.get() + 1);
        ready(if status < 400 { Ok(status) } else { Err(status) })
    };
    let result = finish(policy.run_by(clock, call, classify));
    (calls.get(), result)
}

#[test]
fn retries() {
    let constant = |most| Policy { retry: retry(BackOff::Constant(SECOND), most), ..Policy::default() };
    for (policy, statuses, calls, result) in [
        (Policy::default(), &[500, 200][..], 1, Err(500)),
        (constant(Some(3)), &[200], 1, Ok(200)),
        (constant(Some(3)), &[500, 500, 200], 3, Ok(200)),
        (constant(Some(3)), &[500], 4, Err(500)),
        (constant(Some(0)), &[500], 1, Err(500)),
        (constant(None), &[[500; 50], [200; 50]].concat(), 51, Ok(200)),
        (constant(None), &[500, 404, 200], 2, Err(404)),
        (constant(None).without_retry(), &[500, 200], 1, Err(500)),
    ] {
        let clock = TestClock::new();
        let made = run(&policy, &clock, statuses);
        assert_eq!(made, (calls, result.map_err(ResiliencyError::Call)), "{statuses:?}");
        assert_eq!(*clock.waits.borrow(), vec![SECOND; calls - 1], "{statuses:?}");
    }
}

#[test]
fn a_good_result_may_be_a_failure_too() {
    let policy = Policy { retry: retry(BackOff::Constant(SECOND), Some(1)), ..Policy::default() };
    let calls = Cell::new(0);
    let call = || {
        calls.set(calls.get() + 1);
        ready(Ok::<u16, u16>(503))
    };
    assert_eq!(finish(policy.run_by(&TestClock::new(), call, classify)), Ok(503));
    assert_eq!(calls.get(), 2);
}

#[test]
fn waits_grow_up_to_their_limit() {
    let policy = |back_off| RetryPolicy { back_off, retries_max: Some(6), ..RetryPolicy::default() };
    let waits = |policy: &RetryPolicy, random| {
        let mut waits = Waits::new(policy);
        std::iter::from_fn(move || waits.next(random)).collect::<Vec<_>>()
    };
    let ms = |list: &[u64]| list.iter().map(|ms| Duration::from_micros(ms * 10)).collect::<Vec<_>>();
    let growing = policy(BackOff::Exponential { interval_max: 2 * SECOND });
    // In hundredths of a millisecond.
    assert_eq!(waits(&growing, 0.5), ms(&[50_000, 75_000, 112_500, 168_750, 200_000, 200_000]));
    assert_eq!(waits(&growing, 0.0), ms(&[25_000, 37_500, 56_250, 84_375, 100_000, 100_000]));
    let short = policy(BackOff::Exponential { interval_max: Duration::from_millis(100) });
    assert_eq!(waits(&short, 0.5), ms(&[10_000; 6]));
    let huge = policy(BackOff::Exponential { interval_max: Duration::MAX });
    assert_eq!(waits(&huge, 0.5).len(), 6);
    assert_eq!(waits(&policy(BackOff::Constant(Duration::ZERO)), 0.5), vec![Duration::from_millis(1); 6]);

    let clock = TestClock::new();
    let back_off = BackOff::Exponential { interval_max: 60 * SECOND };
    let policy = Policy { retry: retry(back_off, Some(200)), ..Policy::default() };
    assert_eq!(run(&policy, &clock, &[500]).0, 201);
    let waits = clock.waits.borrow();
    assert!(waits.iter().all(|wait| *wait >= SECOND / 4 && *wait <= 90 * SECOND), "{waits:?}");
    assert!(waits[50..].iter().any(|wait| *wait < 60 * SECOND), "chance moves it");
}

#[test]
fn statuses_that_are_tried_again() {
    let matching = RetryPolicy {
        retries_max: Some(1),
        http: Some(StatusMatch(vec![(429, 429), (500, 503)])),
        grpc: Some(StatusMatch(vec![(14, 14)])),
        ..RetryPolicy::default()
    };
    let policy = Policy { retry: Some(Arc::new(matching)), ..Policy::default() };
    for (status, calls) in [(Some(503), 2), (Some(504), 1), (Some(14), 2), (Some(13), 1), (None, 2)] {
        let made = Cell::new(0);
        let call = || {
            made.set(made.get() + 1);
            ready(Err::<(), ()>(()))
        };
        let result = finish(policy.run_by(&TestClock::new(), call, |_| Verdict::Retryable { status }));
        assert_eq!((made.get(), result), (calls, Err(ResiliencyError::Call(()))), "{status:?}");
    }
}

#[test]
fn each_attempt_has_its_time() {
    let policy = Policy {
        timeout: Some(5 * SECOND),
        retry: retry(BackOff::Constant(SECOND), Some(2)),
        ..Policy::default()
    };
    let clock = TestClock::new();
    let calls = Cell::new(0);
    let call = || {
        calls.set(calls.get() + 1);
        pending::<Result<u16, u16>>()
    };
    let result = finish(policy.run_by(&clock, call, classify));
    assert_eq!((calls.get(), result), (3, Err(ResiliencyError::Timeout(5 * SECOND))));
    assert_eq!(clock.passed.get(), 17 * SECOND);
}

fn breaker(policy: BreakerPolicy) -> Policy {
    let template = Template::new(&policy).expect("an expression");
    Policy { breaker: Some(Arc::new(Breaker::new(Arc::new(template)))), ..Policy::default() }
}

#[test]
fn a_breaker_opens_and_tries_again() {
    let policy = breaker(BreakerPolicy::default());
    let clock = TestClock::new();
    let call = |status: u16| run(&policy, &clock, &[status]);
    for _ in 0..5 {
        assert_eq!(call(500), (1, Err(ResiliencyError::Call(500))));
    }
    assert_eq!(call(200), (1, Ok(200)), "a success in between: failures count anew");
    for _ in 0..6 {
        assert_eq!(call(500), (1, Err(ResiliencyError::Call(500))));
    }
    assert_eq!(call(200), (0, Err(ResiliencyError::Open)), "the sixth in a row has opened it");
    clock.pass(59 * SECOND);
    assert_eq!(call(200), (0, Err(ResiliencyError::Open)));
    clock.pass(SECOND);
    assert_eq!(call(500), (1, Err(ResiliencyError::Call(500))), "one tries");
    assert_eq!(call(200), (0, Err(ResiliencyError::Open)), "in vain");
    clock.pass(60 * SECOND);
    assert_eq!(call(200), (1, Ok(200)));
    assert_eq!(call(500).0, 1, "it is closed");
    assert_eq!(call(200), (1, Ok(200)));
}

#[test]
fn a_half_open_breaker_lets_few_through() {
    let trip = "consecutiveFailures >= 1".to_owned();
    let policy = breaker(BreakerPolicy { requests_max: 2, trip, ..BreakerPolicy::default() });
    let breaker = policy.breaker.as_deref().expect("a breaker");
    let clock = TestClock::new();
    assert_eq!(run(&policy, &clock, &[500]).0, 1);
    clock.pass(60 * SECOND);
    let first = breaker.enter(clock.now()).expect("one");
    let second = breaker.enter(clock.now()).expect("two");
    assert_eq!(run(&policy, &clock, &[200]), (0, Err(ResiliencyError::HalfOpen)));
    drop(second);
    let second = breaker.enter(clock.now()).expect("a caller that has gone makes room");
    first.leave(true, clock.now());
    assert_eq!(run(&policy, &clock, &[200]), (0, Err(ResiliencyError::HalfOpen)), "one good call is too few");
    second.leave(true, clock.now());
    assert_eq!(run(&policy, &clock, &[200; 3]), (1, Ok(200)));
}

#[test]
fn results_of_an_earlier_time_do_not_count() {
    let trip = "totalFailures > 1".to_owned();
    let policy = breaker(BreakerPolicy { interval: 10 * SECOND, trip, ..BreakerPolicy::default() });
    let breaker = policy.breaker.as_deref().expect("a breaker");
    let clock = TestClock::new();
    let call = |status: u16| run(&policy, &clock, &[status]).0;
    let late = breaker.enter(clock.now()).expect("closed");
    assert_eq!(call(500), 1);
    clock.pass(10 * SECOND);
    assert_eq!(call(500), 1, "counts have begun anew");
    late.leave(false, clock.now());
    assert_eq!(call(500), 1);
    assert_eq!(call(200), 0, "two failures within the interval");
}

#[test]
fn an_open_breaker_ends_retries() {
    let mut policy =
        breaker(BreakerPolicy { trip: "totalFailures == 3".to_owned(), ..BreakerPolicy::default() });
    policy.retry = retry(BackOff::Constant(SECOND), None);
    let clock = TestClock::new();
    assert_eq!(run(&policy, &clock, &[500]), (3, Err(ResiliencyError::Open)));
    assert_eq!(run(&policy, &clock, &[500]), (0, Err(ResiliencyError::Open)));
}

#[test]
fn timeouts_open_a_breaker_and_nonsense_does_not() {
    let mut policy =
        breaker(BreakerPolicy { trip: "totalFailures == 1".to_owned(), ..BreakerPolicy::default() });
    policy.timeout = Some(SECOND);
    let clock = TestClock::new();
    let result = finish(policy.run_by(&clock, pending::<Result<u16, u16>>, classify));
    assert_eq!(result, Err(ResiliencyError::Timeout(SECOND)));
    assert_eq!(run(&policy, &clock, &[200]), (0, Err(ResiliencyError::Open)));

    let policy = breaker(BreakerPolicy { trip: "unknown > 1".to_owned(), ..BreakerPolicy::default() });
    assert_eq!((0..20).map(|_| run(&policy, &clock, &[500]).0).sum::<usize>(), 20);
}

fn named(names: &[&str]) -> PolicyNames {
    let find = |part: &str| names.iter().find(|name| name.contains(part)).map(|name| (*name).to_owned());
    PolicyNames { timeout: find("Timeout"), retry: find("Retry"), breaker: find("Breaker") }
}

/// A resource whose timeouts tell by their seconds which was chosen.
fn resource(timeouts: &[(&str, u64)]) -> Resiliency {
    let timeouts = timeouts.iter().map(|(name, s)| ((*name).to_owned(), Duration::from_secs(*s)));
    Resiliency { timeouts: timeouts.collect(), ..Resiliency::default() }
}

#[test]
fn the_most_specific_name_counts() {
    let order = [
        "DefaultStatestoreComponentOutboundTimeoutPolicy",
        "DefaultComponentOutboundTimeoutPolicy",
        "DefaultComponentTimeoutPolicy",
        "DefaultTimeoutPolicy",
    ];
    let all: Vec<(&str, u64)> = order.iter().copied().zip(1..).collect();
    for skipped in 0..=order.len() {
        let policies = Policies::new(&[resource(&all[skipped..])], "app").expect("good");
        let chosen = policies.component("any", Block::Statestore, Direction::Outbound).timeout;
        let expected = all.get(skipped).map(|(_, seconds)| Duration::from_secs(*seconds));
        assert_eq!(chosen, expected, "{skipped}");
    }
    let policies = Policies::new(&[resource(&all)], "app").expect("good");
    let seconds = |block, direction| policies.component("any", block, direction).timeout;
    assert_eq!(seconds(Block::Pubsub, Direction::Outbound), Some(2 * SECOND));
    assert_eq!(seconds(Block::Statestore, Direction::Inbound), Some(3 * SECOND));
    assert_eq!(policies.app("other", "/").timeout, Some(4 * SECOND));

    let app = resource(&[("DefaultAppTimeoutPolicy", 9), ("DefaultTimeoutPolicy", 4)]);
    assert_eq!(Policies::new(&[app], "app").expect("good").app("other", "/").timeout, Some(9 * SECOND));
}

#[test]
fn targets_that_are_named() {
    let mut one = resource(&[("fastTimeout", 1), ("DefaultTimeoutPolicy", 4)]);
    one.breakers.insert("aBreaker".to_owned(), BreakerPolicy::default());
    one.breakers.insert("DefaultCircuitBreakerPolicy".to_owned(), BreakerPolicy::default());
    one.apps.insert("named".to_owned(), named(&["fastTimeout"]));
    one.apps.insert("broken".to_owned(), named(&["aBreaker"]));
    let target = ComponentTarget { outbound: named(&["aBreaker"]), ..ComponentTarget::default() };
    one.components.insert("store".to_owned(), target);
    let mut theirs = resource(&[("fastTimeout", 7)]);
    theirs.scopes = vec!["another".to_owned()];
    let policies = Policies::new(&[one, theirs], "app").expect("good");
    let fast = policies.app("named", "/");
    assert_eq!(fast.timeout, Some(SECOND), "the other resource is for another app");
    assert!(fast.breaker.is_none(), "defaults are for targets without policies of their own");
    assert!(policies.names_app("named") && !policies.names_app("other"));

    let same = |one: &Policy, other: &Policy| match (&one.breaker, &other.breaker) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => panic!("two breakers"),
    };
    let broken = policies.app("broken", "/a");
    assert!(same(&broken, &policies.app("broken", "/a")), "its state is kept");
    assert!(!same(&broken, &policies.app("broken", "/b")), "each endpoint has its own");
    assert!(!same(&broken, &policies.app("other", "/a")), "and each app");
    let store = |direction| policies.component("store", Block::Statestore, direction);
    assert!(same(&store(Direction::Outbound), &store(Direction::Outbound)));
    assert!(store(Direction::Inbound).is_none());
}

#[test]
fn what_is_built_in() {
    let policies = Policies::new(&[], "app").expect("nothing");
    assert!(policies.app("a", "/").is_none());
    let run = |policy: &Policy, status| {
        let made = Cell::new(0);
        let call = || {
            made.set(made.get() + 1);
            ready(Err::<(), ()>(()))
        };
        let _ = finish(policy.run_by(&TestClock::new(), call, |_| Verdict::Retryable { status }));
        made.get()
    };
    let statuses = [None, Some(14), Some(16), Some(13), Some(503)];
    assert_eq!(statuses.map(|status| run(policies.service_retries(), status)), [4, 4, 4, 1, 1]);
    assert_eq!(run(policies.initialization_retries(), None), 4);

    let mut own = Resiliency::default();
    let more = RetryPolicy { retries_max: Some(9), ..RetryPolicy::default() };
    own.retries.insert("DaprBuiltInServiceRetries".to_owned(), more);
    let policies = Policies::new(&[own], "app").expect("good");
    assert_eq!(statuses.map(|status| run(policies.service_retries(), status)), [10, 10, 10, 1, 1]);
}

#[test]
fn breakers_of_strangers_choice_are_bounded() {
    let mut one = Resiliency::default();
    one.breakers.insert("DefaultAppCircuitBreakerPolicy".to_owned(), BreakerPolicy::default());
    let policies = Policies::new(&[one], "app").expect("good");
    let kept = policies.app("mine", "/").breaker.expect("a breaker");
    for n in 0..20_000 {
        policies.app(&format!("app{}", n % 300), &format!("/{n}"));
        if n % 1000 == 0 {
            policies.app("mine", "/");
        }
    }
    assert!(policies.app_breakers() <= 4096);
    assert!(Arc::ptr_eq(&kept, &policies.app("mine", "/").breaker.expect("a breaker")), "what is used stays");
}

#[test]
fn a_trip_that_is_no_expression() {
    let mut one = Resiliency { file: "r.yaml".into(), line: 3, ..Resiliency::default() };
    one.breakers
        .insert("bad".to_owned(), BreakerPolicy { trip: "failures >".to_owned(), ..Default::default() });
    let error = Policies::new(&[one], "app").expect_err("bad").to_string();
    assert!(
        error.starts_with("the circuit breaker `bad` in r.yaml (line 3): this is no expression"),
        "{error}"
    );
}

#[test]
fn by_the_real_clock() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let policy = Policy {
        timeout: Some(Duration::from_millis(2)),
        retry: retry(BackOff::Constant(Duration::from_millis(1)), Some(2)),
        ..Policy::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let calls = std::sync::atomic::AtomicU32::new(0);
    let call = || {
        calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        pending::<Result<u16, u16>>()
    };
    let result = runtime.block_on(is_send(policy.run(call, classify)));
    assert_eq!(result, Err(ResiliencyError::Timeout(Duration::from_millis(2))));
    assert_eq!(calls.into_inner(), 3);
}
