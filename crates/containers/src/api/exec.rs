//! `exec`: programs beside a container's first. What was asked for and how it ended is known here alone, as Docker
//! knows it in its engine alone.

use super::Api;
use super::answer::{Answered, Failure, json, json_with, status};
use super::attach::{self, Left, Takeover};
use super::call::{Asked, Call, json as parse, outside, read};
use super::lifecycle::{conflict, size};
use super::logs;
use crate::record::Status;
use crate::wire::Streams;
use crate::{Attached, Container, Second};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Are known; the oldest that has ended is forgotten for a new one.
const EXECS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Execs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashMap<String, Exec>,
    /// Counts them, in order.
    made: u64,
}

#[derive(Clone, Debug)]
struct Exec {
    container: Container,
    second: Second,
    number: u64,
    begun: bool,
    pid: u32,
    ended: bool,
    exit_code: Option<i32>,
}

impl Execs {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: String, container: Container, second: Second) -> Result<(), Failure> {
        let mut known = self.known();
        if known.all.len() >= EXECS_MAX {
            let oldest = known.all.iter().filter(|(_, exec)| exec.ended || !exec.begun);
            let oldest = oldest.min_by_key(|(_, exec)| exec.number).map(|(id, _)| id.clone());
            let oldest =
                oldest.ok_or_else(|| Failure::conflict(format!("{EXECS_MAX} programs run already")))?;
            known.all.remove(&oldest);
        }
        known.made += 1;
        let number = known.made;
        let exec = Exec { container, second, number, begun: false, pid: 0, ended: false, exit_code: None };
        known.all.insert(id, exec);
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Exec, Failure> {
        let known = self.known();
        known.all.get(id).cloned().ok_or_else(|| Failure::not_found(format!("No such exec instance: {id}")))
    }

    /// Marks one as begun, once.
    fn begin(&self, id: &str) -> Result<Exec, Failure> {
        let mut known = self.known();
        let exec = known.all.get_mut(id);
        let exec = exec.ok_or_else(|| Failure::not_found(format!("No such exec instance: {id}")))?;
        if exec.begun {
            return Err(Failure::conflict(format!("Error: Exec command {id} has already run")));
        }
        exec.begun = true;
        Ok(exec.clone())
    }

    fn change(&self, id: &str, what: impl FnOnce(&mut Exec)) {
        if let Some(exec) = self.known().all.get_mut(id) {
            what(exec);
        }
    }

