//! `POST /containers/ID/wait`: the head is sent at once, so that a client knows that nothing is missed from then on,
//! and the exit code when there is one.

use super::Api;
use super::answer::{Answered, Failure, streamed};
use super::call::{Call, outside};
use crate::follow::{AT_LEAST_EVERY, NAMES, changes, forget};
use crate::record::{State, Status};
use crate::{Container, Error};
use chrono::Utc;
use futures::future::{Either, select};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    NotRunning,
    NextExit,
    Removed,
}

/// What was seen of a container so far.
struct Seen {
    container: Container,
    until: Until,
    /// When the waiting began.
    before: State,
    begun: chrono::DateTime<Utc>,
    code: Option<i32>,
}

pub async fn wait(call: Call, name: &str) -> Answered {
    let asked = call.read().await?;
    let until = match asked.query.get("condition").unwrap_or("not-running") {
        "not-running" => Until::NotRunning,
        "next-exit" => Until::NextExit,
        "removed" => Until::Removed,
        other => return Err(Failure::bad(format!("invalid condition: {other:?}"))),
    };
    let (api, name) = (Arc::clone(&asked.api), name.to_owned());
    let (seen, folder) = outside(move || {
        let container = api.containers.find(&name)?;
        // Before the first look.
        let folder = changes(container.folder(), NAMES)?;
        let before = container.state()?;
        Ok((Seen { container, until, before, begun: Utc::now(), code: None }, folder))
    })
    .await?;
    // SAFETY: an `OwnedFd` stays open, and the same, for as long as it is owned.
    let folder =
        unsafe { AsyncFd::register(folder) }.map_err(|error| Failure::internal(error.to_string()))?;
    let (out, response) = streamed("application/json");
    let api = asked.api;
    tokio::spawn(async move {
        let Either::Left((code, _)) = select(pin!(ended(api, seen, &folder)), pin!(out.closed())).await
        else {
            return;
        };
        out.line(&match code {
            Ok(code) => json!({ "StatusCode": code }),
            Err(failure) => json!({ "StatusCode": 125, "Error": { "Message": failure.message } }),
        })
        .await;
    });
    Ok(response)
}

async fn ended(api: Arc<Api>, mut seen: Seen, folder: &AsyncFd<OwnedFd>) -> Result<i32, Failure> {
    loop {
        let api = Arc::clone(&api);
        let (back, code) = outside(move || {
            let code = seen.look(&api)?;
            Ok((seen, code))
        })
        .await?;
        if let Some(code) = code {
            return Ok(code);
        }
        seen = back;
        // A supervisor that is killed writes nothing.
        if let Ok(Ok(mut ready)) = tokio::time::timeout(AT_LEAST_EVERY, folder.readable()).await {
            forget(folder.get_ref());
            ready.clear_ready();
        }
    }
}

impl Seen {
    /// The exit code, once it is time to tell it.
    fn look(&mut self, api: &Api) -> Result<Option<i32>, Failure> {
        let state = match self.container.state() {
            Ok(state) => state,
            Err(Error::NotFound(_)) => return Ok(Some(self.code.unwrap_or_else(|| self.told(api)))),
            // In the middle of its removal.
            Err(_) if !self.container.folder().exists() => {
                return Ok(Some(self.code.unwrap_or_else(|| self.told(api))));
            }
            Err(error) => return Err(error.into()),
        };
        if state.status.is_live() || state.status == Status::Created && self.until != Until::NotRunning {
            return Ok(None);
        }
        let is_new = self.before.status != state.status
            || self.before.started_at != state.started_at
            || self.before.finished_at != state.finished_at;
        if is_new {
            self.code = Some(state.exit_code);
        }
        Ok(match self.until {
            Until::NotRunning => Some(state.exit_code),
            Until::NextExit => self.code,
            Until::Removed => None,
        })
    }

    /// The exit code of one that was removed before anybody looked: its end was told.
    fn told(&self, api: &Api) -> i32 {
        let mut code = self.before.exit_code;
        let id = &self.container.id;
        let read = api.containers.events().read(Some(self.begun), Some(Utc::now()), &|| true, &mut |event| {
            if event.action == "die" && event.id == *id {
                let told = event.attributes.get("exitCode").and_then(|text| text.parse().ok());
                code = told.unwrap_or(code);
            }
            true
        });
        // Without the file, what was known before has to do.
        let _ = read;
        code
    }
}
