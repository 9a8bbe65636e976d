//! From the command to its end: a container that says hello.

use super::{RUNC, SHIM, World, native_image, wasm_image};
use crate::Result;
use crate::bench::{median, once_ms};

const RUNS: usize = 30;

pub fn run(world: &World) -> Result {
    let (wasm, native) = (wasm_image("hello-c"), native_image("hello-c"));
    let mut all = Vec::new();
    for round in 0..=RUNS {
        let ctr = |runtime: &str, image: &str| {
            let id = format!("start-{round}-{}", if runtime == SHIM { "wasm" } else { "native" });
            once_ms(&mut world.ctr(&["run", "--rm", "--runtime", runtime, image, &id]))
        };
        let times =
            [ctr(SHIM, &wasm)?, ctr(RUNC, &native)?, once_ms(&mut world.sampan(&["run", "--rm", &wasm]))?];
        // The first does not count.
        if round > 0 {
            all.push(times);
        }
    }
    println!("start of a hello to its end, median of {RUNS} in turn, in ms");
    println!("{:<44}{:>10}{:>10}", "", "ms", "of runc");
    let titles = ["ctr run --rm, guest by the shim", "ctr run --rm, static native program by runc"];
    for (at, title) in titles.into_iter().chain(["sampan run --rm, guest"]).enumerate() {
        let ratio = median(all.iter().map(|times| times[at] / times[1]));
        println!("{title:<44}{:>10.1}{ratio:>10.2}", median(all.iter().map(|times| times[at])));
    }
    println!();
    Ok(())
}
