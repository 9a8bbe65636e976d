//! `sampan events`.

use super::{folder, time};
use crate::fail::Fail;
use chrono::{DateTime, SecondsFormat, Utc};
use sampan_containers::Event;
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// What happened since: a time, or a duration such as 10m
    #[arg(long, value_parser = time)]
    since: Option<DateTime<Utc>>,

    /// Until when; without it, for ever
    #[arg(long, value_parser = time)]
    until: Option<DateTime<Utc>>,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let mut out = std::io::stdout();
    folder()?.events().read(args.since, args.until, &mut |event| {
        let line = if args.json { serde_json::to_string(&event).unwrap_or_default() } else { line(&event) };
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// As Docker prints it.
fn line(event: &Event) -> String {
    let attributes: Vec<_> = event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let time = event.time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    format!("{time} {} {} {} ({})", event.kind, event.action, event.id, attributes.join(", "))
}
