//! `GET /containers/json`: containers as `docker ps` lists them.

use super::answer::{Answered, Failure, json};
use super::call::{Asked, Filters};
use super::create::Record;
use super::inspect;
use super::networks::Networks;
use crate::record::{Config, Port, Source, State};
use crate::{Container, copy};
use chrono::{DateTime, Utc};
use regex::RegexBuilder;
use serde_json::{Value, json};

const FILTERS: [&str; 15] = [
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network",
    "publish", "since", "status", "volume", "label!",
];
/// Of a compiled pattern for names.
const PATTERN_MAX_BYTES: usize = 256 << 10;

/// All containers with what they take, for `system df`.
pub fn with_sizes(asked: &Asked) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for container in asked.api.containers.list()? {
        // It may have been removed meanwhile.
        let Ok((config, state)) = inspect::of(&container) else { continue };
        all.push(described(asked, &Row { container, config, state }, true));
    }
    Ok(all)
}

struct Row {
    container: Container,
    config: Config,
    state: State,
}

pub fn list(asked: &Asked) -> Answered {
    let containers = &asked.api.containers;
    let filters = asked.query.filters(&FILTERS)?;
    let limit = asked.query.number("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0);
    let all = asked.query.flag("all")
        || limit.is_some()
        || ["status", "exited", "since", "before"].iter().any(|name| !filters.values(name).is_empty());
    let wanted = Wanted::new(asked, filters)?;
    let mut rows = Vec::new();
    for container in containers.list()? {
        // It may have been removed meanwhile.
        let Ok((config, state)) = inspect::of(&container) else { continue };
        let row = Row { container, config, state };
        if (all || row.state.status.is_live()) && wanted.takes(asked, &row) {
            rows.push(row);
        }
        if limit.is_some_and(|limit| rows.len() >= limit) {
            break;
        }
    }
    let size = asked.query.flag("size");
    json(&rows.iter().map(|row| described(asked, row, size)).collect::<Vec<_>>())
}

/// What of the list is wanted, with what the filters name looked up.
struct Wanted {
    filters: Filters,
    names: Vec<regex::Regex>,
    images: Vec<String>,
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
}

impl Wanted {
    fn new(asked: &Asked, filters: Filters) -> Result<Self, Failure> {
        let pattern = |text: &String| {
            let pattern = RegexBuilder::new(text).size_limit(PATTERN_MAX_BYTES).build();
            pattern.map_err(|error| Failure::bad(format!("invalid filter 'name': {error}")))
        };
        let names = filters.values("name").iter().map(pattern).collect::<Result<_, _>>()?;
        let image = |name: &String| asked.api.images.find(name).ok().map(|image| image.id.to_string());
        let images = filters.values("ancestor").iter().filter_map(image).collect();
        let created = |name: &str| match filters.values(name).first() {
            Some(other) => Ok(asked.api.containers.find(other)?.state()?.created_at),
            None => Ok::<_, Failure>(None),
        };
        let (since, before) = (created("since")?, created("before")?);
        Ok(Wanted { filters, names, images, since, before })
    }

    fn takes(&self, asked: &Asked, row: &Row) -> bool {
        let Row { container, config, state } = row;
        let filters = &self.filters;
        let with_slash = format!("/{}", config.name);
        let named = |name: &regex::Regex| name.is_match(&config.name) || name.is_match(&with_slash);
        let network = |wanted: &str| {
            let its = Networks::of(&asked.api.containers).of_container(container);
            its.as_object().is_some_and(|its| {
                its.iter().any(|(name, one)| name == wanted || one["NetworkID"] == *wanted)
            })
        };
        let volume = |wanted: &str| {
            config
                .mounts
                .iter()
                .any(|mount| mount.target == wanted || mount.source == Source::Volume(wanted.to_owned()))
        };
        (self.names.is_empty() || self.names.iter().any(named))
            && filters.any("id", |start| container.id.starts_with(start))
            && filters.any("status", |status| state.status.name() == status)
            && filters.any("exited", |code| {
                !state.status.is_live() && state.finished_at.is_some() && code == state.exit_code.to_string()
            })
            && filters.labels(&config.labels)
            && filters.any("ancestor", |name| config.image == name || self.images.contains(&config.image_id))
            && filters.any("volume", volume)
            && filters.any("network", network)
            && filters.any("publish", |text| config.ports.iter().any(|port| is_port(&port.guest(), text)))
            && filters.any("expose", |text| config.exposed.iter().any(|port| is_port(port, text)))
            && filters.any("health", |health| health == "none")
            && filters.any("is-task", |is| is == "false")
            && self.since.is_none_or(|since| state.created_at > Some(since))
            && self.before.is_none_or(|before| state.created_at < Some(before))
    }
}

/// Whether `8080/tcp` is what `8080` or `8080/tcp` says.
fn is_port(port: &str, wanted: &str) -> bool {
    port == wanted || port.strip_suffix("/tcp") == Some(wanted)
}

fn described(asked: &Asked, row: &Row, size: bool) -> Value {
    let Row { container, config, state } = row;
    let containers = &asked.api.containers;
    let words: Vec<&str> = config.entrypoint.iter().chain(&config.command).map(String::as_str).collect();
    let mut all = json!({
        "Id": container.id,
        "Names": [format!("/{}", config.name)],
        "Image": config.image,
        "ImageID": config.image_id,
        "Command": words.join(" "),
        "Created": state.created_at.map_or(0, |time| time.timestamp()),
        "Ports": ports(config, state),
        "Labels": config.labels,
        "State": state.status.name(),
        "Status": state.text(Utc::now()),
        "HostConfig": { "NetworkMode": Record::of(container).network_mode() },
        "NetworkSettings": { "Networks": Networks::of(containers).of_container(container) },
        "Mounts": inspect::mounts(containers, container, config),
    });
    if size {
        let bytes = container.rootfs().map(|rootfs| copy::size_bytes(&rootfs)).unwrap_or_default();
        all["SizeRw"] = json!(if config.read_only { 0 } else { bytes });
        all["SizeRootFs"] = json!(bytes);
    }
    all
}

fn ports(config: &Config, state: &State) -> Vec<Value> {
    if !state.status.is_live() {
        return Vec::new();
    }
    let published = |port: &Port| {
        json!({
            "IP": port.host_address, "PrivatePort": port.guest_port, "PublicPort": port.host_port,
            "Type": if port.udp { "udp" } else { "tcp" },
        })
    };
    let mut all: Vec<Value> = state.ports.iter().map(published).collect();
    for text in &config.exposed {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let Ok(number) = number.parse::<u16>() else { continue };
        if !state.ports.iter().any(|port| port.guest() == format!("{number}/{protocol}")) {
            all.push(json!({ "PrivatePort": number, "Type": protocol }));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_number() {
        for (port, wanted, is) in [
            ("80/tcp", "80", true),
            ("80/tcp", "80/tcp", true),
            ("80/udp", "80", false),
            ("80/udp", "80/udp", true),
            ("8080/tcp", "80", false),
        ] {
            assert_eq!(is_port(port, wanted), is, "{port} {wanted}");
        }
    }
}
