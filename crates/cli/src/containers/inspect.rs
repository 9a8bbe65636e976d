//! `sampan inspect` of a container: what Docker's API calls an inspection.

use sampan_containers::{Config, Container, Error, Restart, Source, State};
use serde_json::{Value, json};

/// Everything that is known of a container.
///
/// # Errors
/// If it cannot be read.
pub fn described(container: &Container) -> Result<Value, Error> {
    let (config, state) = (container.config()?, container.state()?);
    let (path, args) = match config.entrypoint.iter().chain(&config.command).collect::<Vec<_>>().split_first()
    {
        Some((first, rest)) => ((*first).clone(), rest.iter().map(|arg| (*arg).clone()).collect()),
        None => (String::new(), Vec::new()),
    };
    Ok(json!({
        "Id": container.id,
        "Created": state.created_at,
        "Path": path,
        "Args": args,
        "State": of_state(&state),
        "Image": config.image_id,
        "Name": format!("/{}", config.name),
        "RestartCount": state.restarts,
        "Platform": "wasi",
        "LogPath": container.log_path(),
        "ExecIDs": state.seconds.keys().collect::<Vec<_>>(),
        "HostConfig": host_config(&config),
        "Mounts": mounts(&config),
        "Config": of_config(&config),
        "NetworkSettings": { "Ports": ports(&config, &state) },
        "Rootfs": container.rootfs()?,
    }))
}

fn of_state(state: &State) -> Value {
    json!({
        "Status": state.status.name(),
        "Running": state.pid != 0,
        "Paused": state.status.name() == "paused",
        "Restarting": state.status.name() == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.pid,
        "SupervisorPid": state.supervisor,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    })
}

fn host_config(config: &Config) -> Value {
    let (policy, most) = match config.restart {
        Restart::No => ("no", 0),
        Restart::OnFailure(most) => ("on-failure", most),
        Restart::Always => ("always", 0),
        Restart::UnlessStopped => ("unless-stopped", 0),
    };
    let binds = config.mounts.iter().filter_map(|mount| match &mount.source {
        Source::Bind(path) => {
            Some(format!("{}:{}{}", path.display(), mount.target, if mount.read_only { ":ro" } else { "" }))
        }
        _ => None,
    });
    json!({
        "Binds": binds.collect::<Vec<_>>(),
        "RestartPolicy": { "Name": policy, "MaximumRetryCount": most },
        "AutoRemove": config.auto_remove,
        "ReadonlyRootfs": config.read_only,
        "Memory": config.memory_bytes.unwrap_or_default(),
        "NanoCpus": config.cpu_millis.unwrap_or_default() * 1_000_000,
        "Grants": config.grants,
    })
}

fn mounts(config: &Config) -> Vec<Value> {
    let one = |mount: &sampan_containers::Mount| {
        let (kind, name, source) = match &mount.source {
            Source::Bind(path) => ("bind", "", path.display().to_string()),
            Source::Volume(name) => ("volume", name.as_str(), String::new()),
            Source::Temporary => ("tmpfs", "", String::new()),
        };
        json!({
            "Type": kind,
            "Name": name,
            "Source": source,
            "Destination": mount.target,
            "RW": !mount.read_only,
        })
    };
    config.mounts.iter().map(one).collect()
}

fn of_config(config: &Config) -> Value {
    json!({
        "Hostname": config.hostname,
        "User": config.user,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": config.command,
        "Entrypoint": config.entrypoint,
        "Image": config.image,
        "WorkingDir": config.workdir,
        "Labels": config.labels,
        "StopSignal": config.stop_signal,
        "ExposedPorts": config.exposed.iter().map(|port| (port.clone(), json!({}))).collect::<serde_json::Map<_, _>>(),
    })
}

fn ports(config: &Config, state: &State) -> Value {
    let mut all = serde_json::Map::new();
    for port in &config.exposed {
        all.insert(port.clone(), Value::Null);
    }
    for port in &state.ports {
        let entry = all.entry(super::list::guest_port(port)).or_insert(Value::Null);
        if entry.is_null() {
            *entry = json!([]);
        }
        if let Some(list) = entry.as_array_mut() {
            list.push(json!({ "HostIp": port.host_address, "HostPort": port.host_port.to_string() }));
        }
    }
    Value::Object(all)
}
