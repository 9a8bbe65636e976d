//! Reads the clocks and sleeps: `clocks [MS]` prints the wall time in seconds, whether the monotonic clock
//! ever went back, and for how long a sleep of MS really slept, in milliseconds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let sleep_ms = std::env::args().nth(1).map_or(0, |text| text.parse().expect("milliseconds"));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    println!("wall {}", wall.as_secs());

    let mut last = Instant::now();
    let monotonic = (0..1000).all(|_| {
        let now = Instant::now();
        let ordered = now >= last;
        last = now;
        ordered
    });
    println!("monotonic {monotonic}");

    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(sleep_ms));
    println!("slept {}", start.elapsed().as_millis());
}
