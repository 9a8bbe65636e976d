//! Named volumes.

use super::answer::{Answered, Failure, json, json_with, no_content};
use super::call::{Asked, Call};
use super::inspect::time;
use crate::record::Source;
use crate::{ANONYMOUS, Containers, Error, Volume, copy};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Docker's name for a volume that nobody named.
const DOCKERS_ANONYMOUS: &str = "com.docker.volume.anonymous";

pub async fn route(call: Call, rest: &[&str]) -> Answered {
    let get = call.is_get();
    let post = call.is(&Method::POST);
    match *rest {
        [] if get => call.blocking(list).await,
        ["create"] if post => call.blocking(create).await,
        ["prune"] if post => call.blocking(prune).await,
        [name] if get => {
            let name = name.to_owned();
            call.blocking(move |asked| json(&described(&found(&asked.api.containers, &name)?))).await
        }
        [name] if call.is(&Method::DELETE) => {
            let name = name.to_owned();
            call.blocking(move |asked| remove(asked, &name)).await
        }
        _ => Err(Failure::no_page()),
    }
}

fn found(containers: &Containers, name: &str) -> Result<Volume, Failure> {
    containers.volume(name).map_err(|error| match error {
        Error::Invalid(_) | Error::Name(_) => Failure::not_found(format!("get {name}: no such volume")),
        other => other.into(),
    })
}

fn described(volume: &Volume) -> Value {
    json!({
        "Name": volume.name, "Driver": "local", "Mountpoint": volume.path, "CreatedAt": time(Some(volume.created_at)),
        "Labels": volume.labels, "Scope": "local", "Options": null,
    })
}

/// Volumes with what they take and how many containers have them, for `system df`.
pub fn with_usage(containers: &Containers) -> Result<Vec<Value>, Failure> {
    let used = used(containers)?;
    let volumes = containers.list_volumes();
    let one = |volume: &Volume| {
        let mut all = described(volume);
        let count = used.iter().filter(|name| **name == volume.name).count();
        all["UsageData"] = json!({ "Size": copy::size_bytes(&volume.path), "RefCount": count });
        all
    };
    Ok(volumes.iter().map(one).collect())
}

/// The volumes of all containers.
fn used(containers: &Containers) -> Result<Vec<String>, Failure> {
    let mut used = Vec::new();
    for container in containers.list()? {
        // It may have been removed meanwhile.
        let Ok(config) = container.config() else { continue };
        used.extend(config.mounts.into_iter().filter_map(|mount| match mount.source {
            Source::Volume(name) => Some(name),
            _ => None,
        }));
    }
    Ok(used)
}

fn list(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&["name", "label", "driver", "dangling"])?;
    let used = used(&asked.api.containers)?;
    let fits = |volume: &Volume| {
        filters.any("name", |part| volume.name.contains(part))
            && filters.labels(&volume.labels)
            && filters.any("driver", |driver| driver == "local")
            && filters.flag("dangling").is_none_or(|wanted| wanted != used.contains(&volume.name))
    };
    let volumes: Vec<_> = asked.api.containers.list_volumes().into_iter().filter(fits).collect();
    json(&json!({ "Volumes": volumes.iter().map(described).collect::<Vec<_>>(), "Warnings": null }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    name: String,
    driver: String,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

fn create(asked: &Asked) -> Answered {
    let Wanted { mut name, driver, driver_opts, mut labels } = asked.json()?;
    if !matches!(driver.as_str(), "" | "local") {
        return Err(Failure::not_found(format!(
            "plugin {driver:?} not found: only the driver local is here"
        )));
    }
    // Ignored, they would be a folder of this machine where somebody meant another one's.
    if !driver_opts.is_empty() {
        let what = "options of the driver local cannot be had: mount it yourself and bind the folder";
        return Err(Failure::bad(what));
    }
    if name.is_empty() {
        name = crate::create::random_id()?;
        labels.insert(DOCKERS_ANONYMOUS.to_owned(), String::new());
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    json_with(StatusCode::CREATED, &described(&asked.api.containers.create_volume(&name, labels)?))
}

fn remove(asked: &Asked, name: &str) -> Answered {
    let force = asked.query.flag("force");
    match found(&asked.api.containers, name) {
        Err(failure) if force && failure.status == StatusCode::NOT_FOUND => return no_content(),
        other => drop(other?),
    }
    asked.api.containers.remove_volume(name).map_err(|error| match error {
        Error::Invalid(what) => Failure::conflict(what),
        other => other.into(),
    })?;
    no_content()
}

fn prune(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&["label", "label!", "all"])?;
    // Before 1.42, those with names too.
    let all = filters.flag("all").unwrap_or(asked.minor < 42);
    let (mut deleted, mut bytes) = (Vec::new(), 0);
    for volume in asked.api.containers.list_volumes() {
        let size = copy::size_bytes(&volume.path);
        let is_wanted = (all || volume.labels.contains_key(ANONYMOUS)) && filters.labels(&volume.labels);
        if is_wanted && asked.api.containers.remove_volume(&volume.name).is_ok() {
            deleted.push(volume.name);
            bytes += size;
        }
    }
    json(&json!({ "VolumesDeleted": deleted, "SpaceReclaimed": bytes }))
}
