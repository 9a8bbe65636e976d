//! Never ends by itself: `endless` computes without any host call, `endless calls` calls the host all the
//! time, `endless sleep` waits in the host, `endless read` waits for input. Each prints `started` first.

use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    println!("started");
    let mut count = 0u64;
    loop {
        match kind.as_str() {
            "" => loop {
                count = black_box(count.wrapping_add(1));
            },
            "calls" => drop(black_box(Instant::now())),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "read" => drop(std::io::stdin().read(&mut [0; 1])),
            _ => panic!("endless [calls|sleep|read]"),
        }
    }
}
