//! A command of WASI 0.3. Without arguments it greets; `env` prints the environment; `echo` copies input to
//! output as a stream; `sleep MS` waits; `exit N` ends with that code; `fail` returns an error.

use std::time::Duration;
use wasip3::cli::{environment, exit, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::wit_stream;

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match *arguments {
            [] => print("Hello from WASI 0.3!\n".to_owned()).await,
            ["args", ref rest @ ..] => print(rest.join("\n") + "\n").await,
            ["env"] => {
                let lines = environment::get_environment().into_iter();
                print(lines.map(|(name, value)| format!("{name}={value}\n")).collect()).await
            }
            ["echo"] => echo().await,
            ["sleep", ms] => {
                let duration = Duration::from_millis(ms.parse().map_err(drop)?);
                monotonic_clock::wait_for(duration.as_nanos() as u64).await;
                print("woke\n".to_owned()).await
            }
            ["exit", code] => {
                exit::exit_with_code(code.parse().map_err(drop)?);
                Err(())
            }
            _ => Err(()),
        }
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut sender, receiver) = wit_stream::new();
    let write = async {
        let rest = sender.write_all(text.into_bytes()).await;
        drop(sender);
        if rest.is_empty() { Ok(()) } else { Err(()) }
    };
    let (written, sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    written.and(sent.map_err(drop))
}

/// The host reads from its own stream: the bytes never pass through the guest's memory.
async fn echo() -> Result<(), ()> {
    let (input, read) = stdin::read_via_stream();
    let (written, read) = futures::join!(stdout::write_via_stream(input).into_future(), read.into_future());
    written.and(read).map_err(drop)
}
