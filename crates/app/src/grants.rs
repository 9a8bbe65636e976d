//! Grants: what a guest may touch, and the text forms in which users write them.
//!
//! The same plain [`Grants`] value comes from flags, from a manifest and from an image, so that there is
//! one answer to the question what a guest may do.

use crate::Secret;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Everything that a guest may touch. The default grants nothing. Its `Debug` shows no value of the
/// environment: such values are often secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grants {
    pub mounts: Vec<Mount>,
    /// Environment variables, in order; a later one replaces an earlier one of the same name.
    pub env: Vec<(String, String)>,
    /// Ports on which the guest may listen, and where they appear on the host.
    pub ports: Vec<PortMap>,
    /// The network is the guest's own (a pod's): it may listen at every port of it that is not mapped otherwise.
    pub own_network: bool,
    /// Where the guest may connect by TCP.
    pub tcp: Vec<NetRule>,
    /// Where the guest may send UDP datagrams.
    pub udp: Vec<NetRule>,
    /// Where the guest may send HTTP requests.
    pub http: Vec<Origin>,
    /// Databases and message brokers that the guest may reach by an address of its own choice; the scheme is
    /// `postgres`, `mysql`, `redis` or `mqtt`.
    pub services: Vec<Origin>,
    /// Key-value stores: the guest's name for each.
    pub keyvalue: Vec<StoreGrant>,
    /// Databases: the guest's name for each.
    pub sql: Vec<StoreGrant>,
    /// Brokers of messages: the guest's name for each.
    pub messaging: Vec<StoreGrant>,
    /// What the guest may use by Dapr's API: names of components and stores, `app:ID` for apps that it may
    /// invoke, `*` for everything.
    pub dapr: Vec<String>,
    /// Variables and secrets that the guest may ask for by name.
    pub config: Vec<ConfigValue>,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grants {
            mounts,
            env,
            ports,
            own_network,
            tcp,
            udp,
            http,
            services,
            keyvalue,
            sql,
            messaging,
            dapr,
            config,
        } = self;
        let env: Vec<_> = env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Grants")
            .field("mounts", mounts)
            .field("env", &env)
            .field("ports", ports)
            .field("own_network", own_network)
            .field("tcp", tcp)
            .field("udp", udp)
            .field("http", http)
            .field("services", services)
            .field("keyvalue", keyvalue)
            .field("sql", sql)
            .field("messaging", messaging)
            .field("dapr", dapr)
            .field("config", config)
            .finish()
    }
}

/// A store of the app, under the name that the guest uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreGrant {
    pub name: String,
    /// The store's name in the app.
    pub store: String,
}

/// A variable of the configuration, with its final value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    pub name: String,
    pub value: Secret,
    /// Whether the manifest calls it a secret.
    pub secret: bool,
}

/// A host directory or file that appears in the guest: `HOST:GUEST[:ro]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub host: PathBuf,
    /// Absolute path inside the guest, or `.`.
    pub guest: String,
    pub read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// `[ADDRESS:]HOST:GUEST[/udp]`: the guest's port GUEST is the host's port HOST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMap {
    pub host_address: IpAddr,
    /// 0 lets the system choose.
    pub host_port: u16,
    pub guest_port: u16,
    pub protocol: Protocol,
}

/// A place in the network that a guest may reach: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetRule {
    pub host: HostPattern,
    pub port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`
    Any,
    /// One name, in lower case.
    Name(String),
    /// `*.example.com`: every name below it, at any depth; the text after `*.`, in lower case.
    Below(String),
    /// `*.s3.*.example.com`: a `*` inside stands for one label, one in front for any number of them; in lower
    /// case.
    Pattern(String),
    /// One address or a network.
    Network(IpNet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortPattern {
    Any,
    One(u16),
    /// Both ends included: `8000-8080`.
    Range(u16, u16),
}

/// Scheme, host and port of HTTP requests: `https://api.example.com`, `http://127.0.0.1:3500`,
/// `https://*.example.com`, `*` for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `None` allows `http` and `https`.
    pub scheme: Option<String>,
    pub host: HostPattern,
    /// Where the text has no port, the scheme's own.
    pub port: PortPattern,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseGrantError {
    #[error("`{0}` is not a mount; write HOST:GUEST or HOST:GUEST:ro, for example ./site:/site:ro")]
    Mount(String),
    #[error("`{text}`: the guest path `{guest}` must be absolute (or `.`) and may not contain `..`")]
    GuestPath { text: String, guest: String },
    #[error("`{0}` is not a variable; write NAME=VALUE")]
    Env(String),
    #[error("`{0}` is not a port mapping; write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80")]
    Port(String),
    #[error(
        "`{0}` is not a network destination; write HOST:PORT, for example db.internal:5432, *.example.com:443 or 10.0.0.0/8:*"
    )]
    Net(String),
    #[error("`{0}` is not an HTTP origin; write SCHEME://HOST[:PORT], for example https://api.example.com")]
    Origin(String),
}

impl FromStr for Mount {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGrantError::Mount(text.to_owned());
        let (rest, read_only) = match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, true),
            Some((rest, "rw")) => (rest, false),
            _ => (text, false),
        };
        let (host, guest) = rest.rsplit_once(':').ok_or_else(error)?;
        if host.is_empty() || guest.is_empty() {
            return Err(error());
        }
        let absolute = guest == "." || guest.starts_with('/');
        if !absolute || guest.split('/').any(|part| part == "..") {
            return Err(ParseGrantError::GuestPath { text: text.to_owned(), guest: guest.to_owned() });
        }
        Ok(Mount { host: host.into(), guest: tidy_guest_path(guest), read_only })
    }
}

