//! What a route does beside handing over: `cors`, `rate_limit`, `timeout`, `body_limit`, `rewrite`,
//! `rewrite_host`, `request_headers`, `response_headers`, `split_by`.

use super::grants::add_default_keyvalue;
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::names::{is_header_value, is_token};
use crate::manifest::routes;
use crate::manifest::tree::{Table, Text};
use crate::{App, Cors, HeaderEdits, OnFailure, Policy, RateKey, RateLimit, SplitBy};
use std::time::Duration;

/// What is counted over a longer time is no rate.
const PER_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Requests of a rate.
const REQUESTS_MAX: u32 = 1_000_000_000;
const EDITS_HELP: &str =
    "write { set = { NAME = \"VALUE\" }, add = { NAME = \"VALUE\" }, remove = [\"NAME\"] }";
/// They say where a message ends and who it is for, which is not a route's business.
const NOT_EDITED: [&str; 7] =
    ["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// `path` is that of the route, where it has a good one.
pub(super) fn read(table: &mut Table<'_>, path: Option<&str>, app: &mut App, f: &mut Findings) -> Policy {
    Policy {
        response_headers: edits(table, "response_headers", f),
        cors: table.table("cors", f).and_then(|table| cors(table, f)),
        rate_limit: table.table("rate_limit", f).and_then(|table| rate_limit(table, app, f)),
        body_bytes: table.size("body_limit", f),
        timeout: table.duration("timeout", f),
        rewrite: table.string("rewrite", f).and_then(|text| rewrite(text, path, f)),
        rewrite_host: table.string("rewrite_host", f).and_then(|text| rewrite_host(text, f)),
        request_headers: edits(table, "request_headers", f),
    }
}

fn rewrite(text: Text<'_>, path: Option<&str>, f: &mut Findings) -> Option<String> {
    let path = path?;
    let new = routes::normal(text.text).and_then(|new| {
        if !new.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a request's path is ASCII; write other characters as %XX".to_owned());
        }
        routes::check_substitution(&new, path).map(|()| new)
    });
    match new {
        Ok(new) => Some(new),
        Err(what) => {
            f.error_help(
                text.span,
                format!("{} cannot be the new path: {what}", quoted(text.text)),
                REWRITE_HELP,
            );
            None
        }
    }
}

const REWRITE_HELP: &str =
    "`:name` and the final `/...` stand for what they matched in `path`, such as \"/new/:id/...\"";

fn rewrite_host(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let (host, port) = match text.text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text.text, None),
    };
    let valid = |c: u8| c.is_ascii_alphanumeric() || b"-._[]:".contains(&c);
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if !host.is_empty() && host.bytes().all(valid) && port_is_good {
        return Some(text.text.to_owned());
    }
    f.error_help(
        text.span,
        format!("{} is not a host", quoted(text.text)),
        "write a name, with a port if need be, such as \"backend.example.com:8080\"",
    );
    None
}

fn edits(table: &mut Table<'_>, key: &'static str, f: &mut Findings) -> HeaderEdits {
    let Some(mut table) = table.table(key, f) else { return HeaderEdits::default() };
    if table.is_empty() {
        f.error_help(table.span, format!("`{}` changes nothing", table.path), EDITS_HELP);
    }
    let pairs = |table: &mut Table<'_>, key, f: &mut Findings| {
        let pairs = table.string_map(key, f);
        let good = pairs.into_iter().filter_map(|(name, value)| {
            let name = header_name(name, f)?;
            if !is_header_value(value.text) {
                let message = format!("{} cannot be the value of a header", quoted(value.text));
                f.error_help(value.span, message, "write visible characters of ASCII and spaces");
                return None;
            }
            Some((name, value.text.to_owned()))
        });
        good.collect::<Vec<_>>()
    };
    let (set, add) = (pairs(&mut table, "set", f), pairs(&mut table, "add", f));
    let remove = table.strings("remove", f);
    let remove = remove.into_iter().filter_map(|name| header_name(name, f)).collect();
    table.finish(f);
    HeaderEdits { remove, set, add }
}

