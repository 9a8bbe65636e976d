//! Networks: Compose and others make them, join them and ask for them. A guest has no network of its own, so they are
//! records only, in `networks.json` beside the containers.

use super::answer::{Answered, Failure, json, json_with, no_content, status};
use super::call::{Asked, Call};
use crate::folder::check_name;
use crate::{Container, Containers, Error, record};
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Those that are always there.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];
const NETWORKS_MAX: usize = 1000;
const FILTERS: [&str; 7] = ["name", "id", "label", "driver", "type", "scope", "dangling"];

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Network {
    id: String,
    created: DateTime<Utc>,
    driver: String,
    internal: bool,
    attachable: bool,
    ipv6: bool,
    ipam: Value,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// By the containers' ids.
    endpoints: BTreeMap<String, Endpoint>,
}

/// What Docker's clients say of a container in a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"), default)]
pub struct Endpoint {
    #[serde(alias = "aliases")]
    aliases: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    endpoints_config: BTreeMap<String, Endpoint>,
}

type All = BTreeMap<String, Network>;

/// The file with all of them.
pub struct Networks<'a> {
    containers: &'a Containers,
    path: PathBuf,
}

impl<'a> Networks<'a> {
    pub fn of(containers: &'a Containers) -> Self {
        Networks { containers, path: containers.root().with_file_name("networks.json") }
    }

    fn read(&self) -> Result<All, Failure> {
        let mut all: All = match record::read(&self.path) {
            Err(Error::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => All::new(),
            other => other?,
        };
        for name in BUILT_IN {
            all.entry(name.to_owned()).or_insert_with(|| Network {
                id: built_in_id(name),
                driver: if name == "none" { "null".to_owned() } else { name.to_owned() },
                ..Network::default()
            });
        }
        Ok(all)
    }

    fn change<T>(&self, what: impl FnOnce(&mut All) -> Result<T, Failure>) -> Result<T, Failure> {
        let _held = self.containers.lock()?;
        let mut all = self.read()?;
        // Containers that were removed have left.
        for network in all.values_mut() {
            network.endpoints.retain(|id, _| self.containers.root().join(id).is_dir());
        }
        let result = what(&mut all)?;
        record::write(&self.path, &all)?;
        Ok(result)
    }

    /// The networks that a new container is to be in.
    pub fn endpoints(
        &self,
        mode: &str,
        wanted: &NetworkingConfig,
    ) -> Result<BTreeMap<String, Endpoint>, Failure> {
        if mode.starts_with("container:") {
            return Err(Failure::bad(
                "NetworkMode cannot be another container's: a guest has no network of its own",
            ));
        }
        let mode = if mode.is_empty() || mode == "default" { "bridge" } else { mode };
        let all = self.read()?;
        let mut endpoints = BTreeMap::new();
        let own = wanted.endpoints_config.get(mode).cloned().unwrap_or_default();
        for (name, endpoint) in std::iter::once((mode, &own))
            .chain(wanted.endpoints_config.iter().map(|(name, one)| (name.as_str(), one)))
        {
            let name = if name == "default" { "bridge" } else { name };
            endpoints.insert(found(&all, name)?, endpoint.clone());
        }
        Ok(endpoints)
    }

    pub fn join(&self, container: &Container, endpoints: BTreeMap<String, Endpoint>) -> Result<(), Failure> {
        self.change(|all| {
            for (name, endpoint) in endpoints {
                if let Some(network) = all.get_mut(&name) {
                    network.endpoints.insert(container.id.clone(), endpoint);
                }
            }
            Ok(())
        })
    }

    /// Of `NetworkSettings.Networks`; of a container that nobody put anywhere, that it is where all are.
    pub fn of_container(&self, container: &Container) -> Value {
        let all = self.read().unwrap_or_default();
        let mut its = serde_json::Map::new();
        for (name, network) in &all {
            if let Some(endpoint) = network.endpoints.get(&container.id) {
                its.insert(name.clone(), described_endpoint(container, &network.id, endpoint));
            }
        }
        if its.is_empty() {
            let endpoint = described_endpoint(container, &built_in_id("bridge"), &Endpoint::default());
            its.insert("bridge".to_owned(), endpoint);
        }
        Value::Object(its)
    }
}

/// The same on every machine: 64 digits, as all ids have.
fn built_in_id(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<64}")
}

