//! The tables within `[upstream.NAME]`.

use super::upstream::fixed_host;
use crate::manifest::Source;
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::names::is_header_value;
use crate::manifest::tree::{Table, Text, Value};
use crate::{
    HealthCheck, KeepAlive, Outlier, Retry, RetryOn, Tls, UpstreamLimits, UpstreamTimeouts, UpstreamTls,
};

/// More attempts than this make an outage worse.
const ATTEMPTS_MAX: u32 = 10;
const ON_HELP: &str = "write some of \"connect\", \"reset\", \"timeout\" and statuses such as \"503\"";

pub(super) fn tls(mut table: Table<'_>, source: &Source<'_>, f: &mut Findings) -> UpstreamTls {
    let mut path =
        |key, f: &mut Findings| table.string(key, f).map(|text| (source.root.join(text.text), text));
    let (ca, cert, key) = (path("ca", f), path("cert", f), path("key", f));
    let insecure = table.get("insecure");
    let tls = UpstreamTls {
        ca: ca.map(|(path, _)| path),
        server_name: table.string("server_name", f).map(|text| text.text.to_owned()),
        insecure: insecure.as_ref().and_then(|value| value.boolean(f)).unwrap_or(false),
        client: match (cert, key) {
            (Some((cert, _)), Some((key, _))) => Some(Tls { cert, key }),
            (None, None) => None,
            (Some((_, text)), None) | (None, Some((_, text))) => {
                let help = "name both: `cert` is our certificate, `key` its key";
                f.error_help(text.span, "`cert` and `key` belong together", help);
                None
            }
        },
    };
    if let (Some(value), true, Some(_)) = (insecure, tls.insecure, &tls.ca) {
        f.error_help(value.key, "with `insecure` the `ca` is not looked at", "remove one of them");
    }
    table.finish(f);
    tls
}

pub(super) fn health(value: &Value<'_>, f: &mut Findings) -> Option<HealthCheck> {
    let mut table = match value.as_str() {
        Some(text) => return health_path(Text { text, span: value.span }, f).map(HealthCheck::new),
        None => value.table(f)?,
    };
    let path = table.require("path", f, "add `path = \"/healthz\"`").and_then(|value| value.string(f));
    let path = path.and_then(|text| health_path(text, f));
    let mut health = HealthCheck::new(path.unwrap_or_default());
    health.interval = table.duration("interval", f).unwrap_or(health.interval);
    health.timeout = table.duration("timeout", f).unwrap_or(health.timeout);
    health.healthy = table.number_u32("healthy", 1, 100, f).unwrap_or(health.healthy);
    health.unhealthy = table.number_u32("unhealthy", 1, 100, f).unwrap_or(health.unhealthy);
    if let Some(value) = table.get("status") {
        health.status = statuses(&value, f);
    }
    health.host = table.string("host", f).and_then(|text| fixed_host(text, f));
    table.finish(f);
    Some(health)
}

fn health_path(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let good =
        text.text.starts_with('/') && is_header_value(text.text) && !text.text.contains([' ', '#', '\t']);
    if !good {
        f.error_help(text.span, format!("{} is not a path", quoted(text.text)), "write \"/healthz\"");
    }
    good.then(|| text.text.to_owned())
}

/// `200`, `"200-299"`, or a list of these.
fn statuses(value: &Value<'_>, f: &mut Findings) -> Vec<(u16, u16)> {
    let items = if value.is_list() { value.as_items() } else { vec![value.clone()] };
    let ranges = items.iter().filter_map(|item| {
        let range = match (item.as_integer(), item.as_str()) {
            (Some(number), _) => u16::try_from(number).ok().map(|number| (number, number)),
            (_, Some(text)) => {
                let (low, high) = text.split_once('-').unwrap_or((text, text));
                low.trim().parse().ok().zip(high.trim().parse().ok())
            }
            _ => None,
        };
        let range = range.filter(|(low, high)| 200 <= *low && low <= high && *high <= 599);
        if range.is_none() {
            f.error_help(
                item.span,
                "this is no status of a server that is well",
                "write statuses from 200 to 599: 200, \"200-299\", or a list of these",
            );
        }
        range
    });
    ranges.collect()
}