/// In lower case.
fn header_name(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let name = text.text.to_ascii_lowercase();
    if !is_token(&name) {
        f.error_help(text.span, format!("{} is not a header", quoted(text.text)), EDITS_HELP);
        return None;
    }
    if NOT_EDITED.contains(&name.as_str()) {
        let help = match name.as_str() {
            "host" => "write `rewrite_host = \"NAME\"`",
            _ => "it belongs to the connection or to the body, and is set as they need it",
        };
        f.error_help(text.span, format!("the header `{name}` cannot be changed here"), help);
        return None;
    }
    Some(name)
}

fn cors(mut table: Table<'_>, f: &mut Findings) -> Option<Cors> {
    let help = "add `origins = [\"https://shop.example.com\"]`, or [\"*\"] for all";
    let span = table.require("origins", f, help)?.span;
    let texts = table.string_or_list("origins", f);
    if texts.is_empty() && !f.has_errors() {
        f.error_help(span, "`origins` is empty, so no page could use the route", help);
    }
    let origins = texts.iter().filter_map(|text| origin(*text, f)).collect::<Vec<_>>();
    let tokens = |table: &mut Table<'_>, key, f: &mut Findings| {
        let texts = table.string_or_list(key, f);
        let good = texts.into_iter().filter(|text| {
            if !is_token(text.text) {
                let message = format!("{} does not belong into `{key}`", quoted(text.text));
                f.error_help(text.span, message, "write names, or \"*\" for all");
            }
            is_token(text.text)
        });
        good.map(|text| text.text.to_owned()).collect::<Vec<_>>()
    };
    let mut methods = tokens(&mut table, "methods", f);
    methods.iter_mut().for_each(|method| method.make_ascii_uppercase());
    if methods.is_empty() {
        methods = ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
    }
    let mut headers = tokens(&mut table, "headers", f);
    headers.iter_mut().for_each(|header| header.make_ascii_lowercase());
    let expose = tokens(&mut table, "expose", f);
    let credentials = table.boolean("credentials", f).unwrap_or(false);
    let max_age = table.duration("max_age", f);
    if credentials && origins.iter().any(|origin| origin == "*") {
        f.error_help(
            span,
            "every page of the world could act as the user",
            "name the origins that may use `credentials`, or remove it",
        );
    }
    if credentials && expose.iter().any(|name| name == "*") {
        let message = "with `credentials`, browsers take the `*` of `expose` for a name";
        f.error_help(table.span, message, "name the headers that pages may read");
    }
    table.finish(f);
    Some(Cors { origins, methods, headers, expose, credentials, max_age })
}

/// `*`, `null`, or a scheme with a host, in lower case, as browsers send it.
fn origin(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let origin = text.text.to_ascii_lowercase();
    let authority =
        origin.split_once("://").map(|(scheme, rest)| (scheme, rest.strip_prefix("*.").unwrap_or(rest)));
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    let valid = authority
        .is_some_and(|(scheme, host)| is_token(scheme) && !host.is_empty() && host.bytes().all(is_host));
    if valid || origin == "*" || origin == "null" {
        return Some(origin);
    }
    f.error_help(
        text.span,
        format!("{} is not an origin", quoted(text.text)),
        "write SCHEME://HOST without a path, such as \"https://shop.example.com\" or \"https://*.example.com\"",
    );
    None
}

