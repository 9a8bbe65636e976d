//! Tries the interfaces of WASI 0.3 and prints a line for each call, as greedy-p2 does for 0.2: also with
//! `forge` and `forge CALL`. The lines themselves go out by the standard library, which speaks 0.2 here.

mod forged;
mod sockets;

use std::fmt::Debug;
use wasip3::cli::{environment, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::filesystem::preopens;
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Scheme};
use wasip3::random::{insecure, insecure_seed, random};
use wasip3::wit_future;

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match arguments[..] {
            ["forge"] => forged::CALLS.iter().for_each(|name| println!("{name}")),
            ["forge", wanted] => {
                forged::call(wanted).await;
                println!("{wanted}: ok");
            }
            _ => {
                plain().await;
                sockets::tcp().await;
                sockets::udp().await;
                sockets::look_up().await;
                http().await;
            }
        }
        Ok(())
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

async fn plain() {
    told("get-environment", environment::get_environment());
    told("get-arguments", environment::get_arguments().len());
    told("get-initial-cwd", environment::get_initial_cwd());
    told("get-terminal-stdin", terminal_stdin::get_terminal_stdin().is_some());
    told("get-terminal-stdout", terminal_stdout::get_terminal_stdout().is_some());
    told("get-terminal-stderr", terminal_stderr::get_terminal_stderr().is_some());
    let folders: Vec<String> = preopens::get_directories().into_iter().map(|(_, path)| path).collect();
    told("get-directories", folders);
    told("monotonic-clock.now", monotonic_clock::now() > 0);
    told("monotonic-clock.get-resolution", monotonic_clock::get_resolution() > 0);
    monotonic_clock::wait_for(1).await;
    monotonic_clock::wait_until(1).await;
    told("monotonic-clock.wait", "waited");
    told("system-clock.now", system_clock::now().seconds > 0);
    told("system-clock.get-resolution", system_clock::get_resolution() > 0);
    told("get-random-bytes", random::get_random_bytes(8).len());
    told("get-random-u64", random::get_random_u64() != 0);
    told("get-insecure-random-bytes", insecure::get_insecure_random_bytes(8).len());
    told("get-insecure-random-u64", insecure::get_insecure_random_u64() != 0);
    told("get-insecure-seed", insecure_seed::get_insecure_seed() != (0, 0));
}

async fn http() {
    for authority in ["127.0.0.1:1", "localhost:1", "[::1]:1", "example.com"] {
        let (no_trailers, trailers) = wit_future::new(|| Ok(None));
        drop(no_trailers);
        let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
        request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
        request.set_authority(Some(authority)).expect("an authority");
        request.set_path_with_query(Some("/")).expect("a path");
        let sent = client::send(request).await.map(|response| response.get_status_code());
        print(&format!("http.send {authority}"), sent);
    }
}
