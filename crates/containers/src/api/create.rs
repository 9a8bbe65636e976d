//! `POST /containers/create`: a container of what Docker's words say.

use super::answer::{Answered, Failure, json_with};
use super::call::Asked;
use super::host::{HostConfig, judge};
use super::networks;
use crate::record::{self, Config, Mount, Source};
use crate::{Container, Containers, Files, cgroup};
use http::StatusCode;
use sampan_images::{Image, Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// In a container's folder: what Docker's client asked for, to be told again.
const RECORD: &str = "docker.json";

/// Docker's, with the fields that are used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    hostname: String,
    user: String,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Vec<String>,
    cmd: Words,
    entrypoint: Words,
    image: String,
    volumes: BTreeMap<String, Value>,
    working_dir: String,
    labels: BTreeMap<String, String>,
    exposed_ports: BTreeMap<String, Value>,
    stop_signal: String,
    stop_timeout: Option<u64>,
    host_config: HostConfig,
    networking_config: networks::NetworkingConfig,
}

/// A list, or one word.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Words::Many(Vec::new())
    }
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Words::One(word) => vec![word],
            Words::Many(words) => words,
        }
    }
}

/// What Docker's client asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub config: Value,
    pub host_config: Value,
}

impl Record {
    /// Of a container that was made in another way, nothing.
    pub fn of(container: &Container) -> Record {
        record::read(&container.path(RECORD)).unwrap_or_default()
    }

    pub fn network_mode(&self) -> &str {
        let mode = self.host_config["NetworkMode"].as_str().unwrap_or_default();
        if mode.is_empty() { "default" } else { mode }
    }
}

pub fn create(asked: &Asked) -> Answered {
    let mut raw: Value = asked.json()?;
    let wanted: Wanted = asked.json()?;
    let mut warnings = Vec::new();
    judge(&raw["HostConfig"], &mut warnings)?;
    if raw["Healthcheck"]["Test"].as_array().is_some_and(|test| test.iter().any(|word| word != "NONE")) {
        warnings.push("Healthcheck is ignored: health checks are not run".to_owned());
    }
    let api = &asked.api;
    let networks = networks::Networks::of(&api.containers);
    let endpoints = networks.endpoints(&wanted.host_config.network_mode, &wanted.networking_config);
    // What is not found at this place is an image, for clients: they would pull it.
    let endpoints = endpoints.map_err(|failure| Failure::bad(failure.message))?;
    let image = image(asked, &wanted.image)?;
    let name = asked.query.get("name").unwrap_or_default();
    let config = config(wanted, name.trim_start_matches('/'), &image, &api.containers)?;
    if config.memory_bytes.is_some() || config.cpu_millis.is_some() {
        let unavailable = cgroup::unavailable();
        warnings.extend(unavailable.map(|why| {
            format!("the kernel cannot keep the limits ({why}); the engine keeps that of memory")
        }));
    }
    let (rootfs, held) = api.images.held(&image)?;
    let container = api.containers.create(config, Files::Image(&rootfs))?;
    drop(held);
    let host_config = raw["HostConfig"].take();
    if let Some(all) = raw.as_object_mut() {
        all.retain(|key, _| key != "HostConfig" && key != "NetworkingConfig");
    }
    let kept = record::write(&container.path(RECORD), &Record { config: raw, host_config });
    let kept = kept.map_err(Failure::from).and_then(|()| networks.join(&container, endpoints));
    if let Err(failure) = kept {
        // Nobody knows of it yet.
        let _ = api.containers.remove(&container, true);
        return Err(failure);
    }
    json_with(StatusCode::CREATED, &json!({ "Id": container.id, "Warnings": warnings }))
}

fn image(asked: &Asked, name: &str) -> Result<Image, Failure> {
    if name.is_empty() {
        return Err(Failure::bad("no image was named"));
    }
    let image = asked.api.images.find(name).map_err(|error| match error {
        // With the tag, as clients compare it.
        sampan_images::ImageError::NotFound(_) => {
            Failure::not_found(format!("No such image: {}", tagged(name)))
        }
        other => other.into(),
    })?;
    if let Some(text) = asked.query.get("platform") {
        let platform: Platform = text.parse().map_err(|what: &str| Failure::bad(what))?;
        if !platform.is_met_by(&image.platform) {
            return Err(Failure::not_found(format!(
                "image with reference {name} was found but its platform ({}) does not match the specified platform ({platform}). No such image: {}",
                image.platform,
                tagged(name)
            )));
        }
    }
    Ok(image)
}

/// `NAME:latest` where there is no tag.
fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

fn config(wanted: Wanted, name: &str, image: &Image, containers: &Containers) -> Result<Config, Failure> {
    let mut entrypoint = wanted.entrypoint.list();
    // As `--entrypoint ""` sends it: not the image's either.
    let no_entrypoint = entrypoint == [""];
    if no_entrypoint {
        entrypoint.clear();
    }
    let command = wanted.cmd.list();
    let mut config = Config {
        name: name.to_owned(),
        image: wanted.image,
        image_id: image.id.to_string(),
        entrypoint,
        command: command.clone(),
        env: wanted.env,
        workdir: wanted.working_dir,
        hostname: wanted.hostname,
        user: wanted.user,
        labels: wanted.labels,
        exposed: wanted.exposed_ports.into_keys().collect(),
        tty: wanted.tty,
        open_stdin: wanted.open_stdin,
        stdin_once: wanted.stdin_once,
        stop_signal: wanted.stop_signal,
        stop_timeout_ms: wanted.stop_timeout.map(|seconds| seconds.saturating_mul(1000)),
        ..Config::default()
    };
    wanted.host_config.apply(&mut config, containers)?;
    for target in wanted.volumes.into_keys() {
        if !config.mounts.iter().any(|mount| mount.target == target) {
            config.mounts.push(Mount { source: Source::Volume(String::new()), target, read_only: false });
        }
    }
    config.complete(&image.config);
    if no_entrypoint {
        config.entrypoint.clear();
        config.command = command;
    }
    if wanted.host_config.publish_all_ports {
        config.publish_exposed();
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_tags() {
        for (name, full) in [
            ("a", "a:latest"),
            ("a:1", "a:1"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("a@sha256:0", "a@sha256:0"),
        ] {
            assert_eq!(tagged(name), full);
        }
    }

    #[test]
    fn words() {
        for (text, list) in [(r#""a b""#, vec!["a b"]), (r#"["a","b"]"#, vec!["a", "b"])] {
            let words: Words = serde_json::from_str(text).unwrap();
            assert_eq!(words.list(), list);
        }
    }
}