fn described_endpoint(container: &Container, network: &str, endpoint: &Endpoint) -> Value {
    let mut names = endpoint.aliases.clone();
    names.push(container.short_id().to_owned());
    json!({
        "IPAMConfig": null, "Links": null, "Aliases": endpoint.aliases, "MacAddress": "", "DriverOpts": null,
        "NetworkID": network, "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": names,
    })
}

/// The name of the network that a name, an id or its beginning means.
fn found(all: &All, text: &str) -> Result<String, Failure> {
    if all.contains_key(text) {
        return Ok(text.to_owned());
    }
    let mut its = all.iter().filter(|(_, network)| !text.is_empty() && network.id.starts_with(text));
    match (its.next(), its.next()) {
        (Some((name, _)), None) => Ok(name.clone()),
        (Some(_), Some(_)) => Err(Failure::bad(format!("network {text} is ambiguous"))),
        _ => Err(Failure::not_found(format!("network {text} not found"))),
    }
}

fn described(containers: &Containers, name: &str, network: &Network) -> Value {
    let mut live = serde_json::Map::new();
    for (id, endpoint) in &network.endpoints {
        let container = containers.container(id.clone());
        if container.state().is_ok_and(|state| state.status.is_live()) {
            let about = json!({
                "Name": container.name(), "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": "",
                "Aliases": endpoint.aliases,
            });
            live.insert(id.clone(), about);
        }
    }
    json!({
        "Name": name, "Id": network.id, "Created": network.created, "Scope": "local", "Driver": network.driver,
        "EnableIPv4": true, "EnableIPv6": network.ipv6, "Internal": network.internal,
        "Attachable": network.attachable, "Ingress": false, "ConfigFrom": { "Network": "" }, "ConfigOnly": false,
        "IPAM": if network.ipam.is_null() { json!({ "Driver": "default", "Options": {}, "Config": [] }) }
            else { network.ipam.clone() },
        "Containers": live, "Options": network.options, "Labels": network.labels,
    })
}

pub async fn route(call: Call, rest: &[&str]) -> Answered {
    let get = call.is_get();
    let post = call.is(&Method::POST);
    match *rest {
        [] if get => call.blocking(list).await,
        ["create"] if post => call.blocking(create).await,
        ["prune"] if post => call.blocking(prune).await,
        [name] if get => {
            let name = name.to_owned();
            call.blocking(move |asked| inspect(asked, &name)).await
        }
        [name] if call.is(&Method::DELETE) => {
            let name = name.to_owned();
            call.blocking(move |asked| delete(asked, &name)).await
        }
        [name, verb @ ("connect" | "disconnect")] if post => {
            let (name, joins) = (name.to_owned(), verb == "connect");
            call.blocking(move |asked| change(asked, &name, joins)).await
        }
        _ => Err(Failure::no_page()),
    }
}

fn list(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&FILTERS)?;
    let containers = &asked.api.containers;
    let is_built_in = |name: &str| BUILT_IN.contains(&name);
    let all = Networks::of(containers).read()?;
    let fits = |(name, network): &(&String, &Network)| {
        filters.any("name", |part| name.contains(part))
            && filters.any("id", |start| network.id.starts_with(start))
            && filters.labels(&network.labels)
            && filters.any("driver", |driver| network.driver == driver)
            && filters.any("scope", |scope| scope == "local")
            && filters.any("type", |kind| (kind == "builtin") == is_built_in(name))
            && filters
                .flag("dangling")
                .is_none_or(|wanted| wanted == (network.endpoints.is_empty() && !is_built_in(name)))
    };
    let its = all.iter().filter(fits).map(|(name, network)| described(containers, name, network));
    json(&its.collect::<Vec<_>>())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    name: String,
    driver: String,
    internal: bool,
    attachable: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Value,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

