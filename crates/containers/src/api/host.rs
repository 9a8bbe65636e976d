//! `HostConfig`: what of it is done, what has no meaning here, and what is refused because it would be missed.

use super::answer::Failure;
use crate::Containers;
use crate::annotations;
use crate::record::{Config, Mount, Port, Restart, Source};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// Docker's, with the fields that are used. `null` was removed before.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    pub binds: Vec<String>,
    pub mounts: Vec<MountPoint>,
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub publish_all_ports: bool,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub memory: i64,
    pub nano_cpus: i64,
    pub cpu_quota: i64,
    pub cpu_period: i64,
    pub log_config: LogConfig,
    pub readonly_rootfs: bool,
    pub tmpfs: BTreeMap<String, String>,
    pub network_mode: String,
    pub annotations: BTreeMap<String, String>,
    pub volumes_from: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    #[serde(rename = "Type")]
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    bind_options: BindOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BindOptions {
    create_mountpoint: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    name: String,
    maximum_retry_count: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    #[serde(rename = "Type")]
    kind: String,
    config: BTreeMap<String, String>,
}

/// A program that asks for one of these needs it, and a guest can have none of them.
const REFUSED: [(&str, &str); 8] = [
    ("Privileged", "a guest has no privileges to be given"),
    ("CapAdd", "a guest has no capabilities of Linux"),
    ("Devices", "a guest has no devices"),
    ("DeviceRequests", "a guest has no devices"),
    ("DeviceCgroupRules", "a guest has no devices"),
    ("PidMode", "a guest sees no processes"),
    ("IpcMode", "a guest shares no memory"),
    ("UTSMode", "a guest has no host name but its own"),
];

/// What a guest has nothing for. That it is ignored opens nothing.
const IGNORED: [&str; 26] = [
    "BlkioWeight",
    "CgroupParent",
    "CpuCount",
    "CpuPercent",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "Init",
    "Links",
    "MemoryReservation",
    "MemorySwap",
    "OomKillDisable",
    "OomScoreAdj",
    "PidsLimit",
    "Runtime",
    "ShmSize",
    "StorageOpt",
    "Sysctls",
    "Ulimits",
    "UsernsMode",
    "VolumeDriver",
];

/// Whether somebody set it: to more than a client's default.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64().is_some_and(|number| number > 0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "private" | "shareable" | "none" | "default"),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
    }
}

/// Refuses what cannot be, and tells what is ignored.
pub fn judge(raw: &Value, warnings: &mut Vec<String>) -> Result<(), Failure> {
    for (name, why) in REFUSED {
        if is_set(&raw[name]) {
            return Err(Failure::bad(format!("{name} cannot be had: {why}; leave it out")));
        }
    }
    for name in IGNORED.into_iter().filter(|name| is_set(&raw[*name])) {
        warnings.push(format!("{name} has no meaning for a WebAssembly guest and is ignored"));
    }
    for option in raw["SecurityOpt"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // The rest only takes from what a guest does not have.
        if option.contains("unconfined") || option.contains("disable") {
            warnings.push(format!("SecurityOpt {option} is ignored: a guest's sandbox has no such switch"));
        }
    }
    Ok(())
}

impl HostConfig {
    /// What of it a container's configuration says.
    pub fn apply(&self, config: &mut Config, containers: &Containers) -> Result<(), Failure> {
        for text in &self.binds {
            config.mounts.push(bind(text)?);
        }
        for mount in &self.mounts {
            config.mounts.push(mount.as_mount()?);
        }
        for target in self.tmpfs.keys() {
            let (source, target) = (Source::Temporary, target.clone());
            config.mounts.push(Mount { source, target, read_only: false });
        }
        for text in &self.volumes_from {
            mounts_of(text, config, containers)?;
        }
        for (guest, bindings) in &self.port_bindings {
            ports(guest, bindings, &mut config.ports)?;
        }
        let own = self.annotations.iter().filter(|(key, _)| key.starts_with(annotations::PREFIX));
        config.labels.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        config.restart = self.restart_policy.as_restart()?;
        config.auto_remove = self.auto_remove;
        config.read_only = self.readonly_rootfs;
        config.memory_bytes = positive(self.memory);
        config.cpu_millis = self.cpu_millis();
        self.log_config.apply(config)
    }

    /// Processors, as either of Docker's two ways says it.
    fn cpu_millis(&self) -> Option<u64> {
        const PERIOD_US: u64 = 100_000;
        if let Some(nano) = positive(self.nano_cpus) {
            return Some((nano / 1_000_000).max(1));
        }
        let period = positive(self.cpu_period).unwrap_or(PERIOD_US);
        positive(self.cpu_quota).map(|quota| (quota.saturating_mul(1000) / period).max(1))
    }
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

/// `SOURCE:TARGET[:OPTIONS]`, or a target alone.
fn bind(text: &str) -> Result<Mount, Failure> {
    let wrong = || Failure::bad(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(wrong()),
    };
    if target.is_empty() {
        return Err(wrong());
    }
    let source = match source {
        path if path.starts_with('/') => Source::Bind(PathBuf::from(path)),
        path if path.starts_with(['.', '~']) => {
            return Err(Failure::bad(format!("invalid mount path: '{path}' is not absolute")));
        }
        name => Source::Volume(name.to_owned()),
    };
    let read_only = options.split(',').any(|option| option == "ro");
    Ok(Mount { source, target: target.to_owned(), read_only })
}

impl MountPoint {
    fn as_mount(&self) -> Result<Mount, Failure> {
        let source = match self.kind.as_str() {
            "bind" => {
                let path = Path::new(&self.source);
                if !path.is_absolute() {
                    let what = format!("invalid mount path: '{}' is not absolute", self.source);
                    return Err(Failure::bad(what));
                }
                if !self.bind_options.create_mountpoint && !path.exists() {
                    let what = format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {}",
                        self.source
                    );
                    return Err(Failure::bad(what));
                }
                Source::Bind(path.to_owned())
            }
            "volume" => Source::Volume(self.source.clone()),
            "tmpfs" => Source::Temporary,
            other => return Err(Failure::bad(format!("mounts of the type {other:?} cannot be had"))),
        };
        Ok(Mount { source, target: self.target.clone(), read_only: self.read_only })
    }
}

