//! `cargo xtask`: the project's own tools. `guests` builds the test programs, `test` runs the tests, `fuzz` runs the fuzz
//! targets, `tidy` checks the tree, `bench` compares with a peer.

mod bench;
mod fuzz;
mod guests;
mod paths;
mod test;
mod tidy;

use std::process::ExitCode;

/// Messages for a person, so one text is enough.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
cargo xtask test                       run all tests, and the few that failed once more, alone
cargo xtask guests [NAME...]           build the programs in guests/ (all, or those named)
cargo xtask fuzz SECONDS [TARGET...]   feed each decoder in fuzz/ with random input for so long
cargo xtask tidy                       check what clippy and rustfmt cannot
cargo xtask bench [SAMPAN]             compare with a peer; SAMPAN is the binary, by default this build's
cargo xtask bench-gateway [SAMPAN]     compare with nginx: a proxy of one server
cargo xtask bench-filters [SAMPAN]     compare with Envoy: a proxy with and without a proxy-wasm filter
cargo xtask bench-neighbour [SAMPAN]   latency beside a component that never returns, and without it
cargo xtask bench-dapr [SAMPAN]        a state get in a guest by Dapr's API, beside a client of the store
cargo xtask bench-containers [SAMPAN]  compare with runc in containerd: start, memory, what is left; sizes of images";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((verb, names)) if verb == "guests" => guests::build(names),
        Some((verb, [seconds, targets @ ..])) if verb == "fuzz" => fuzz::run(seconds, targets),
        Some((verb, [])) if verb == "test" => test::run(),
        Some((verb, [])) if verb == "tidy" => tidy::check(),
        Some((verb, [])) => bench::run(verb, None).unwrap_or_else(|| Err(USAGE.into())),
        Some((verb, [sampan])) => bench::run(verb, Some(sampan)).unwrap_or_else(|| Err(USAGE.into())),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
