//! What an OCI runtime spec says of a guest, in our own words.

use super::wrong;
use crate::fail::Fail;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use sampan_app::{Grants, Limits, Mount, NetRule, Origin, PortMap, Protocol, parse_duration, parse_size};
use sampan_containers::annotations as name;
use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Where nobody says otherwise, an image's HTTP is here, as Spin's shim has it.
const PORT: u16 = 80;

pub struct Words {
    pub args: Vec<String>,
    pub workdir: String,
    pub grants: Grants,
    pub limits: Limits,
    pub serving: Serving,
}

/// Where and how requests come in, if they do.
pub struct Serving {
    pub kind: Option<String>,
    pub args: Vec<String>,
    pub workdir: String,
    /// Whether somebody expects it to be reached.
    pub wanted: bool,
    /// Whether somebody said where; else it is a guess.
    pub said: bool,
    pub listen: Vec<SocketAddr>,
}

impl Words {
    pub fn of(spec: &Spec) -> Result<Self, Fail> {
        let none = HashMap::new();
        let said = spec.annotations().as_ref().unwrap_or(&none);
        let process = spec.process().as_ref().ok_or_else(|| wrong("its spec names no process"))?;
        let args = process.args().clone().unwrap_or_default();
        let workdir = process.cwd().display().to_string();
        let ports: Option<Vec<PortMap>> = said.get(name::PORTS).map(|text| parsed(text)).transpose()?;
        let exposed = match (said.get(name::EXPOSED), said.get(name::KUBERNETES_PORTS)) {
            (Some(text), _) => exposed(text)?,
            (None, Some(json)) => declared(json)?,
            (None, None) => Vec::new(),
        };
        let listen = listen(ports.as_deref(), &exposed);
        // A port that is exposed and not published cannot be reached, but in a network of the container's own.
        let wanted = ports.as_ref().map_or(!exposed.is_empty(), |ports| !ports.is_empty());
        // Who gave the container a network of its own has said what may be reached in it, unless annotations say less.
        let own_network = ports.is_none() && has_network(spec);
        let rules = |name: &str, all: &'static str| match said.get(name) {
            Some(text) => text.as_str(),
            None if own_network => all,
            None => "",
        };
        let serving = Serving {
            kind: said.get(name::KIND).cloned(),
            args: args.clone(),
            workdir: workdir.clone(),
            wanted,
            said: ports.is_some() || !exposed.is_empty(),
            listen,
        };
        let env = process.env().iter().flatten();
        let env =
            env.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into()));
        let grants = Grants {
            mounts: mounts(spec),
            env: env.collect(),
            ports: ports.unwrap_or_default(),
            own_network,
            tcp: parsed::<NetRule>(rules(name::ALLOW_TCP, "*:*"))?,
            udp: parsed::<NetRule>(rules(name::ALLOW_UDP, "*:*"))?,
            http: parsed::<Origin>(rules(name::ALLOW_HTTP, "*"))?,
            ..Grants::default()
        };
        Ok(Words { args, workdir, grants, limits: limits(spec, said)?, serving })
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<Vec<T>, Fail> {
    name::list(text).map(|part| part.parse().map_err(wrong)).collect()
}

/// Numbers of TCP ports, of `8080/tcp`.
fn exposed(text: &str) -> Result<Vec<u16>, Fail> {
    let tcp = name::list(text).filter(|port| !port.ends_with("/udp"));
    tcp.map(|port| {
        let number = port.strip_suffix("/tcp").unwrap_or(port);
        number.parse().map_err(|_| wrong(format!("`{port}` is no port")))
    })
    .collect()
}

/// The TCP ports that a pod's container declares.
fn declared(json: &str) -> Result<Vec<u16>, Fail> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Declared {
        container_port: u16,
        protocol: Option<String>,
    }
    let all: Vec<Declared> = serde_json::from_str(json).map_err(wrong)?;
    let tcp = all.into_iter().filter(|one| one.protocol.as_deref().is_none_or(|name| name == "TCP"));
    Ok(tcp.map(|one| one.container_port).collect())
}

