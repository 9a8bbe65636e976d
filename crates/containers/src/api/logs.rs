//! `GET /containers/ID/logs`: what a container wrote, in frames that say on which stream, or as it is where the
//! container has a terminal.

use super::answer::{Answered, Failure, Out, streamed};
use super::call::{Asked, Call, outside};
use crate::logs::{Logged, Wanted};
use crate::wire::frame;
use crate::{Container, Error};
use chrono::SecondsFormat;
use std::sync::Arc;

const RAW: &str = "application/vnd.docker.raw-stream";
const FRAMES: &str = "application/vnd.docker.multiplexed-stream";

/// The type of a stream: before 1.42, all were called raw.
pub fn kind(minor: u32, tty: bool) -> &'static str {
    if minor >= 42 && !tty { FRAMES } else { RAW }
}

pub async fn logs(call: Call, name: &str) -> Answered {
    let asked = call.read().await?;
    let query = &asked.query;
    let wanted = Wanted {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: query.time("since")?,
        until: query.time("until")?,
        tail: tail(&asked)?,
        follow: query.flag("follow"),
    };
    if !wanted.stdout && !wanted.stderr {
        return Err(Failure::bad("Bad parameters: you must choose at least one stream"));
    }
    let timestamps = query.flag("timestamps");
    let (api, name) = (Arc::clone(&asked.api), name.to_owned());
    let (container, tty) = outside(move || {
        let container = api.containers.find(&name)?;
        let tty = container.config()?.tty;
        Ok((container, tty))
    })
    .await?;
    let (out, response) = streamed(kind(asked.minor, tty));
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&container, &wanted, &out, !tty, timestamps) {
            out.fail_blocking(error);
        }
    });
    Ok(response)
}

/// `all`, or less than nothing, is everything.
fn tail(asked: &Asked) -> Result<Option<usize>, Failure> {
    match asked.query.get("tail") {
        None | Some("all") => Ok(None),
        Some(_) => Ok(asked.query.number("tail")?.and_then(|count| usize::try_from(count).ok())),
    }
}

/// Writes the log for as long as somebody reads.
pub fn write(
    container: &Container,
    wanted: &Wanted,
    out: &Out,
    framed: bool,
    timestamps: bool,
) -> Result<(), Error> {
    container.logs(wanted, &|| out.is_open(), &mut |logged| {
        let bytes = piece(&logged, framed, timestamps);
        out.send_blocking(bytes)
    })
}

pub fn piece(logged: &Logged, framed: bool, timestamps: bool) -> Vec<u8> {
    let mut text = logged.text.clone();
    if timestamps {
        text.insert_str(0, &format!("{} ", logged.time.to_rfc3339_opts(SecondsFormat::Nanos, true)));
    }
    if framed { frame(logged.stream as u8, text.as_bytes()) } else { text.into_bytes() }
}