fn create(asked: &Asked) -> Answered {
    let wanted: Wanted = asked.json()?;
    check_name(&wanted.name)?;
    let driver = if wanted.driver.is_empty() { "bridge".to_owned() } else { wanted.driver };
    if driver != "bridge" {
        let what = format!("plugin {driver:?} not found: a guest has no network of its own; use bridge");
        return Err(Failure::not_found(what));
    }
    let id = crate::create::random_id()?;
    let network = Network {
        id: id.clone(),
        created: Utc::now(),
        driver,
        internal: wanted.internal,
        attachable: wanted.attachable,
        ipv6: wanted.enable_ipv6,
        ipam: wanted.ipam,
        options: wanted.options,
        labels: wanted.labels,
        endpoints: BTreeMap::new(),
    };
    Networks::of(&asked.api.containers).change(|all| {
        if all.contains_key(&wanted.name) {
            return Err(Failure::conflict(format!("network with name {} already exists", wanted.name)));
        }
        if all.len() >= NETWORKS_MAX {
            return Err(Failure::bad(format!("there are {NETWORKS_MAX} networks already")));
        }
        all.insert(wanted.name.clone(), network);
        Ok(())
    })?;
    tell(asked, "create", &id, &wanted.name);
    json_with(StatusCode::CREATED, &json!({ "Id": id, "Warning": "" }))
}

fn tell(asked: &Asked, action: &str, id: &str, name: &str) {
    let attributes =
        BTreeMap::from([("name".to_owned(), name.to_owned()), ("type".to_owned(), "bridge".to_owned())]);
    asked.api.containers.events().tell("network", action, id, attributes);
}

fn inspect(asked: &Asked, name: &str) -> Answered {
    let containers = &asked.api.containers;
    let all = Networks::of(containers).read()?;
    let name = found(&all, name)?;
    json(&described(containers, &name, &all[&name]))
}

fn delete(asked: &Asked, name: &str) -> Answered {
    let containers = &asked.api.containers;
    let (name, id) = Networks::of(containers).change(|all| {
        let name = found(all, name)?;
        let refused = |what: String| Failure::new(StatusCode::FORBIDDEN, what);
        if BUILT_IN.contains(&name.as_str()) {
            return Err(refused(format!("{name} is a pre-defined network and cannot be removed")));
        }
        let is_live =
            |id: &String| containers.container(id.clone()).state().is_ok_and(|state| state.status.is_live());
        if all[&name].endpoints.keys().any(is_live) {
            return Err(refused(format!(
                "error while removing network: network {name} has active endpoints"
            )));
        }
        let gone = all.remove(&name).map(|network| network.id).unwrap_or_default();
        Ok((name, gone))
    })?;
    tell(asked, "destroy", &id, &name);
    no_content()
}

fn prune(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&["label", "label!", "until"])?;
    let gone = Networks::of(&asked.api.containers).change(|all| {
        let unused = |(name, network): &(&String, &Network)| {
            !BUILT_IN.contains(&name.as_str())
                && network.endpoints.is_empty()
                && filters.labels(&network.labels)
        };
        let gone: Vec<String> = all.iter().filter(unused).map(|(name, _)| name.clone()).collect();
        all.retain(|name, _| !gone.contains(name));
        Ok(gone)
    })?;
    json(&json!({ "NetworksDeleted": gone }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Change {
    container: String,
    endpoint_config: Endpoint,
}

/// `connect` and `disconnect`.
fn change(asked: &Asked, network: &str, joins: bool) -> Answered {
    let change: Change = asked.json()?;
    let container = asked.api.containers.find(&change.container)?;
    Networks::of(&asked.api.containers).change(|all| {
        let name = found(all, network)?;
        let Some(its) = all.get_mut(&name) else { return Ok(()) };
        if joins {
            its.endpoints.insert(container.id.clone(), change.endpoint_config);
        } else if its.endpoints.remove(&container.id).is_none() && name != "bridge" {
            let what = format!("container {} is not connected to network {name}", container.name());
            return Err(Failure::new(StatusCode::FORBIDDEN, what));
        }
        Ok(())
    })?;
    status(StatusCode::OK)
}
