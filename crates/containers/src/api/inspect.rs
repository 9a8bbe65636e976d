//! `GET /containers/ID/json`: all that is known of a container, in Docker's words. What a client asked for is told
//! again as it asked for it, beneath what we know better.

use super::answer::{Answered, Failure, json};
use super::call::Asked;
use super::create::Record;
use super::networks::Networks;
use crate::record::{Config, Mount, Port, Restart, Source, State};
use crate::{Container, Containers, Error, copy};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

pub fn inspect(asked: &Asked, container: &Container) -> Answered {
    let mut all = described(&asked.api.containers, container)?;
    if asked.query.flag("size") {
        let size = copy::size_bytes(&container.rootfs()?);
        let read_only = container.config()?.read_only;
        all["SizeRw"] = json!(if read_only { 0 } else { size });
        all["SizeRootFs"] = json!(size);
    }
    json(&all)
}

/// All that is known of a container, for `sampan inspect` too.
///
/// # Errors
/// If its records cannot be read.
pub fn described(containers: &Containers, container: &Container) -> Result<Value, Error> {
    let (config, state) = (container.config()?, container.state()?);
    let record = Record::of(container);
    let words: Vec<&String> = config.entrypoint.iter().chain(&config.command).collect();
    Ok(json!({
        "Id": container.id,
        "Created": time(state.created_at),
        "Path": words.first(),
        "Args": words.get(1..).unwrap_or_default(),
        "State": of_state(&state),
        "Image": config.image_id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": container.log_path(),
        "Name": format!("/{}", config.name),
        "RestartCount": state.restarts,
        "Driver": super::system::DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": exec_ids(&state),
        "HostConfig": host_config(&config, record.host_config.clone(), record.network_mode()),
        "GraphDriver": { "Name": super::system::DRIVER, "Data": {} },
        "Mounts": mounts(containers, container, &config),
        "Config": of_config(&config, record.config),
        "NetworkSettings": network_settings(containers, container, &config, &state),
    }))
}

/// `null` where there is none, as Docker has it.
fn exec_ids(state: &State) -> Value {
    if state.seconds.is_empty() { Value::Null } else { json!(state.seconds.keys().collect::<Vec<_>>()) }
}

/// As Go writes times; of none, its zero.
pub fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(
        || "0001-01-01T00:00:00Z".to_owned(),
        |time| time.to_rfc3339_opts(SecondsFormat::Nanos, true),
    )
}

fn of_state(state: &State) -> Value {
    json!({
        "Status": state.status.name(),
        "Running": state.status.is_live(),
        "Paused": state.status.name() == "paused",
        "Restarting": state.status.name() == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    })
}

/// Puts values over those of the same name.
pub fn over(below: Value, above: Value) -> Value {
    let mut all = match below {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    if let Value::Object(above) = above {
        all.extend(above);
    }
    Value::Object(all)
}

fn host_config(config: &Config, asked: Value, network_mode: &str) -> Value {
    let (policy, most) = match config.restart {
        Restart::No => ("no", 0),
        Restart::OnFailure(most) => ("on-failure", most),
        Restart::Always => ("always", 0),
        Restart::UnlessStopped => ("unless-stopped", 0),
    };
    let networks = json!({
        "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "Links": null, "PublishAllPorts": false,
    });
    // What clients expect to be there.
    let defaults = json!({
        "ContainerIDFile": "", "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null,
        "CapDrop": null, "CgroupnsMode": "private", "GroupAdd": null, "IpcMode": "private", "Cgroup": "",
        "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 0, "Runtime": super::system::RUNTIME, "Isolation": "", "Devices": [], "DeviceRequests": null,
        "Ulimits": [], "MaskedPaths": [], "ReadonlyPaths": [], "Mounts": null, "Tmpfs": null,
    });
    let limits = json!({
        "CpuShares": 0, "CgroupParent": "", "BlkioWeight": 0, "CpuPeriod": 0, "CpuQuota": 0, "CpusetCpus": "",
        "CpusetMems": "", "MemoryReservation": 0, "MemorySwap": 0, "OomKillDisable": false, "PidsLimit": null,
    });
    let defaults = over(over(networks, defaults), limits);
    let binds: Vec<String> = config.mounts.iter().filter_map(bind).collect();
    let log = json!({
        "max-size": config.log_max_bytes.map(|bytes| bytes.to_string()),
        "max-file": config.log_files.map(|count| count.to_string()),
    });
    let log: Map<String, Value> = log
        .as_object()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    let known = json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "LogConfig": { "Type": "json-file", "Config": log },
        "NetworkMode": network_mode,
        "PortBindings": bindings(&config.ports),
        "RestartPolicy": { "Name": policy, "MaximumRetryCount": most },
        "AutoRemove": config.auto_remove,
        "ReadonlyRootfs": config.read_only,
        "Memory": config.memory_bytes.unwrap_or_default(),
        "NanoCpus": config.cpu_millis.unwrap_or_default() * 1_000_000,
    });
    over(over(defaults, asked), known)
}

