//! One suite on every lock store, and what is special about Redis.

use crate::with::{eventually, properties, redis, redis_host, run, soon};
use sampan_capabilities::lock::component::{LockDescription, describe, open};
use sampan_capabilities::lock::{Lock, LockError, NAME_BYTES_MAX, Unlock};
use sampan_testing::servers;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

async fn opened(kind: &str, values: &[(&str, &str)]) -> Lock {
    let description = describe(kind, &properties(values)).expect("metadata").expect("a lock store");
    open("test", &description).await.expect("a lock store")
}

/// Runs a test on every store.
fn each(test: impl AsyncFn(&str, Lock)) {
    run(async {
        test("memory", opened("lock.in-memory", &[]).await).await;
        let Some(server) = servers::Redis::start() else { return };
        test("redis", opened("lock.redis", &[("redisHost", &redis_host(&server))]).await).await;
    });
}

#[test]
fn a_resource_has_one_owner_at_a_time() {
    each(async |store, lock| {
        assert_eq!(soon(lock.try_lock("r", "ann", LONG)).await, Ok(true), "{store}");
        assert_eq!(lock.try_lock("r", "bob", LONG).await, Ok(false), "{store}: it is Ann's");
        assert_eq!(lock.try_lock("r", "ann", LONG).await, Ok(false), "{store}: nor twice");
        assert_eq!(lock.try_lock("other", "bob", LONG).await, Ok(true), "{store}: another resource");
        assert_eq!(soon(lock.unlock("r", "bob")).await, Ok(Unlock::OthersLock), "{store}");
        assert_eq!(lock.try_lock("r", "bob", LONG).await, Ok(false), "{store}: it still is Ann's");
        assert_eq!(lock.unlock("r", "ann").await, Ok(Unlock::Done), "{store}");
        assert_eq!(lock.unlock("r", "ann").await, Ok(Unlock::NoSuchLock), "{store}");
        assert_eq!(lock.try_lock("r", "bob", LONG).await, Ok(true), "{store}: free again");
    });
}

#[test]
fn a_lock_expires() {
    each(async |store, lock| {
        let (expiry, began) = (Duration::from_millis(300), Instant::now());
        assert_eq!(lock.try_lock("r", "ann", expiry).await, Ok(true), "{store}");
        eventually(async || lock.try_lock("r", "bob", LONG).await.expect("an answer").then_some(())).await;
        // Redis may count from a little before the answer came.
        assert!(began.elapsed() >= expiry - Duration::from_millis(10), "{store}");
        assert_eq!(lock.unlock("r", "ann").await, Ok(Unlock::OthersLock), "{store}: Ann was too slow");
        assert_eq!(lock.try_lock("gone", "ann", Duration::from_nanos(1)).await, Ok(true), "{store}");
        let gone = async || (lock.unlock("gone", "ann").await == Ok(Unlock::NoSuchLock)).then_some(());
        eventually(gone).await;
    });
}

#[test]
fn of_many_that_want_it_at_once_one_gets_it() {
    each(async |store, lock| {
        let owners: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let tries = owners.iter().map(|owner| lock.try_lock("r", owner, LONG));
        let got = futures::future::join_all(tries).await;
        assert_eq!(got.into_iter().filter(|got| *got == Ok(true)).count(), 1, "{store}");
    });
}

#[test]
fn names_and_times_that_make_no_sense_are_errors() {
    each(async |store, lock| {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (resource, owner) in [(long.as_str(), "ann"), ("r", long.as_str())] {
            let error = lock.try_lock(resource, owner, LONG).await.expect_err(store);
            assert!(matches!(error, LockError::TooLarge { .. }), "{store}: {error}");
            assert!(lock.unlock(resource, owner).await.is_err(), "{store}");
        }
        for expiry in [Duration::ZERO, Duration::MAX] {
            assert_eq!(lock.try_lock("r", "ann", expiry).await, Err(LockError::Expiry), "{store}");
        }
        for name in ["", "lock||app||r", "ünïcode/ slash", "\0"] {
            assert_eq!(lock.try_lock(name, "ann", LONG).await, Ok(true), "{store}: {name:?}");
            assert_eq!(lock.unlock(name, "ann").await, Ok(Unlock::Done), "{store}: {name:?}");
        }
    });
}

#[test]
fn redis_shows_daprs_layout_and_reads_it() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let lock = opened("lock.redis", &[("redisHost", &redis_host(&server))]).await;
        let mut other = redis(&server).await;
        assert_eq!(lock.try_lock("lock||app||r", "ann", LONG).await, Ok(true));
        let owner: String =
            redis::cmd("GET").arg("lock||app||r").query_async(&mut other).await.expect("a string");
        let ttl_ms: u64 =
            redis::cmd("PTTL").arg("lock||app||r").query_async(&mut other).await.expect("a time");
        assert_eq!(owner, "ann");
        assert!((1..=60_000).contains(&ttl_ms), "{ttl_ms}");
        let mut set = redis::cmd("SET");
        set.arg("theirs").arg("bob").arg("NX").arg("EX").arg(60);
        set.query_async::<()>(&mut other).await.expect("a lock of Dapr's");
        assert_eq!(lock.try_lock("theirs", "ann", LONG).await, Ok(false));
        assert_eq!(lock.unlock("theirs", "bob").await, Ok(Unlock::Done));
    });
}

#[test]
fn a_redis_that_is_away_is_an_error_until_it_is_back() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let lock = opened("lock.redis", &[("redisHost", &redis_host(&server))]).await;
        server.kill();
        let error = eventually(async || lock.try_lock("r", "ann", LONG).await.err()).await;
        assert!(matches!(error, LockError::Unavailable(_)), "{error:?}");
        let port = server.port.to_string();
        let description =
            describe("lock.redis", &properties(&[("redisHost", "127.0.0.1"), ("redisPort", &port)]));
        let description = description.expect("metadata").expect("a lock store");
        let error = open("mine", &description).await.err().expect("nobody listens");
        assert!(error.what.contains("the lock store `mine` cannot be opened"), "{}", error.what);
        assert!(error.what.contains(&port), "{}", error.what);
        server.restart();
        eventually(async || lock.try_lock("r", "ann", LONG).await.ok()).await;
    });
}

#[test]
fn a_redis_with_replicas_is_refused() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let port = server.port.to_string();
        let Some(_replica) = servers::Redis::start_with(&["--replicaof", "127.0.0.1", &port]) else { return };
        let host = redis_host(&server);
        let description = describe("lock.redis", &properties(&[("redisHost", &host)]));
        let description = description.expect("metadata").expect("a lock store");
        let error = eventually(async || open("mine", &description).await.err()).await;
        assert!(error.what.contains("1 replicas"), "{}", error.what);
    });
}

#[test]
fn metadata_are_read_and_their_faults_said() {
    assert_eq!(describe("state.redis", &properties(&[])), Ok(None));
    assert_eq!(describe("lock.in-memory", &properties(&[])), Ok(Some(LockDescription::Memory)));
    let error = describe("lock.redis", &properties(&[])).expect_err("no host");
    assert_eq!(
        (error.name.as_str(), error.to_string()),
        ("redisHost", "the metadata lacks `redisHost`".to_owned())
    );
    let error = describe("lock.redis", &properties(&[("redisHost", "h"), ("failover", "true")]));
    assert_eq!(error.expect_err("no failover").name, "failover");
    let secret = describe("lock.redis", &properties(&[("redisHost", "h"), ("redisPassword", "hunter2")]));
    assert!(!format!("{secret:?}").contains("hunter2"));
}
