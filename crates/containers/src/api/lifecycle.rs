//! What is done with one container, and answered when it is done.

use super::answer::{Answered, Failure, json, no_content, status};
use super::call::Asked;
use super::host::RestartPolicy;
use crate::record::Status;
use crate::{Container, Error, copy, signal_number};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// Nothing had to be done.
fn not_modified() -> Answered {
    status(StatusCode::NOT_MODIFIED)
}

/// What does not fit the state is said in words only.
pub fn conflict(error: Error) -> Failure {
    match error {
        Error::Invalid(what) => Failure::conflict(what),
        other => other.into(),
    }
}

pub fn start(_asked: &Asked, container: &Container) -> Answered {
    match container.state()?.status {
        Status::Running | Status::Restarting => return not_modified(),
        Status::Paused => {
            return Err(Failure::conflict("cannot start a paused container, try unpause instead"));
        }
        Status::Created | Status::Exited | Status::Removing => {}
    }
    container.start()?;
    no_content()
}

/// The signal and the time of `stop` and `restart`; a time below zero is without a bound.
fn how_to_stop(asked: &Asked) -> Result<(Option<i32>, Option<u64>), Failure> {
    let signal = asked.query.get("signal").map(signal).transpose()?;
    let seconds = asked.query.number("t")?;
    let timeout_ms = seconds.map(|seconds| match u64::try_from(seconds) {
        Ok(seconds) => seconds.saturating_mul(1000),
        // No guest runs for a century.
        Err(_) => 100 * 365 * 86_400 * 1000,
    });
    Ok((signal, timeout_ms))
}

fn signal(text: &str) -> Result<i32, Failure> {
    signal_number(text).ok_or_else(|| Failure::bad(format!("invalid signal: {text}")))
}

pub fn stop(asked: &Asked, container: &Container) -> Answered {
    let (signal, timeout_ms) = how_to_stop(asked)?;
    if !container.state()?.status.is_live() {
        return not_modified();
    }
    stopped(container.stop(signal, timeout_ms))?;
    no_content()
}

/// One that is removed at its end is gone now.
fn stopped(result: Result<(), Error>) -> Result<(), Failure> {
    match result {
        Err(Error::NotFound(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub fn restart(asked: &Asked, container: &Container) -> Answered {
    let (signal, timeout_ms) = how_to_stop(asked)?;
    container.stop(signal, timeout_ms)?;
    container.start()?;
    let config = container.config()?;
    asked.api.containers.tell(container, &config, "restart", &[]);
    no_content()
}

pub fn kill(asked: &Asked, container: &Container) -> Answered {
    let number = signal(asked.query.get("signal").unwrap_or("KILL"))?;
    if !container.state()?.status.is_live() {
        let what =
            format!("cannot kill container: {}: container {} is not running", container.name(), container.id);
        return Err(Failure::conflict(what));
    }
    container.signal(number).map_err(conflict)?;
    // Who asks next is to see it.
    if number == 9 {
        container.wait()?;
    }
    no_content()
}

pub fn pause(_asked: &Asked, container: &Container) -> Answered {
    container.pause().map_err(conflict)?;
    no_content()
}

pub fn unpause(_asked: &Asked, container: &Container) -> Answered {
    container.resume().map_err(conflict)?;
    no_content()
}

pub fn rename(asked: &Asked, container: &Container) -> Answered {
    let name = asked.query.get("name").ok_or_else(|| Failure::bad("no new name was given"))?;
    asked.api.containers.rename(container, name.trim_start_matches('/'))?;
    no_content()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    restart_policy: Option<RestartPolicy>,
}

pub fn update(asked: &Asked, container: &Container) -> Answered {
    let raw: Value = asked.json()?;
    let update: Update = asked.json()?;
    // To say yes and do nothing would leave somebody without a limit.
    for name in ["Memory", "NanoCpus", "CpuQuota", "CpuPeriod"] {
        if raw[name].as_i64().is_some_and(|value| value > 0) {
            let what = format!("{name} of a container cannot be changed; make another one with it");
            return Err(super::not_here(&what));
        }
    }
    if let Some(policy) = update.restart_policy.map(|policy| policy.as_restart()).transpose()? {
        container.set_restart(policy)?;
    }
    asked.api.containers.tell(container, &container.config()?, "update", &[]);
    json(&json!({ "Warnings": null }))
}

/// Rows and columns of a terminal.
pub fn size(asked: &Asked) -> Result<(u16, u16), Failure> {
    let number = |name: &str| {
        let number = asked.query.number(name)?.and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| Failure::bad(format!("'{name}' is no size of a terminal")))
    };
    Ok((number("h")?, number("w")?))
}

pub fn resize(asked: &Asked, container: &Container) -> Answered {
    let (rows, columns) = size(asked)?;
    container.resize(None, rows, columns).map_err(conflict)?;
    status(StatusCode::OK)
}

pub fn remove(asked: &Asked, container: &Container) -> Answered {
    let (force, volumes) = (asked.query.flag("force"), asked.query.flag("v"));
    if asked.query.flag("link") {
        return Err(Failure::bad("there are no links between containers"));
    }
    if force {
        asked.api.containers.remove_by_force(container, volumes)?;
        return no_content();
    }
    let state = container.state()?;
    if state.status.is_live() {
        let what = format!(
            "cannot remove container \"{}\": container is {}: stop the container before removing or force remove",
            container.name(),
            state.status.name()
        );
        return Err(Failure::conflict(what));
    }
    asked.api.containers.remove(container, volumes)?;
    no_content()
}

pub fn prune(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&["label", "label!", "until"])?;
    let until = match filters.values("until").first() {
        Some(text) => Some(before(text).ok_or_else(|| Failure::bad("invalid filter 'until'"))?),
        None => None,
    };
    let (mut deleted, mut bytes) = (Vec::new(), 0);
    for container in asked.api.containers.list()? {
        let Ok((config, state)) = super::inspect::of(&container) else { continue };
        let is_old = until.is_none_or(|until| state.created_at.is_some_and(|created| created < until));
        let has_ended = matches!(state.status, Status::Created | Status::Exited);
        if !has_ended || !is_old || !filters.labels(&config.labels) {
            continue;
        }
        let size = copy::size_bytes(container.folder());
        // Somebody may have started it meanwhile.
        if asked.api.containers.remove(&container, false).is_ok() {
            deleted.push(container.id);
            bytes += size;
        }
    }
    json(&json!({ "ContainersDeleted": deleted, "SpaceReclaimed": bytes }))
}

/// A time, or a duration back from now.
pub fn before(text: &str) -> Option<chrono::DateTime<chrono::Utc>> {
    let query = super::call::Query::parse(&format!("t={text}"));
    match query.time("t") {
        Ok(time) => time,
        Err(_) => {
            let back = sampan_app::parse_duration(text).ok()?;
            chrono::Utc::now().checked_sub_signed(chrono::TimeDelta::from_std(back).ok()?)
        }
    }
}

pub fn top(_asked: &Asked, container: &Container) -> Answered {
    let row = |process: crate::Process| {
        let (pid, parent) = (process.pid.to_string(), process.parent.to_string());
        vec![
            "-".to_owned(),
            pid,
            parent,
            "0".into(),
            "-".into(),
            "?".into(),
            process.cpu_time,
            process.command,
        ]
    };
    let rows: Vec<_> = container.processes()?.into_iter().map(row).collect();
    json(&json!({
        "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        "Processes": rows,
    }))
}
