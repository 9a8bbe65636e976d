//! About the engine as a whole: versions, what is here, what happens.

use super::answer::{Answered, Failure, json, streamed, text};
use super::call::{Asked, Call, Filters, outside};
use super::inspect::over;
use super::{Api, VERSION_MINOR, VERSION_MINOR_MIN, images, list, not_here, volumes};
use crate::record::Status;
use crate::{Event, cgroup};
use http::header::{CACHE_CONTROL, HeaderValue, PRAGMA};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

/// What keeps images and containers.
pub const DRIVER: &str = "sampan";
pub const RUNTIME: &str = "sampan";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that is not below a group of its own.
pub async fn route(call: Call, parts: &[&str]) -> Answered {
    let get = call.is_get();
    let post = call.is(&Method::POST);
    match *parts {
        ["_ping"] if get => ping(),
        ["version"] if get => call.blocking(|_| version()).await,
        ["info"] if get => call.blocking(info).await,
        ["events"] if get => events(call).await,
        ["system", "df"] if get => call.blocking(df).await,
        ["build"] if post => super::build::build(call).await,
        ["build", "prune"] if post => json(&json!({ "CachesDeleted": [], "SpaceReclaimed": 0 })),
        ["auth"] if post => super::transfer::auth(call).await,
        ["session" | "grpc"] if post => Err(not_here("BuildKit is not here; set DOCKER_BUILDKIT=0")),
        ["plugins"] if get => json(&json!([])),
        ["commit"] if post => Err(not_here("a container cannot become an image; build one of a Dockerfile")),
        ["swarm" | "services" | "tasks" | "nodes" | "secrets" | "configs", ..] => {
            let what = "This node is not a swarm manager, and cannot become one.";
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, what))
        }
        _ => Err(Failure::no_page()),
    }
}

fn ping() -> Answered {
    let mut response = text("OK")?;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    // The classic builder.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    Ok(response)
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn version() -> Answered {
    let (api, least) = (format!("1.{VERSION_MINOR}"), format!("1.{VERSION_MINOR_MIN}"));
    let (kernel, architecture) = (kernel(), architecture());
    json(&json!({
        "Platform": { "Name": "Sampan" },
        "Components": [{
            "Name": "Engine",
            "Version": VERSION,
            "Details": {
                "ApiVersion": api, "MinAPIVersion": least, "Os": "linux", "Arch": architecture,
                "KernelVersion": kernel, "Experimental": "false", "GitCommit": "", "GoVersion": "", "BuildTime": "",
            },
        }],
        "Version": VERSION, "ApiVersion": api, "MinAPIVersion": least, "GitCommit": "", "GoVersion": "",
        "Os": "linux", "Arch": architecture, "KernelVersion": kernel, "BuildTime": "",
    }))
}

pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// As `proc_meminfo(5)` says.
pub fn memory_total_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn info(asked: &Asked) -> Answered {
    let what_is_here = here(&asked.api)?;
    json(&over(over(fixed(), machine()), what_is_here))
}

fn here(api: &Api) -> Result<Value, Failure> {
    let containers = api.containers.list()?;
    // One may have been removed meanwhile.
    let states: Vec<_> = containers.iter().filter_map(|one| Some(one.state().ok()?.status)).collect();
    let count = |which: &[Status]| states.iter().filter(|state| which.contains(state)).count();
    let root = api.containers.root().parent().map(|data| data.display().to_string());
    Ok(json!({
        "ID": root,
        "DockerRootDir": root,
        "Containers": states.len(),
        "ContainersRunning": count(&[Status::Running, Status::Restarting]),
        "ContainersPaused": count(&[Status::Paused]),
        "ContainersStopped": count(&[Status::Created, Status::Exited, Status::Removing]),
        "Images": api.images.list()?.len(),
    }))
}

fn machine() -> Value {
    let unavailable = cgroup::unavailable();
    let warnings: Vec<String> =
        unavailable.iter().map(|why| format!("WARNING: the kernel keeps no limits ({why})")).collect();
    let limits = unavailable.is_none();
    let uname = rustix::system::uname();
    json!({
        "MemoryLimit": limits, "CpuCfsPeriod": limits, "CpuCfsQuota": limits, "Warnings": warnings,
        "CgroupDriver": "cgroupfs", "CgroupVersion": if cgroup::is_unified() { "2" } else { "1" },
        "KernelVersion": kernel(), "OperatingSystem": operating_system(), "OSVersion": "", "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(), "NCPU": processors(), "MemTotal": memory_total_bytes(),
        "Name": uname.nodename().to_string_lossy(), "SystemTime": chrono::Utc::now(),
    })
}

fn fixed() -> Value {
    let commit = json!({ "ID": "", "Expected": "" });
    let without = json!({
        "SwapLimit": false, "CPUShares": false, "CPUSet": false, "PidsLimit": false, "OomKillDisable": false,
        // Nothing here is bridged: that is nothing to warn of.
        "IPv4Forwarding": true, "BridgeNfIptables": true, "BridgeNfIp6tables": true, "Debug": false,
        "ExperimentalBuild": false, "NFd": 0, "NGoroutines": 0, "NEventsListener": 0, "HttpProxy": "",
        "HttpsProxy": "", "NoProxy": "", "Isolation": "", "InitBinary": "", "Labels": [],
        "ContainerdCommit": commit, "RuncCommit": commit, "InitCommit": commit,
    });
    let with = json!({
        "Driver": DRIVER,
        "DriverStatus": [["Guests", "WebAssembly"]],
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null, "Log": ["json-file"],
        },
        "LoggingDriver": "json-file",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": [] },
        "ServerVersion": VERSION,
        "Runtimes": { RUNTIME: { "path": "sampan" } },
        "DefaultRuntime": RUNTIME,
        "Swarm": { "LocalNodeState": "inactive", "ControlAvailable": false, "NodeID": "", "RemoteManagers": null },
        // Containers go on without this process.
        "LiveRestoreEnabled": true,
        "SecurityOptions": ["name=webassembly"],
    });
    over(without, with)
}