/// Where HTTP is served: at the addresses that the port is published at, or, where the container has a network of its
/// own, at the port itself.
fn listen(ports: Option<&[PortMap]>, exposed: &[u16]) -> Vec<SocketAddr> {
    let Some(ports) = ports else {
        let port = exposed.first().copied().unwrap_or(PORT);
        return vec![(IpAddr::from(Ipv4Addr::UNSPECIFIED), port).into()];
    };
    let tcp = || ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    // The first that is published, of those that the image exposes if it does.
    let main = tcp().find(|port| exposed.contains(&port.guest_port)).or_else(|| tcp().next());
    let Some(main) = main else {
        // Nobody asked to reach it; what it does beside that, it does.
        return vec![(IpAddr::from(Ipv4Addr::LOCALHOST), 0).into()];
    };
    let same = tcp().filter(|port| port.guest_port == main.guest_port);
    same.map(|port| SocketAddr::from((port.host_address, port.host_port))).collect()
}

/// Whether the container has a network namespace: a pod's, or a new one.
fn has_network(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|one| one.typ() == LinuxNamespaceType::Network)
}

/// Folders and files of the host. What else a container of Linux has mounted (`/proc`, `/dev`), a guest does not see.
pub fn mounts(spec: &Spec) -> Vec<Mount> {
    let all = spec.mounts().iter().flatten();
    all.filter_map(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        let is_bind = mount.typ().as_deref() == Some("bind")
            || options.iter().any(|option| option == "bind" || option == "rbind");
        let host = mount.source().clone().filter(|_| is_bind)?;
        let guest = mount.destination().to_string_lossy().into_owned();
        Some(Mount { host, guest, read_only: options.iter().any(|option| option == "ro") })
    })
    .collect()
}

fn limits(spec: &Spec, said: &HashMap<String, String>) -> Result<Limits, Fail> {
    let of_kernel = || {
        let resources = spec.linux().as_ref()?.resources().as_ref()?;
        let limit = resources.memory().as_ref()?.limit()?;
        u64::try_from(limit).ok().filter(|limit| *limit > 0)
    };
    let memory_bytes = match said.get(name::MEMORY) {
        Some(text) => Some(parse_size(text).map_err(wrong)?),
        None => of_kernel(),
    };
    let timeout = said.get(name::TIMEOUT).map(|text| parse_duration(text)).transpose().map_err(wrong)?;
    let fuel = said.get(name::FUEL).map(|text| text.parse()).transpose();
    let fuel = fuel.map_err(|_| wrong("its fuel is no number"))?;
    Ok(Limits { memory_bytes, timeout, fuel, ..Limits::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(ports: Option<&str>, exposed_ports: &str) -> Vec<String> {
        let ports: Option<Vec<PortMap>> = ports.map(|text| parsed(text).unwrap());
        let exposed = exposed(exposed_ports).unwrap();
        listen(ports.as_deref(), &exposed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_pod_declares() {
        let json = r#"[{"containerPort":53,"protocol":"UDP"},{"name":"main","containerPort":8080,"protocol":"TCP"},
            {"containerPort":9000}]"#;
        assert_eq!(declared(json).unwrap(), [8080, 9000]);
        assert!(declared("8080").is_err());
    }

    #[test]
    fn where_requests_come_in() {
        assert_eq!(served(None, ""), ["0.0.0.0:80"]);
        assert_eq!(served(None, "53/udp,8080/tcp,9000"), ["0.0.0.0:8080"]);
        assert_eq!(served(Some(""), "8080/tcp"), ["127.0.0.1:0"]);
        assert_eq!(served(Some("127.0.0.1:8083:8080"), ""), ["127.0.0.1:8083"]);
        let both = served(Some("1:1,8083:8080,[::1]:8084:8080"), "8080/tcp");
        assert_eq!(both, ["0.0.0.0:8083", "[::1]:8084"]);
    }
}
