//! `sampan logs`.

use super::{folder, time};
use crate::fail::Fail;
use chrono::{DateTime, SecondsFormat, Utc};
use sampan_containers::{Stream, Wanted};
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    container: String,

    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,

    /// What was written since: a time, or a duration such as 10m
    #[arg(long, value_parser = time)]
    since: Option<DateTime<Utc>>,

    /// What was written before
    #[arg(long, value_parser = time)]
    until: Option<DateTime<Utc>>,

    /// The last so many lines, or all
    #[arg(short = 'n', long, value_parser = tail, default_value = "all")]
    tail: Tail,

    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
}

#[derive(Clone, Copy)]
struct Tail(Option<usize>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        _ => text.parse().map(|count| Tail(Some(count))).map_err(|_| "write a number, or all".to_owned()),
    }
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let container = folder()?.find(&args.container)?;
    let wanted = Wanted {
        since: args.since,
        until: args.until,
        tail: args.tail.0,
        follow: args.follow,
        ..Wanted::default()
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    container.logs(&wanted, &mut |logged| {
        let mut text = logged.text;
        if args.timestamps {
            text.insert_str(0, &format!("{} ", logged.time.to_rfc3339_opts(SecondsFormat::Nanos, true)));
        }
        let written = match logged.stream {
            Stream::Stdout => out.write_all(text.as_bytes()).and_then(|()| out.flush()),
            Stream::Stderr => err.write_all(text.as_bytes()),
        };
        // A reader that went away (`| head`) has what it wanted.
        written.is_ok()
    })?;
    Ok(ExitCode::SUCCESS)
}