fn df(asked: &Asked) -> Answered {
    let wanted = |kind: &str| {
        asked.query.all("type").next().is_none() || asked.query.all("type").any(|one| one == kind)
    };
    let mut all = json!({ "LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": [] });
    let images = asked.api.images.list()?;
    all["LayersSize"] = json!(images.iter().map(|image| image.size_bytes).sum::<u64>());
    if wanted("image") {
        all["Images"] = images::with_usage(&asked.api, &images)?;
    }
    if wanted("container") {
        all["Containers"] = json!(list::with_sizes(asked)?);
    }
    if wanted("volume") {
        all["Volumes"] = json!(volumes::with_usage(&asked.api.containers)?);
    }
    json(&all)
}

const FILTERS: [&str; 12] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "type",
    "volume",
];

async fn events(call: Call) -> Answered {
    let asked = call.read().await?;
    let filters = asked.query.filters(&FILTERS)?;
    // Events from now on count from here, not from when they are first looked for.
    let since = asked.query.time("since")?.unwrap_or_else(chrono::Utc::now);
    let until = asked.query.time("until")?;
    let api = Arc::clone(&asked.api);
    // A container may be named in any way.
    let (filters, ids) = outside(move || {
        let names = filters.values("container").iter();
        let ids: Vec<String> =
            names.map(|name| api.containers.find(name).map_or_else(|_| name.clone(), |one| one.id)).collect();
        Ok((filters, ids))
    })
    .await?;
    let (out, response) = streamed("application/json");
    tokio::task::spawn_blocking(move || {
        let events = asked.api.containers.events();
        let read = events.read(Some(since), until, &|| out.is_open(), &mut |event| {
            !is_wanted(&filters, &ids, &event) || out.line_blocking(&told(&event))
        });
        if let Err(error) = read {
            out.fail_blocking(error);
        }
    });
    Ok(response)
}

fn is_wanted(filters: &Filters, ids: &[String], event: &Event) -> bool {
    let named = |kind: &str, wanted: &str| {
        event.kind == kind
            && (event.id == wanted || event.attributes.get("name").is_some_and(|name| name == wanted))
    };
    let action = event.action.split(':').next().unwrap_or_default();
    filters.any("type", |kind| event.kind == kind)
        && filters.any("event", |wanted| wanted == action || wanted == event.action)
        && filters.labels(&event.attributes)
        && filters.any("scope", |scope| scope == "local")
        && (ids.is_empty()
            || event.kind == "container" && ids.contains(&event.id)
            || ids.iter().any(|id| named("container", id)))
        && filters.any("image", |image| {
            named("image", image) || event.attributes.get("image").is_some_and(|its| its == image)
        })
        && filters.any("volume", |name| named("volume", name))
        && filters.any("network", |name| named("network", name))
        && filters.any("daemon", |_| false)
}

fn told(event: &Event) -> Value {
    let mut all = json!({
        "Type": event.kind, "Action": event.action, "scope": "local",
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "time": event.time.timestamp(), "timeNano": event.time.timestamp_nanos_opt(),
    });
    // As it was before 1.22, and is still read.
    if matches!(event.kind.as_str(), "container" | "image") {
        all["status"] = json!(event.action);
        all["id"] = json!(event.id);
        if let Some(image) = event.attributes.get("image") {
            all["from"] = json!(image);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::call::Query;
    use chrono::Utc;
    use std::collections::BTreeMap;

    #[test]
    fn events_are_chosen() {
        let event = Event {
            time: Utc::now(),
            kind: "container".to_owned(),
            action: "exec_create: ls".to_owned(),
            id: "abc".to_owned(),
            attributes: BTreeMap::from([
                ("image".to_owned(), "i".to_owned()),
                ("name".to_owned(), "n".to_owned()),
                ("role".to_owned(), "web".to_owned()),
            ]),
        };
        for (text, wanted) in [
            ("{}", true),
            (r#"{"type":["container"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"event":["exec_create"]}"#, true),
            (r#"{"event":["start","die"]}"#, false),
            (r#"{"container":["n"]}"#, true),
            (r#"{"container":["other"]}"#, false),
            (r#"{"image":["i"]}"#, true),
            (r#"{"label":["role=web"]}"#, true),
            (r#"{"label":["role=db"]}"#, false),
            (r#"{"volume":["n"]}"#, false),
        ] {
            let query = format!(
                "filters={}",
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
            );
            let filters = Query::parse(&query).filters(&FILTERS).unwrap();
            let ids = filters.values("container").to_vec();
            assert_eq!(is_wanted(&filters, &ids, &event), wanted, "{text}");
        }
    }
}
