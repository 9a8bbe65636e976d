//! `cargo xtask`: the project's own tools. `guests` builds the test programs; `tidy` checks the tree.

mod guests;
mod paths;

use std::process::ExitCode;

/// Messages for a person, so one text is enough.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
cargo xtask guests [NAME...]   build the programs in guests/ (all, or those named)
cargo xtask tidy               check what clippy and rustfmt cannot";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((verb, names)) if verb == "guests" => guests::build(names),
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
