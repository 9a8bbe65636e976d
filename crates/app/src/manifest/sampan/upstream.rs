//! `[upstream.NAME]`.

use super::upstream_parts::{health, keep_alive, limits, outlier, retry, timeouts, tls};
use crate::manifest::Source;
use crate::manifest::findings::{Findings, nearest, quoted};
use crate::manifest::names::{self, is_token};
use crate::manifest::tree::{Table, Text, Value};
use crate::manifest::variables::Variables;
use crate::{App, Balance, Forwarded, HashKey, HostHeader, Upstream, UpstreamProtocol, UpstreamServer};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// More are no upstream but a mistake.
const SERVERS_MAX: usize = 1000;
const WEIGHT_MAX: u32 = 1000;
const SERVERS_HELP: &str = "write servers such as \"127.0.0.1:9001\", \"https://api.example.com\" or \
    { address = \"10.0.0.1:80\", weight = 2 }";
const HASH_HELP: &str = "write \"header:x-user\", \"cookie:NAME\", \"source-ip\" or \"path\"";

/// All of `upstream`, in the order of the file.
pub(super) fn read_all(
    table: Option<Table<'_>>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) {
    for (name, value) in table.map(Table::into_entries).unwrap_or_default() {
        let Some(table) = value.table(f) else { continue };
        if names::check(name, "an upstream", f) {
            let upstream = read(name.text, table, source, variables, f);
            app.upstreams.insert(name.text.to_owned(), upstream);
        }
    }
}

fn read(
    name: &str,
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    f: &mut Findings,
) -> Upstream {
    let mut upstream = Upstream { name: name.to_owned(), ..Upstream::default() };
    let tls_table = table.table("tls", f);
    let secure = tls_table.is_some();
    upstream.tls = tls_table.map(|table| tls(table, source, f)).unwrap_or_default();
    let span = table.span;
    if let Some(value) = table.require("servers", f, SERVERS_HELP) {
        upstream.servers = servers(&value, secure, variables, f);
    }
    if secure && !upstream.servers.is_empty() && upstream.servers.iter().all(|one| !one.tls) {
        f.error_help(span, "there is `tls`, and no server speaks it", "write https:// before a server");
    }
    upstream.balance = balance(&mut table, f);
    upstream.protocol = choice(
        &mut table,
        "protocol",
        &[("http1", UpstreamProtocol::Http1), ("h2", UpstreamProtocol::H2), ("auto", UpstreamProtocol::Auto)],
        f,
    )
    .unwrap_or_default();
    upstream.health = table.get("health").and_then(|value| health(&value, f));
    upstream.outlier = outlier(&mut table, f);
    if let Some(table) = table.table("retry", f) {
        upstream.retry = retry(table, f);
    }
    if let Some(table) = table.table("timeouts", f) {
        upstream.timeouts = timeouts(table, f);
    }
    if let Some(table) = table.table("limits", f) {
        upstream.limits = limits(table, f);
    }
    if let Some(table) = table.table("keep_alive", f) {
        upstream.keep_alive = keep_alive(table, f);
    }
    upstream.dns = table.duration("dns", f).unwrap_or(upstream.dns);
    upstream.host = host(&mut table, f);
    upstream.trust_forwarded =
        table.string_or_list("trust_forwarded", f).into_iter().filter_map(|text| network(text, f)).collect();
    upstream.forwarded = choice(
        &mut table,
        "forwarded",
        &[
            ("x-forwarded", Forwarded::X),
            ("forwarded", Forwarded::Standard),
            ("both", Forwarded::Both),
            ("off", Forwarded::Off),
        ],
        f,
    )
    .unwrap_or_default();
    upstream.via = table.boolean("via", f).unwrap_or(false);
    table.finish(f);
    upstream
}

/// One of some words.
pub(super) fn choice<T: Copy>(
    table: &mut Table<'_>,
    key: &'static str,
    choices: &[(&str, T)],
    f: &mut Findings,
) -> Option<T> {
    let text = table.string(key, f)?;
    let found = choices.iter().find(|(word, _)| *word == text.text);
    if found.is_none() {
        let help = match nearest(text.text, choices.iter().map(|(word, _)| *word)) {
            Some(one) => format!("did you mean \"{one}\"?"),
            None => {
                let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                format!("write one of {}", words.join(", "))
            }
        };
        f.error_help(text.span, format!("there is no `{key}` {}", quoted(text.text)), help);
    }
    found.map(|(_, value)| *value)
}

fn servers(value: &Value<'_>, secure: bool, variables: &Variables, f: &mut Findings) -> Vec<UpstreamServer> {
    let items = value.items("a list of servers", f);
    if items.is_empty() && value.is_list() {
        f.error_help(value.span, "an upstream without servers answers nothing", SERVERS_HELP);
    }
    if items.len() > SERVERS_MAX {
        f.error(value.span, format!("an upstream has at most {SERVERS_MAX} servers"));
    }
    items.iter().take(SERVERS_MAX).filter_map(|item| server(item, secure, variables, f)).collect()
}

