//! Holds memory and works half of the time: `steady MIB` takes and touches so many MiB, prints `started`, and then
//! computes and sleeps in turn, for ever.

use std::hint::black_box;
use std::time::{Duration, Instant};

const TURN: Duration = Duration::from_millis(10);

fn main() {
    let mib: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("steady MIB");
    // Touched with something other than zero, so that the pages are really there.
    let held = black_box(vec![1u8; mib << 20]);
    println!("started");
    let mut count = 0u64;
    loop {
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            for _ in 0..1000 {
                count = black_box(count.wrapping_add(1));
            }
        }
        std::thread::sleep(TURN);
        black_box(&held);
    }
}