    fn end(&self, id: &str, code: Option<i32>) {
        self.change(id, |exec| (exec.ended, exec.exit_code) = (true, Some(code.unwrap_or(137))));
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    env: Vec<String>,
    cmd: Vec<String>,
    working_dir: String,
    privileged: bool,
}

pub fn create(asked: &Asked, container: &Container) -> Answered {
    let wanted: Wanted = asked.json()?;
    if wanted.privileged {
        return Err(Failure::bad("Privileged cannot be had: a guest has no privileges to be given"));
    }
    if wanted.cmd.is_empty() {
        return Err(Failure::bad("No exec command specified"));
    }
    ready(container)?;
    let streams =
        Streams { stdin: wanted.attach_stdin, stdout: wanted.attach_stdout, stderr: wanted.attach_stderr };
    let Wanted { env, cmd: args, working_dir: workdir, tty, .. } = wanted;
    let second = Second { args, env, workdir, tty, streams };
    let id = crate::create::random_id()?;
    asked.api.execs.add(id.clone(), container.clone(), second)?;
    json_with(StatusCode::CREATED, &json!({ "Id": id }))
}

/// Whether a program can be started beside the first.
fn ready(container: &Container) -> Result<(), Failure> {
    let is = match container.state()?.status {
        Status::Running => return Ok(()),
        Status::Paused => "is paused, unpause the container before exec",
        _ => "is not running",
    };
    Err(Failure::conflict(format!("container {} {is}", container.id)))
}

pub async fn route(call: Call, rest: &[&str]) -> Answered {
    match *rest {
        [id, "start"] if call.is(&Method::POST) => start(call, id).await,
        [id, "json"] if call.is_get() => {
            let id = id.to_owned();
            call.blocking(move |asked| inspect(asked, &id)).await
        }
        [id, "resize"] if call.is(&Method::POST) => {
            let id = id.to_owned();
            call.blocking(move |asked| resize(asked, &id)).await
        }
        _ => Err(Failure::no_page()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Start {
    detach: bool,
}

async fn start(mut call: Call, id: &str) -> Answered {
    let takeover = Takeover::of(&mut call.request);
    let start: Start = parse(&read(call.request.into_body()).await?)?;
    let exec = call.api.execs.begin(id)?;
    let (api, id) = (call.api, id.to_owned());
    let mut second = exec.second;
    if start.detach {
        second.streams = Streams::default();
    }
    let tty = second.tty;
    let container = exec.container.clone();
    let checked = outside(move || ready(&container)).await;
    checked.inspect_err(|_| api.execs.end(&id, Some(126)))?;
    if start.detach {
        let attached = begin(&api, &id, exec.container, second).await?;
        tokio::spawn(async move { speak(&api, &id, attached, None, tty).await });
        return status(StatusCode::OK);
    }
    let (response, client) = takeover.take(None, logs::kind(call.minor, tty));
    tokio::spawn(async move {
        // Some clients lose output that comes together with the answer's head: it begins after that.
        let client = client.await;
        match begin(&api, &id, exec.container, second).await {
            Ok(attached) => speak(&api, &id, attached, client, tty).await,
            Err(failure) => {
                if let Some(client) = client {
                    client.complain(&failure.message, tty).await;
                }
            }
        }
    });
    Ok(response)
}

/// Starts the program.
async fn begin(api: &Arc<Api>, id: &str, container: Container, second: Second) -> Result<Attached, Failure> {
    let (api, id) = (Arc::clone(api), id.to_owned());
    outside(move || {
        let attached = container.exec(&supervisors(&id), &second).map_err(conflict);
        match &attached {
            Ok(attached) => api.execs.change(&id, |exec| exec.pid = attached.pid),
            Err(_) => api.execs.end(&id, Some(126)),
        }
        attached
    })
    .await
}

/// The exit code is known before the client sees the end: it asks for it then.
async fn speak(api: &Api, id: &str, attached: Attached, client: Option<attach::Client>, tty: bool) {
    let told = |code| api.execs.end(id, code);
    match client {
        // That the client left is no failure.
        Some(client) => drop(attach::converse(attached, client, tty, Left::Follow, told).await),
        None => told(attach::ignore(attached).await.ok().flatten()),
    }
}

/// A supervisor's names for them are shorter.
fn supervisors(id: &str) -> String {
    id.chars().take(32).collect()
}

fn inspect(asked: &Asked, id: &str) -> Answered {
    let exec = asked.api.execs.get(id)?;
    let Second { args, tty, streams, .. } = &exec.second;
    json(&json!({
        "ID": id,
        "Running": exec.begun && !exec.ended,
        "ExitCode": exec.exit_code,
        "ProcessConfig": {
            "tty": tty, "entrypoint": args.first(), "arguments": args.get(1..).unwrap_or_default(),
            "privileged": false,
        },
        "OpenStdin": streams.stdin,
        "OpenStdout": streams.stdout,
        "OpenStderr": streams.stderr,
        "CanRemove": exec.ended,
        "ContainerID": exec.container.id,
        "DetachKeys": "",
        "Pid": exec.pid,
    }))
}

fn resize(asked: &Asked, id: &str) -> Answered {
    let (rows, columns) = size(asked)?;
    let exec = asked.api.execs.get(id)?;
    exec.container.resize(Some(&supervisors(id)), rows, columns).map_err(conflict)?;
    status(StatusCode::OK)
}
