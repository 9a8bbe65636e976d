//! `[messaging.NAME]`: what stands behind the brokers that topics are in.

use super::stores::{check_scheme, file, has_password, read_type, read_url, reject_unused};
use crate::manifest::findings::{Findings, Span};
use crate::manifest::names;
use crate::manifest::tree::Table;
use crate::manifest::variables::Variables;
use crate::{App, MessagingBackend, MessagingStore, NatsStart, Secret};
use std::collections::BTreeMap;
use std::time::Duration;

const TYPES: [&str; 4] = ["sqlite", "redis", "nats", "memory"];
/// As Dapr's component for Redis has it.
const PROCESSING_TIMEOUT: Duration = Duration::from_secs(60);
const REDELIVER_INTERVAL: Duration = Duration::from_secs(15);
/// JetStream's own default.
const ACK_WAIT: Duration = Duration::from_secs(30);

pub(super) fn read_all(
    table: Option<Table<'_>>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> BTreeMap<String, MessagingStore> {
    let mut brokers = BTreeMap::new();
    for (name, value) in table.map(Table::into_entries).unwrap_or_default() {
        let Some(table) = value.table(f).filter(|_| names::check(name, "a broker", f)) else { continue };
        // A broker that is wrong stays declared, so that what uses it is not reported as well.
        f.hide(has_password(&table) || table.peek("token").is_some());
        let broker = read(name.text, table, app, variables, f);
        f.hide(false);
        let memory = MessagingStore { backend: MessagingBackend::Memory, lazy: false };
        brokers.insert(name.text.to_owned(), broker.unwrap_or(memory));
    }
    brokers
}

fn read(
    name: &str,
    mut table: Table<'_>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> Option<MessagingStore> {
    let span = table.span;
    let url = read_url(&mut table, variables, f);
    let path = table.string("path", f);
    let token = table.string("token", f);
    let stream = table.string("stream", f);
    let lazy = table.boolean("lazy", f).unwrap_or(false);
    let retention = table.duration("retention", f);
    let messages_max = table.number_u32("messages", 1, u32::MAX, f);
    let timeout = table.duration("processing_timeout", f);
    let by_url = |scheme: &str| match scheme {
        "redis" | "rediss" | "unix" => Some("redis"),
        "nats" | "tls" => Some("nats"),
        _ => None,
    };
    let kind = read_type(&mut table, &TYPES, url.as_ref().map(|url| &url.scheme), by_url, f);
    table.finish(f);
    let kind = kind?;
    reject_unused(kind, &["sqlite"], path.map(|text| text.span), "path", f);
    reject_unused(kind, &["nats"], token.map(|text| text.span), "token", f);
    reject_unused(kind, &["nats"], stream.map(|text| text.span), "stream", f);
    if matches!(kind, "memory" | "nats") && (retention.is_some() || messages_max.is_some()) {
        f.error(span, format!("a broker of type {kind} has no `retention` and no `messages`"));
    }
    if matches!(kind, "memory" | "sqlite") {
        reject_unused(kind, &["redis"], url.as_ref().map(|url| url.span), "url", f);
        if timeout.is_some() {
            f.error(span, format!("a broker of type {kind} has no `processing_timeout`"));
        }
        let backend = match kind {
            "memory" => MessagingBackend::Memory,
            _ => MessagingBackend::Sqlite {
                path: file(name, "messaging", path, app),
                retention: retention.unwrap_or(MessagingBackend::RETENTION),
                messages_max: messages_max.map_or(MessagingBackend::MESSAGES_MAX, u64::from),
            },
        };
        return Some(MessagingStore { backend, lazy });
    }
    let Some(url) = url else {
        report_no_url(kind, span, f);
        return None;
    };
    let backend = if kind == "redis" {
        check_scheme(&url, &["redis", "rediss", "unix"], f)?;
        MessagingBackend::Redis {
            url: url.secret,
            processing_timeout: timeout.unwrap_or(PROCESSING_TIMEOUT),
            redeliver_interval: REDELIVER_INTERVAL,
            messages_max: messages_max.map(u64::from),
            retention,
        }
    } else {
        check_scheme(&url, &["nats", "tls"], f)?;
        let token = match token {
            Some(token) => Some(Secret::new(variables.expand(token, f)?.text)),
            None => None,
        };
        MessagingBackend::Nats {
            url: url.secret,
            token,
            stream: stream.map(|text| text.text.to_owned()),
            durable: None,
            ack_wait: timeout.unwrap_or(ACK_WAIT),
            deliveries_max: None,
            back_off: Vec::new(),
            start: NatsStart::All,
            domain: None,
        }
    };
    Some(MessagingStore { backend, lazy })
}

fn report_no_url(kind: &str, span: Span, f: &mut Findings) {
    let port = if kind == "redis" { 6379 } else { 4222 };
    let message = format!("a broker of type {kind} needs a `url`");
    f.error_help(span, message, format!("add `url = \"{kind}://127.0.0.1:{port}\"`"));
}