/// `false` switches it off.
pub(super) fn outlier(table: &mut Table<'_>, f: &mut Findings) -> Option<Outlier> {
    let mut outlier = Outlier::default();
    let Some(value) = table.get("outlier") else { return Some(outlier) };
    if !value.is_table() {
        return match value.boolean(f) {
            Some(false) => None,
            _ => Some(outlier),
        };
    }
    let mut table = value.table(f)?;
    outlier.failures = streak(&mut table, "failures", outlier.failures, f);
    outlier.errors = streak(&mut table, "errors", outlier.errors, f);
    outlier.unreachable = streak(&mut table, "unreachable", outlier.unreachable, f);
    outlier.eject = table.duration("eject", f).unwrap_or(outlier.eject);
    outlier.eject_max = table.duration("eject_max", f).unwrap_or(outlier.eject_max.max(outlier.eject));
    if let Some(value) = table.get("most") {
        outlier.most_percent = percent(&value, "50%", f).unwrap_or(outlier.most_percent);
    }
    table.finish(f);
    Some(outlier)
}

/// A number, or `false` for what does not count.
fn streak(table: &mut Table<'_>, key: &'static str, default: Option<u32>, f: &mut Findings) -> Option<u32> {
    let Some(value) = table.get(key) else { return default };
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=10_000).contains(number));
    if number.is_none() && value.as_boolean() != Some(false) {
        f.error(value.span, format!("`{}` must be a whole number from 1 to 10000, or false", value.path));
    }
    number
}

pub(super) fn retry(mut table: Table<'_>, f: &mut Findings) -> Retry {
    let mut retry = Retry::default();
    retry.attempts = table.number_u32("attempts", 1, ATTEMPTS_MAX, f).unwrap_or(retry.attempts);
    if let Some(value) = table.get("on") {
        retry.on = value.items("a list of reasons", f).iter().filter_map(|item| retry_on(item, f)).collect();
    }
    if let Some(value) = table.get("budget") {
        retry.budget_percent = percent(&value, "20%", f).unwrap_or(retry.budget_percent);
    }
    retry.timeout = table.duration("timeout", f);
    table.finish(f);
    retry
}

fn retry_on(item: &Value<'_>, f: &mut Findings) -> Option<RetryOn> {
    let number = item.as_integer().or_else(|| item.as_str()?.parse().ok());
    let on = match (item.as_str(), number) {
        (Some("connect"), _) => Some(RetryOn::Connect),
        (Some("reset"), _) => Some(RetryOn::Reset),
        (Some("timeout"), _) => Some(RetryOn::Timeout),
        (_, Some(status @ 400..=599)) => Some(RetryOn::Status(status as u16)),
        _ => None,
    };
    if on.is_none() {
        f.error_help(item.span, "this is no reason to ask again", ON_HELP);
    }
    on
}

/// `"20%"`.
fn percent(value: &Value<'_>, such_as: &str, f: &mut Findings) -> Option<u32> {
    let text = value.typed_string("a share such as \"20%\"", f)?;
    let percent = text.text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    let percent = percent.filter(|percent| *percent <= 100);
    if percent.is_none() {
        f.error_help(
            text.span,
            format!("{} is not a share", quoted(text.text)),
            format!("write \"{such_as}\""),
        );
    }
    percent
}

pub(super) fn timeouts(mut table: Table<'_>, f: &mut Findings) -> UpstreamTimeouts {
    let default = UpstreamTimeouts::default();
    let mut time = |key, f: &mut Findings| table.duration(key, f);
    let timeouts = UpstreamTimeouts {
        connect: time("connect", f).unwrap_or(default.connect),
        first_byte: time("first_byte", f).unwrap_or(default.first_byte),
        idle: time("idle", f).unwrap_or(default.idle),
        total: time("total", f),
        tunnel: time("tunnel", f).unwrap_or(default.tunnel),
    };
    table.finish(f);
    timeouts
}

pub(super) fn limits(mut table: Table<'_>, f: &mut Findings) -> UpstreamLimits {
    let default = UpstreamLimits::default();
    let mut number = |key, low, f: &mut Findings| table.number_u32(key, low, 1_000_000, f);
    let (connections, requests, queue) =
        (number("connections", 1, f), number("requests", 1, f), number("queue", 0, f));
    let connections = connections.unwrap_or(default.connections);
    let limits = UpstreamLimits {
        connections,
        // Whoever allows more connections wants more requests.
        requests: requests.unwrap_or(default.requests.max(connections)),
        queue: queue.unwrap_or(default.queue),
        queue_time: table.duration("queue_time", f).unwrap_or(default.queue_time),
    };
    table.finish(f);
    limits
}

pub(super) fn keep_alive(mut table: Table<'_>, f: &mut Findings) -> KeepAlive {
    let default = KeepAlive::default();
    let keep_alive = KeepAlive {
        connections: table.number_u32("connections", 0, 10_000, f).unwrap_or(default.connections),
        idle: table.duration("idle", f).unwrap_or(default.idle),
        requests: table.number_u32("requests", 1, u32::MAX, f),
    };
    table.finish(f);
    keep_alive
}
