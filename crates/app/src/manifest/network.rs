//! Where a guest may connect: the text forms of grants, and Spin's `allowed_outbound_hosts`.

use super::findings::{Findings, Span, quoted};
use super::tree::Text;
use super::variables::Variables;
use crate::{Grants, HostPattern, NetRule, Origin, PortPattern};

/// Services that a guest reaches by host calls, and their ports.
const SERVICES: [(&str, u16); 4] = [("postgres", 5432), ("mysql", 3306), ("redis", 6379), ("mqtt", 1883)];

const SERVICE_HELP: &str = "write SCHEME://HOST[:PORT] with the scheme postgres, mysql, redis or mqtt, such as \
    \"postgres://db.internal\"";

/// `grant.services`: `postgres://db.internal`, `redis://*:6379`.
pub(super) fn service(text: Text<'_>, variables: &Variables, f: &mut Findings) -> Option<Origin> {
    let expanded = variables.expand_public(text, f)?;
    let parsed = parse_service(&expanded.text);
    if parsed.is_none() {
        // The manifest's own text, never what its variables made of it.
        f.error_help(text.span, format!("{} is not a service", quoted(text.text)), SERVICE_HELP);
    }
    parsed
}

fn parse_service(text: &str) -> Option<Origin> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "postgresql" => "postgres".to_owned(),
        "rediss" => "redis".to_owned(),
        "mariadb" => "mysql".to_owned(),
        other => other.to_owned(),
    };
    let default = match scheme.as_str() {
        "*" => PortPattern::Any,
        name => PortPattern::One(SERVICES.iter().find(|(one, _)| *one == name)?.1),
    };
    let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest));
    let host = host.parse::<HostPattern>().ok()?;
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => default,
    };
    Some(Origin { scheme: (scheme != "*").then_some(scheme), host, port })
}

/// Splits at the last `:` that is not inside brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// `grant.http`: an origin.
pub(super) fn origin(text: Text<'_>, variables: &Variables, f: &mut Findings) -> Option<Origin> {
    let expanded = variables.expand_public(text, f)?;
    match expanded.text.parse() {
        Ok(origin) => Some(origin),
        Err(_) => {
            f.error_help(
                text.span,
                format!("{} is not an HTTP origin", quoted(text.text)),
                "write SCHEME://HOST[:PORT], such as \"https://api.example.com\" or \"http://127.0.0.1:3500\"",
            );
            None
        }
    }
}

/// `grant.tcp` and `grant.udp`.
pub(super) fn net_rule(text: Text<'_>, variables: &Variables, f: &mut Findings) -> Option<NetRule> {
    let expanded = variables.expand_public(text, f)?;
    match expanded.text.parse() {
        Ok(rule) => Some(rule),
        Err(_) => {
            f.error_help(
                text.span,
                format!("{} is not a network destination", quoted(text.text)),
                "write HOST:PORT, such as \"db.internal:5432\", \"*.example.com:443\" or \"10.0.0.0/8:*\"",
            );
            None
        }
    }
}

/// One entry of Spin's `allowed_outbound_hosts`, as
/// <https://spinframework.dev/v3/http-outbound#granting-http-permissions-to-components> defines it.
struct SpinHost {
    /// `None` is `*`.
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

/// Adds what an entry of `allowed_outbound_hosts` grants.
pub(super) fn spin_host(text: Text<'_>, variables: &Variables, grants: &mut Grants, f: &mut Findings) {
    let Some(expanded) = variables.expand_public(text, f) else { return };
    // A template that is empty grants nothing.
    if expanded.template && expanded.text.trim().is_empty() {
        return;
    }
    match parse_spin_host(&expanded.text) {
        Ok(host) => {
            warn_if_any(&host.host, text.span, f);
            grant(&host, text, grants, f);
        }
        Err(help) => {
            f.error_help(text.span, format!("{} is not an allowed outbound host", quoted(text.text)), help)
        }
    }
}

fn parse_spin_host(text: &str) -> Result<SpinHost, &'static str> {
    let text = text.trim();
    if text == "insecure:allow-all" {
        return Err("`insecure:allow-all` belongs to `allowed_http_hosts`; here write \"*://*:*\"");
    }
    let (scheme, rest) = text.split_once("://").ok_or(
        "write SCHEME://HOST[:PORT], such as \"https://api.example.com\" or \"postgres://localhost:5432\"",
    )?;
    if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(char::is_alphabetic)) {
        return Err("the scheme is letters, or `*`");
    }
    let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest));
    let (host, port) = (host.trim(), port.filter(|port| !port.is_empty()));
    let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
    let port = match port {
        Some(port) => spin_port(port).ok_or(
            "a port is a number, `*`, or a range such as 8000..8010, which does not contain its end",
        )?,
        None if host == "self" || host == "self.alt" => PortPattern::Any,
        None => default_port(scheme.as_deref())
            .ok_or("this scheme has no port of its own: write one, such as `:443` or `:*`")?,
    };
    let host = match host {
        "self" | "self.alt" => HostPattern::Name("self".to_owned()),
        host => host.parse().map_err(|()| {
            "the host is a name, `*`, `*.NAME`, an address or a network such as 10.0.0.0/8, without a path"
        })?,
    };
    Ok(SpinHost { scheme, host, port })
}