fn bind(mount: &Mount) -> Option<String> {
    let source = match &mount.source {
        Source::Bind(path) => path.display().to_string(),
        Source::Volume(name) => name.clone(),
        Source::Temporary => return None,
    };
    Some(format!("{source}:{}:{}", mount.target, if mount.read_only { "ro" } else { "rw" }))
}

fn bindings(ports: &[Port]) -> Value {
    let mut all = Map::new();
    for port in ports {
        let number = if port.host_port == 0 { String::new() } else { port.host_port.to_string() };
        let binding = json!({ "HostIp": port.host_address, "HostPort": number });
        if let Some(list) = all.entry(port.guest()).or_insert(json!([])).as_array_mut() {
            list.push(binding);
        }
    }
    Value::Object(all)
}

pub fn mounts(containers: &Containers, container: &Container, config: &Config) -> Value {
    let one = |mount: &Mount| {
        let (mode, writable) = (if mount.read_only { "ro" } else { "rw" }, !mount.read_only);
        let target = &mount.target;
        match &mount.source {
            Source::Bind(path) => json!({
                "Type": "bind", "Source": path, "Destination": target, "Mode": mode, "RW": writable,
                "Propagation": "rprivate",
            }),
            Source::Volume(name) => json!({
                "Type": "volume", "Name": name, "Source": containers.volumes().join(name).join("_data"),
                "Destination": target, "Driver": "local", "Mode": mode, "RW": writable, "Propagation": "",
            }),
            Source::Temporary => json!({
                "Type": "tmpfs", "Source": container.folder().join("tmp"), "Destination": target, "Mode": "",
                "RW": writable, "Propagation": "",
            }),
        }
    };
    config.mounts.iter().map(one).collect()
}

fn of_config(config: &Config, asked: Value) -> Value {
    let names = |list: &[String]| -> Value {
        if list.is_empty() {
            return Value::Null;
        }
        Value::Object(list.iter().map(|name| (name.clone(), json!({}))).collect())
    };
    let words = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let mut known = json!({
        "Hostname": config.hostname,
        "User": config.user,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": words(&config.command),
        "Entrypoint": words(&config.entrypoint),
        "Image": config.image,
        "WorkingDir": config.workdir,
        "Labels": config.labels,
    });
    if !config.exposed.is_empty() {
        known["ExposedPorts"] = names(&config.exposed);
    }
    if !config.stop_signal.is_empty() {
        known["StopSignal"] = json!(config.stop_signal);
    }
    let defaults = json!({
        "Domainname": "", "AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Volumes": null,
        "OnBuild": null,
    });
    over(over(defaults, asked), known)
}

fn network_settings(containers: &Containers, container: &Container, config: &Config, state: &State) -> Value {
    json!({
        "Bridge": "", "SandboxID": "", "SandboxKey": "", "HairpinMode": false, "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": null, "SecondaryIPv6Addresses": null,
        "EndpointID": "", "Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPAddress": "",
        "IPPrefixLen": 0, "IPv6Gateway": "", "MacAddress": "",
        "Ports": ports(config, state),
        "Networks": Networks::of(containers).of_container(container),
    })
}

/// Where each port is; nowhere, as `null`, those that are not published.
fn ports(config: &Config, state: &State) -> Value {
    if !state.status.is_live() {
        return json!({});
    }
    let mut all: Map<String, Value> = config.exposed.iter().map(|port| (port.clone(), Value::Null)).collect();
    if let Value::Object(bound) = bindings(&state.ports) {
        all.extend(bound);
    }
    Value::Object(all)
}

/// The record of a container that lists show; not of one that is being removed.
pub fn of(container: &Container) -> Result<(Config, State), Failure> {
    Ok((container.config()?, container.state()?))
}
