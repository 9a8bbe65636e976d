//! A consumer that is slower than its producer: what waits is the broker's, and Sampan's memory stays bounded.

use crate::{App, Sampan};
use sampan_testing::servers::Redis;
use sampan_testing::{PATIENCE, Response};
use std::sync::{Arc, Condvar, Mutex};

const MESSAGES: usize = 300;
const BYTES: usize = 512 << 10;
/// Of 150 MB that wait, a few dozen may be in memory.
const MORE_KIB_MAX: u64 = 96 << 10;

const SUBSCRIPTION: &str = r#"[{"pubsubname":"pubsub","topic":"orders","route":"/orders"}]"#;

/// What the process had in memory at the most.
fn peak_kib(sampan: &Sampan) -> u64 {
    let pid = sampan.process.as_ref().expect("a process").child.id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn waits(declared: &str) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let passing = Arc::clone(&gate);
    let app = App::start(SUBSCRIPTION, move |_| {
        let (open, changed) = &*passing;
        let waited = changed.wait_timeout_while(open.lock().unwrap(), PATIENCE, |open| !*open).unwrap();
        Response::new(if *waited.0 { 200 } else { 500 }, "")
    });
    let mut sampan = Sampan::new(&[], app.server.address.port());
    sampan.declare(declared);
    sampan.up();
    sampan.wait_for_subscriptions(1);
    let before = peak_kib(&sampan);
    let body = vec![b'x'; BYTES];
    for _ in 0..MESSAGES {
        assert_eq!(sampan.publish("orders", "text/plain", &body).status, 204);
    }
    let more = peak_kib(&sampan) - before;
    assert!(more < MORE_KIB_MAX, "{more} KiB more for {MESSAGES} messages that nobody takes");
    // They are all there.
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for _ in 0..MESSAGES {
        assert!(app.next().body.len() > BYTES);
    }
    let more = peak_kib(&sampan) - before;
    assert!(more < MORE_KIB_MAX, "{more} KiB more for {MESSAGES} messages that were taken late");
}

#[test]
fn what_waits_in_a_file_is_not_in_memory() {
    waits("\n[messaging.pubsub]\ntype = \"sqlite\"\n");
}

#[test]
fn what_waits_in_redis_is_not_in_memory() {
    let Some(redis) = Redis::start() else { return };
    waits(&format!("\n[messaging.pubsub]\nurl = \"{}\"\n", redis.url()));
}