fn default_port(scheme: Option<&str>) -> Option<PortPattern> {
    let port = match scheme? {
        "http" => 80,
        "https" => 443,
        other => SERVICES.iter().find(|(name, _)| *name == other)?.1,
    };
    Some(PortPattern::One(port))
}

/// A range `a..b` does not contain `b`.
fn spin_port(text: &str) -> Option<PortPattern> {
    match text.split_once("..") {
        Some((low, high)) => {
            let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
            (low < high).then(|| PortPattern::Range(low, high - 1))
        }
        None if text == "*" => Some(PortPattern::Any),
        None => text.parse().ok().map(PortPattern::One),
    }
}

/// Spreads a host over the kinds of grants that its scheme means: `*` means all.
fn grant(host: &SpinHost, text: Text<'_>, grants: &mut Grants, f: &mut Findings) {
    let SpinHost { scheme, host, port } = host;
    let origin = || Origin { scheme: scheme.clone(), host: host.clone(), port: *port };
    let rule = || NetRule { host: host.clone(), port: *port };
    match scheme.as_deref() {
        None => {
            grants.http.push(origin());
            grants.services.push(origin());
            grants.tcp.push(rule());
            grants.udp.push(rule());
        }
        Some("http" | "https") => grants.http.push(origin()),
        Some("tcp") => grants.tcp.push(rule()),
        Some("udp") => grants.udp.push(rule()),
        Some(other) if SERVICES.iter().any(|(name, _)| *name == other) => grants.services.push(origin()),
        Some(other) => f.warn(
            text.span,
            format!("nothing uses the scheme {}, so this grants nothing", quoted(other)),
            "schemes are http, https, postgres, mysql, redis, mqtt, tcp, udp and `*`",
        ),
    }
}

/// Our `*` does not reach private space, and Spin's does.
fn warn_if_any(host: &HostPattern, span: Span, f: &mut Findings) {
    if *host == HostPattern::Any {
        f.warn(
            span,
            "`*` reaches public addresses only, not this machine and no private network",
            "write such hosts out, too: \"http://127.0.0.1:PORT\", \"http://db.internal:8080\" or a network such \
             as \"*://10.0.0.0/8:*\"",
        );
    }
}

/// `allowed_http_hosts` of version 1: `example.com`, `example.com:8080`, `self`, `insecure:allow-all`.
pub(super) fn spin_http_host(text: Text<'_>, variables: &Variables, grants: &mut Grants, f: &mut Findings) {
    let any = |scheme: &str| Origin {
        scheme: Some(scheme.to_owned()),
        host: HostPattern::Any,
        port: PortPattern::Any,
    };
    if text.text == "insecure:allow-all" {
        grants.http.extend([any("http"), any("https")]);
        warn_if_any(&HostPattern::Any, text.span, f);
        return;
    }
    let Some(expanded) = variables.expand_public(text, f) else { return };
    let host = expanded.text.trim();
    let host = host.strip_prefix("http://").or_else(|| host.strip_prefix("https://")).unwrap_or(host);
    let host = host.strip_suffix('/').unwrap_or(host);
    if host == "self" {
        let name = HostPattern::Name("self".to_owned());
        grants.http.push(Origin { scheme: Some("http".to_owned()), host: name, port: PortPattern::Any });
        return;
    }
    let origins = ["http", "https"].map(|scheme| format!("{scheme}://{host}").parse::<Origin>());
    match origins {
        [Ok(http), Ok(https)] if !host.is_empty() => grants.http.extend([http, https]),
        _ => f.error_help(
            text.span,
            format!("{} is not an HTTP host", quoted(text.text)),
            "write a host, or a host and a port, such as \"api.example.com\" or \"localhost:3000\"",
        ),
    }
}

/// Loopback and the networks that organisations number for themselves (RFC 1918, RFC 4193).
const PRIVATE: [&str; 6] =
    ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// What a component of version 1 may reach where it does not say: every database, those of this machine and
/// its networks too, where such apps have them.
pub(super) fn open_databases(grants: &mut Grants) {
    let networks = PRIVATE.iter().filter_map(|text| text.parse().ok());
    let hosts: Vec<HostPattern> = std::iter::once(HostPattern::Any).chain(networks).collect();
    for scheme in ["redis", "mysql", "postgres"] {
        grants.services.extend(hosts.iter().map(|host| Origin {
            scheme: Some(scheme.to_owned()),
            host: host.clone(),
            port: PortPattern::Any,
        }));
    }
}
