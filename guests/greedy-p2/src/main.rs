//! Tries the interfaces of WASI 0.2 and prints a line for each call: its name, and `ok` with what it gave or
//! the error. A call of a resource that was never given needs a forged handle, which ends a component at
//! once: `greedy-p2 forge` lists these calls, and `greedy-p2 forge CALL` makes one.

mod forged;
mod sockets;

use std::fmt::Debug;
use wasip2::cli::{environment, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::random::{insecure, insecure_seed, random};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["forge"] => forged::CALLS.iter().for_each(|(name, _)| println!("{name}")),
        ["forge", wanted] => {
            let (_, call) = forged::CALLS.iter().find(|(name, _)| *name == wanted).expect("a listed call");
            call();
            println!("{wanted}: ok");
        }
        _ => {
            plain();
            sockets::tcp();
            sockets::udp();
            sockets::look_up();
            http();
        }
    }
}

fn print(call: &str, outcome: Result<impl Debug, impl Debug>) {
    match outcome {
        Ok(value) => println!("{call}: ok {value:?}"),
        Err(error) => println!("{call}: {error:?}"),
    }
}

/// A call that cannot be refused, only answered with nothing.
fn told(call: &str, value: impl Debug) {
    println!("{call}: ok {value:?}");
}

fn plain() {
    told("get-environment", environment::get_environment());
    told("get-arguments", environment::get_arguments().len());
    told("initial-cwd", environment::initial_cwd());
    told("get-terminal-stdin", terminal_stdin::get_terminal_stdin().is_some());
    told("get-terminal-stdout", terminal_stdout::get_terminal_stdout().is_some());
    told("get-terminal-stderr", terminal_stderr::get_terminal_stderr().is_some());
    let folders: Vec<String> = preopens::get_directories().into_iter().map(|(_, path)| path).collect();
    told("get-directories", folders);
    told("monotonic-clock.now", monotonic_clock::now() > 0);
    told("monotonic-clock.resolution", monotonic_clock::resolution() > 0);
    monotonic_clock::subscribe_duration(1).block();
    monotonic_clock::subscribe_instant(1).block();
    told("monotonic-clock.subscribe", "waited");
    told("wall-clock.now", wall_clock::now().seconds > 0);
    told("wall-clock.resolution", wall_clock::resolution().nanoseconds > 0);
    told("get-random-bytes", random::get_random_bytes(8).len());
    told("get-random-u64", random::get_random_u64() != 0);
    told("get-insecure-random-bytes", insecure::get_insecure_random_bytes(8).len());
    told("get-insecure-random-u64", insecure::get_insecure_random_u64() != 0);
    told("insecure-seed", insecure_seed::insecure_seed() != (0, 0));
}

fn http() {
    for authority in ["127.0.0.1:1", "localhost:1", "[::1]:1", "example.com"] {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
        request.set_authority(Some(authority)).expect("an authority");
        request.set_path_with_query(Some("/")).expect("a path");
        // The refusal may come at once or as the response.
        let sent = outgoing_handler::handle(request, None).and_then(|response| {
            response.subscribe().block();
            response.get().expect("a response").expect("not taken yet").map(|response| response.status())
        });
        print(&format!("http.handle {authority}"), sent);
    }
}