/// The mounts of another container: `NAME[:ro]`.
fn mounts_of(text: &str, config: &mut Config, containers: &Containers) -> Result<(), Failure> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    for mount in containers.find(name)?.config()?.mounts {
        if !config.mounts.iter().any(|known| known.target == mount.target) {
            config.mounts.push(Mount { read_only: mount.read_only || mode == "ro", ..mount });
        }
    }
    Ok(())
}

/// The bindings of one port: `80/tcp`.
fn ports(guest: &str, bindings: &[PortBinding], all: &mut Vec<Port>) -> Result<(), Failure> {
    let (number, protocol) = guest.split_once('/').unwrap_or((guest, "tcp"));
    let wrong = |text: &str| Failure::bad(format!("invalid port specification: '{text}'"));
    let guest_port: u16 = number.parse().map_err(|_| wrong(guest))?;
    let udp = match protocol {
        "tcp" => false,
        "udp" => true,
        _ => return Err(Failure::bad(format!("{guest}: only TCP and UDP can be published"))),
    };
    for binding in bindings {
        let host_address = match binding.host_ip.as_str() {
            "" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            address => address.parse().map_err(|_| wrong(address))?,
        };
        let host_port = match binding.host_port.as_str() {
            "" => 0,
            port => port.parse().map_err(|_| wrong(port))?,
        };
        all.push(Port { host_address, host_port, guest_port, udp });
    }
    Ok(())
}

impl RestartPolicy {
    pub fn as_restart(&self) -> Result<Restart, Failure> {
        match self.name.as_str() {
            "" | "no" => Ok(Restart::No),
            "always" => Ok(Restart::Always),
            "unless-stopped" => Ok(Restart::UnlessStopped),
            "on-failure" => Ok(Restart::OnFailure(self.maximum_retry_count)),
            other => Err(Failure::bad(format!("invalid restart policy: unknown policy '{other}'"))),
        }
    }
}

impl LogConfig {
    fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        if !matches!(self.kind.as_str(), "" | "json-file" | "local") {
            let what = format!("the log driver {} cannot be had; logs are kept as json-file does", self.kind);
            return Err(Failure::bad(what));
        }
        for (name, value) in &self.config {
            let wrong = || Failure::bad(format!("invalid log option {name}={value}"));
            match name.as_str() {
                "max-size" => config.log_max_bytes = Some(size(value).ok_or_else(wrong)?),
                "max-file" => {
                    config.log_files = Some(value.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?);
                }
                "compress" | "mode" | "labels" | "env" | "tag" | "max-buffer-size" => {}
                _ => return Err(wrong()),
            }
        }
        Ok(())
    }
}

/// `10m`: in steps of 1024, as Docker's logs have it.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let text = text.trim_end_matches('b');
    let (number, factor) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn binds() {
        for (text, source, target, read_only) in [
            ("/a:/b", Source::Bind("/a".into()), "/b", false),
            ("/a:/b:ro,z", Source::Bind("/a".into()), "/b", true),
            ("data:/b:rw", Source::Volume("data".into()), "/b", false),
            ("/b", Source::Volume(String::new()), "/b", false),
        ] {
            let mount = Mount { source, target: target.to_owned(), read_only };
            assert_eq!(bind(text).unwrap(), mount, "{text}");
        }
        for text in ["", "./a:/b", "a:b:c:d", "/a:"] {
            assert!(bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_would_be_missed_is_refused() {
        for (name, value) in [
            ("Privileged", json!(true)),
            ("CapAdd", json!(["NET_ADMIN"])),
            ("Devices", json!([{}])),
            ("PidMode", json!("host")),
            ("IpcMode", json!("container:a")),
        ] {
            let failure = judge(&json!({ name: value }), &mut Vec::new()).unwrap_err();
            assert!(failure.message.contains(name), "{}", failure.message);
        }
        let mut warnings = Vec::new();
        let defaults = json!({
            "Privileged": false, "CapAdd": null, "Devices": [], "PidMode": "", "IpcMode": "private", "ShmSize": 0,
            "PidsLimit": -1, "OomKillDisable": false, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
        });
        judge(&defaults, &mut warnings).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        judge(&json!({ "Dns": ["1.1.1.1"], "ShmSize": 5 }), &mut warnings).unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn log_sizes() {
        for (text, bytes) in [("10m", Some(10 << 20)), ("1KB", Some(1024)), ("7", Some(7)), ("x", None)] {
            assert_eq!(size(text), bytes, "{text}");
        }
        assert_eq!((size(""), size("99999999999999999999g")), (None, None));
    }
}