fn rate_limit(mut table: Table<'_>, app: &mut App, f: &mut Findings) -> Option<RateLimit> {
    let help = "write { requests = 100, per = \"1m\" }";
    let requests =
        table.require("requests", f, help).and_then(|_| table.number_u32("requests", 1, REQUESTS_MAX, f));
    let per = table.require("per", f, help).and_then(|value| Some((value.span, table.duration("per", f)?)));
    if let Some((span, _)) = per.filter(|(_, per)| *per > PER_MAX) {
        f.error_help(span, "`per` is longer than a year", "write a time such as \"1s\", \"1m\" or \"24h\"");
    }
    let burst = table.get("burst").map(|value| (value.key, table.number_u32("burst", 1, REQUESTS_MAX, f)));
    let key = table.string("key", f).and_then(|text| rate_key(text, f)).unwrap_or_default();
    let store = table.string("store", f).and_then(|text| store(text, app, f));
    let failure = table.string("on_failure", f);
    let on_failure = match failure.map(|text| text.text) {
        None | Some("open") => OnFailure::Open,
        Some("closed") => OnFailure::Closed,
        Some(other) => {
            let message = format!("{} is nothing to do when the store is down", quoted(other));
            let help = "write \"open\" (let requests pass) or \"closed\" (answer with 503)";
            f.error_help(failure.map_or(table.span, |text| text.span), message, help);
            OnFailure::Open
        }
    };
    if let Some((span, _)) = burst.filter(|_| store.is_some()) {
        let help = "remove it: with a `store`, requests are counted over the last `per`";
        f.error_help(span, "`burst` belongs to limits without a `store`", help);
    }
    if let Some(text) = failure.filter(|_| !table.has("store")) {
        f.error_help(text.span, "`on_failure` belongs to limits with a `store`", "remove it");
    }
    table.finish(f);
    let (requests, (_, per)) = (requests?, per?);
    let burst = burst.and_then(|(_, burst)| burst).unwrap_or(requests);
    Some(RateLimit { requests, per, burst, key, store, on_failure })
}

fn rate_key(text: Text<'_>, f: &mut Findings) -> Option<RateKey> {
    let key = match text.text.split_once(':') {
        Some(("header", name)) if is_token(name) => Some(RateKey::Header(name.to_ascii_lowercase())),
        None if text.text == "source-ip" => Some(RateKey::SourceIp),
        None if text.text == "route" => Some(RateKey::Route),
        _ => None,
    };
    if key.is_none() {
        f.error_help(
            text.span,
            format!("{} is nothing to count by", quoted(text.text)),
            "write \"source-ip\", \"header:NAME\" or \"route\"",
        );
    }
    key
}

/// A key-value store of the app.
fn store(text: Text<'_>, app: &mut App, f: &mut Findings) -> Option<String> {
    let known = app.keyvalue.contains_key(text.text);
    if known || text.text == "default" {
        add_default_keyvalue(text.text, app);
        return Some(text.text.to_owned());
    }
    let help = match nearest(text.text, app.keyvalue.keys().map(String::as_str)) {
        Some(one) => format!("did you mean `{one}`?"),
        None => "a store is declared by [keyvalue.NAME]".to_owned(),
    };
    f.error_help(text.span, format!("there is no key-value store {}", quoted(text.text)), help);
    None
}

/// `split_by`, which only a split has.
pub(super) fn split_by(table: &mut Table<'_>, is_split: bool, f: &mut Findings) -> Option<SplitBy> {
    let text = table.string("split_by", f)?;
    if !is_split {
        reject_split_by(text.span, f);
        return None;
    }
    let by = match text.text.split_once(':') {
        Some(("cookie", name)) if is_token(name) => Some(SplitBy::Cookie(name.to_owned())),
        Some(("header", name)) if is_token(name) => Some(SplitBy::Header(name.to_ascii_lowercase())),
        None if text.text == "source-ip" => Some(SplitBy::SourceIp),
        _ => None,
    };
    if by.is_none() {
        f.error_help(
            text.span,
            format!("{} is nothing to split by", quoted(text.text)),
            "write \"cookie:NAME\", \"header:NAME\" or \"source-ip\"",
        );
    }
    by
}

fn reject_split_by(span: Span, f: &mut Findings) {
    let help = "remove it, or write to = [{ to = \"a\", weight = 90 }, { to = \"b\", weight = 10 }]";
    f.error_help(span, "`split_by` belongs to routes with several targets", help);
}