/// Removes empty and `.` parts, so that equal paths are equal texts.
fn tidy_guest_path(guest: &str) -> String {
    if guest == "." {
        return guest.to_owned();
    }
    let parts: Vec<_> = guest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

impl FromStr for PortMap {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGrantError::Port(text.to_owned());
        let (ports, protocol) = match text.rsplit_once('/') {
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some(_) => return Err(error()),
            None => (text, Protocol::Tcp),
        };
        let (host, guest) = ports.rsplit_once(':').unwrap_or((ports, ports));
        let (address, host_port) = match host.rsplit_once(':') {
            Some((address, port)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                (address.parse().map_err(|_| error())?, port)
            }
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), host),
        };
        let guest_port: u16 = guest.parse().map_err(|_| error())?;
        let host_port: u16 = host_port.parse().map_err(|_| error())?;
        if guest_port == 0 {
            return Err(error());
        }
        Ok(PortMap { host_address: address, host_port, guest_port, protocol })
    }
}

impl FromStr for HostPattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(HostPattern::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(HostPattern::Network(address.into()));
        }
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        let is_label = |label: &str| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        };
        let inner_wildcard = name.split('.').any(|label| label == "*");
        // The last label is written out: nobody means every top-level domain by a pattern.
        let valid = name.len() <= 253
            && name.split('.').all(|label| label == "*" || is_label(label))
            && name.rsplit('.').next().is_some_and(is_label);
        match (valid, inner_wildcard, below) {
            (false, ..) => Err(()),
            (true, true, _) => Ok(HostPattern::Pattern(text)),
            (true, false, true) => Ok(HostPattern::Below(name.to_owned())),
            (true, false, false) => Ok(HostPattern::Name(text)),
        }
    }
}

impl FromStr for PortPattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "*" {
            return Ok(PortPattern::Any);
        }
        match text.split_once('-') {
            Some((low, high)) => {
                let (low, high) = (low.parse().map_err(drop)?, high.parse().map_err(drop)?);
                if low <= high { Ok(PortPattern::Range(low, high)) } else { Err(()) }
            }
            None => text.parse().map(PortPattern::One).map_err(drop),
        }
    }
}

impl PortPattern {
    pub fn matches(self, port: u16) -> bool {
        match self {
            PortPattern::Any => true,
            PortPattern::One(one) => one == port,
            PortPattern::Range(low, high) => (low..=high).contains(&port),
        }
    }
}

impl HostPattern {
    /// Whether a name, as a guest wrote it, is allowed. An address in text form counts as an address.
    pub fn matches_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return self.matches_address(address);
        }
        match self {
            HostPattern::Any => true,
            HostPattern::Name(one) => *one == name,
            HostPattern::Below(parent) => {
                name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            HostPattern::Pattern(pattern) => matches_labels(pattern, &name),
            HostPattern::Network(_) => false,
        }
    }

    /// Whether an address is allowed by itself, that is, without a name that led to it.
    /// An IPv4 address inside an IPv6 one counts as the IPv4 address.
    pub fn matches_address(&self, address: IpAddr) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Network(network) => {
                network.contains(&address.to_canonical()) || network.contains(&address)
            }
            HostPattern::Name(_) | HostPattern::Below(_) | HostPattern::Pattern(_) => false,
        }
    }
}

/// Compares label by label from the right; a `*` in front takes what is left.
fn matches_labels(pattern: &str, name: &str) -> bool {
    let mut labels = name.rsplit('.').filter(|label| !label.is_empty()).peekable();
    let mut wanted = pattern.rsplit('.').peekable();
    while let Some(want) = wanted.next() {
        let Some(label) = labels.next() else { return false };
        if want == "*" && wanted.peek().is_none() {
            return true;
        }
        if want != "*" && want != label {
            return false;
        }
    }
    labels.next().is_none()
}

impl FromStr for NetRule {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGrantError::Net(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let host = host.parse().map_err(|()| error())?;
        let port = port.parse().map_err(|()| error())?;
        Ok(NetRule { host, port })
    }
}

impl FromStr for Origin {
    type Err = ParseGrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGrantError::Origin(text.to_owned());
        if text == "*" {
            return Ok(Origin { scheme: None, host: HostPattern::Any, port: PortPattern::Any });
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => PortPattern::One(80),
            "https" => PortPattern::One(443),
            "*" => PortPattern::Any,
            _ => return Err(error()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let has_port = rest.rsplit_once(':').is_some_and(|(_, tail)| !tail.contains(']'));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if has_port => (host, port.parse().map_err(|()| error())?),
            _ => (rest, default_port),
        };
        let host = host.parse().map_err(|()| error())?;
        Ok(Origin { scheme: (scheme != "*").then_some(scheme), host, port })
    }
}

impl Origin {
    /// Whether a request to this scheme, host (name or address in text form) and port is allowed.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.scheme.as_deref().is_none_or(|one| one.eq_ignore_ascii_case(scheme))
            && self.host.matches_name(host)
            && self.port.matches(port)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` is not NAME=VALUE, NAME or a comment")]
pub struct EnvFileError {
    pub line: usize,
    pub text: String,
}

/// Parses an environment file as `docker run --env-file` does: `NAME=VALUE` a line, `#` comments, no
/// quoting; a bare `NAME` takes its value from `lookup` (the host's environment) or is left out.
pub fn parse_env_file(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, EnvFileError> {
    let mut out = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), lookup(line.trim_end())),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(EnvFileError { line: index + 1, text: raw.to_owned() });
        }
        out.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