fn server(item: &Value<'_>, secure: bool, variables: &Variables, f: &mut Findings) -> Option<UpstreamServer> {
    let (text, weight) = if let Some(text) = item.as_str() {
        (Text { text, span: item.span }, 1)
    } else if let Some(mut table) = item.as_table() {
        let text = table.require("address", f, SERVERS_HELP).and_then(|value| value.string(f));
        let weight = table.number_u32("weight", 1, WEIGHT_MAX, f).unwrap_or(1);
        table.finish(f);
        (text?, weight)
    } else {
        item.wrong_type("a server: \"HOST:PORT\" or { address = \"HOST:PORT\", weight = 1 }", f);
        return None;
    };
    let expanded = variables.expand(text, f)?;
    match address(&expanded.text, secure) {
        Ok((host, port, tls)) => Some(UpstreamServer { host, port, tls, weight }),
        Err(help) => {
            // The manifest's own text, never what its variables made of it.
            f.error_help(text.span, format!("{} is not a server", quoted(text.text)), help);
            None
        }
    }
}

/// Host, port, and whether it speaks TLS.
fn address(text: &str, secure: bool) -> Result<(String, u16, bool), &'static str> {
    let (tls, default, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, Some(80), rest),
        Some(("https", rest)) => (true, Some(443), rest),
        Some(_) => return Err("a server's scheme is http or https"),
        None => (secure, None, text),
    };
    let rest = if default.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    if rest.contains('/') {
        return Err("a server has no path: a route's policy changes paths");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        Some(port) => {
            port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")?
        }
        None => default.ok_or("write HOST:PORT, or a URL such as \"http://HOST\"")?,
    };
    let host = match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
        Some(inner) => {
            let address = inner.and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            address.ok_or("between the brackets there is no IPv6 address")?.to_string()
        }
        None if host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) => {
            return Err("write an IPv6 address in brackets, such as \"[::1]:9001\"");
        }
        None => host.to_ascii_lowercase(),
    };
    if !is_host(&host) {
        return Err("the host is a name or an address, such as \"127.0.0.1:9001\" or \"db.internal:80\"");
    }
    Ok((host, port, tls))
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

fn balance(table: &mut Table<'_>, f: &mut Findings) -> Balance {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        RoundRobin,
        LeastRequest,
        RingHash,
    }
    let span = table.span;
    let kinds = [
        ("round-robin", Kind::RoundRobin),
        ("least-request", Kind::LeastRequest),
        ("ring-hash", Kind::RingHash),
    ];
    let kind = choice(table, "balance", &kinds, f);
    let hash = table.get("hash");
    if let (Some(hash), true) = (&hash, kind != Some(Kind::RingHash)) {
        f.error_help(hash.key, "`hash` belongs to ring-hash", "add `balance = \"ring-hash\"`");
    }
    match kind {
        None | Some(Kind::RoundRobin) => Balance::RoundRobin,
        Some(Kind::LeastRequest) => Balance::LeastRequest,
        Some(Kind::RingHash) => {
            let Some(hash) = hash else {
                f.error_help(span, "ring-hash has no `hash`", HASH_HELP);
                return Balance::RoundRobin;
            };
            let key = hash.string(f).and_then(|text| hash_key(text, f));
            key.map_or(Balance::RoundRobin, Balance::RingHash)
        }
    }
}

fn hash_key(text: Text<'_>, f: &mut Findings) -> Option<HashKey> {
    let (kind, name) = text.text.split_once(':').unwrap_or((text.text, ""));
    let key = match (kind, name) {
        ("source-ip", "") => Some(HashKey::SourceIp),
        ("path", "") => Some(HashKey::Path),
        ("header", name) if is_token(name) => Some(HashKey::Header(name.to_ascii_lowercase())),
        ("cookie", name) if is_token(name) => Some(HashKey::Cookie(name.to_owned())),
        _ => None,
    };
    if key.is_none() {
        f.error_help(text.span, format!("{} is no key of a ring", quoted(text.text)), HASH_HELP);
    }
    key
}

fn host(table: &mut Table<'_>, f: &mut Findings) -> HostHeader {
    let Some(text) = table.string("host", f) else { return HostHeader::default() };
    match text.text {
        "client" => HostHeader::Client,
        "server" => HostHeader::Server,
        name => {
            fixed_host(Text { text: name, span: text.span }, f).map(HostHeader::Fixed).unwrap_or_default()
        }
    }
}

/// A name with or without a port, for the header `Host`.
pub(super) fn fixed_host(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let (host, port) = match text.text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text.text, None),
    };
    let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let good = is_host(host) || literal.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    if good && port.is_none_or(|port| port.parse::<u16>().is_ok()) {
        return Some(text.text.to_owned());
    }
    f.error_help(
        text.span,
        format!("{} is no value of the header `Host`", quoted(text.text)),
        "write \"client\" (the client's own), \"server\" (the server's address), or a name such as \
         \"shop.example.com\"",
    );
    None
}

fn network(text: Text<'_>, f: &mut Findings) -> Option<IpNet> {
    let network = text.text.parse().or_else(|_| text.text.parse::<IpAddr>().map(IpNet::from));
    if network.is_err() {
        f.error_help(
            text.span,
            format!("{} is not a network", quoted(text.text)),
            "write networks or addresses of proxies, such as [\"10.0.0.0/8\", \"127.0.0.1\"]",
        );
    }
    network.ok()
}
