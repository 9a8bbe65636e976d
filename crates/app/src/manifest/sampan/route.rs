//! `[[route]]`.

use super::{filter, policy};
use crate::manifest::Source;
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::names::{is_header_value, is_token};
use crate::manifest::routes;
use crate::manifest::tree::{Table, Text, Value};
use crate::manifest::variables::Variables;
use crate::{App, Route, Split, StaticFolder, Target};

const SPLIT_HELP: &str = "write to = [{ to = \"api\", weight = 90 }, { to = \"api-v2\", weight = 10 }]";
/// The weight of a target, and so about the sum that 100 of them may have.
const WEIGHT_MAX: u32 = 1_000_000;
/// Targets of one route.
const TARGETS_MAX: usize = 100;
const TO_HELP: &str =
    "write the name of a component, \"upstream:NAME\", \"static:FOLDER\" or \"redirect:URL\"";
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// Keeps the method, and browsers do not remember it.
const REDIRECT_DEFAULT: u16 = 307;

/// A route, and where its path stands.
pub(super) fn read(
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) -> Option<(Route, Option<Span>)> {
    let path = table.require("path", f, "add `path = \"/...\"`, which matches every path");
    let path = path.and_then(|value| value.string(f));
    let pattern = path.and_then(|text| routes::check_path(text, f));
    let host = table.string("host", f).and_then(|text| host(text, f));
    let methods = methods(&mut table, f);
    let headers = headers(&mut table, f);
    let query = query(&mut table, f);
    let context = Context { path: pattern.as_deref(), source, app };
    let to = table.require("to", f, TO_HELP).and_then(|to| targets(&to, &mut table, &context, f));
    let filters = filter::uses(&mut table, variables, app, f);
    let policy = policy::read(&mut table, pattern.as_deref(), app, f);
    table.finish(f);
    let route = Route { host, methods, headers, query, filters, policy, ..Route::new(pattern?, to?) };
    Some((route, path.map(|text| text.span)))
}

fn host(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let host = text.text.to_ascii_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() <= 253 && (name.split('.').all(is_label) || name.parse::<std::net::IpAddr>().is_ok()) {
        return Some(host);
    }
    f.error_help(
        text.span,
        format!("{} is not a host", quoted(text.text)),
        "write a name without a port, such as \"shop.example.com\"",
    );
    None
}

fn methods(table: &mut Table<'_>, f: &mut Findings) -> Vec<String> {
    let mut methods = Vec::new();
    let mut texts = table.string_or_list("method", f);
    texts.extend(table.string_or_list("methods", f));
    for text in texts {
        let method = text.text.to_ascii_uppercase();
        if !is_token(&method) {
            let message = format!("{} is not an HTTP method", quoted(text.text));
            f.error_help(text.span, message, "write methods such as \"GET\" or [\"GET\", \"POST\"]");
        } else if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}

fn headers(table: &mut Table<'_>, f: &mut Findings) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, value) in table.string_map("headers", f) {
        if !is_token(name.text) || !is_header_value(value.text) {
            f.error_help(
                name.span,
                format!("{} is not a header with a value", quoted(name.text)),
                "write headers such as { x-version = \"2\" }",
            );
        } else {
            headers.push((name.text.to_ascii_lowercase(), value.text.to_owned()));
        }
    }
    headers
}

fn query(table: &mut Table<'_>, f: &mut Findings) -> Vec<(String, String)> {
    let pairs = table.string_map("query", f);
    pairs.into_iter().map(|(name, value)| (name.text.to_owned(), value.text.to_owned())).collect()
}

/// What a target may name.
struct Context<'a> {
    /// Of the route.
    path: Option<&'a str>,
    source: &'a Source<'a>,
    app: &'a App,
}

/// One target, or several with their weights.
fn targets(to: &Value<'_>, table: &mut Table<'_>, context: &Context<'_>, f: &mut Findings) -> Option<Target> {
    let split = to.as_str().is_none();
    let by = policy::split_by(table, split, f);
    if !split {
        let to = to.string(f)?;
        return target(to, table, context, f);
    }
    let items = to.items("a target, or a list of targets with their weights", f);
    if items.is_empty() || items.len() > TARGETS_MAX {
        let message = format!("`to` has {} targets; 1 to {TARGETS_MAX} are possible", items.len());
        if !f.has_errors() {
            f.error_help(to.span, message, SPLIT_HELP);
        }
        return None;
    }
    let mut targets = Vec::new();
    for item in items {
        let Some(mut table) = item.table(f) else { continue };
        let to = table.require("to", f, SPLIT_HELP).and_then(|value| value.string(f));
        let weight = table.require("weight", f, SPLIT_HELP);
        let weight = weight.and_then(|_| table.number_u32("weight", 0, WEIGHT_MAX, f));
        let to = to.and_then(|to| target(to, &mut table, context, f));
        table.finish(f);
        targets.extend(to.zip(weight));
    }
    if targets.iter().all(|(_, weight)| *weight == 0) && !f.has_errors() {
        f.error_help(to.span, "no target has a weight, so none would get a request", SPLIT_HELP);
    }
    Some(Target::Split(Split { targets, by }))
}

/// Options of static folders, and where they stand.
struct StaticOptions {
    used: Vec<(&'static str, Span)>,
}

const STATIC_KEYS: [&str; 5] = ["index", "fallback", "or", "hide", "cache_control"];

impl StaticOptions {
    fn read(table: &mut Table<'_>) -> Self {
        let used = STATIC_KEYS.iter().filter_map(|key| Some((*key, table.get(key)?.key)));
        StaticOptions { used: used.collect() }
    }

    fn reject(&self, f: &mut Findings) {
        for (key, span) in &self.used {
            f.error_help(
                *span,
                format!("`{key}` belongs to routes to a static folder"),
                "remove it, or write `to = \"static:FOLDER\"`",
            );
        }
    }
}

fn target(to: Text<'_>, table: &mut Table<'_>, context: &Context<'_>, f: &mut Findings) -> Option<Target> {
    let Context { path, source, app } = *context;
    let options = StaticOptions::read(table);
    let status = table.get("status").map(|value| (value.span, table.number("status", 300, 399, f)));
    let (kind, rest) = to.text.split_once(':').unwrap_or(("", to.text));
    if let Some((span, _)) = status.filter(|_| kind != "redirect") {
        f.error_help(span, "`status` belongs to redirects", "remove it, or write `to = \"redirect:URL\"`");
    }
    if kind != "static" {
        options.reject(f);
    }
    match kind {
        "" => component(to, rest, app, f).map(Target::Component),
        "static" => static_folder(to, rest, source, app, table, f).map(Target::Static),
        "redirect" => redirect(to, rest, status, path, f),
        "upstream" => routes::upstream(to, rest, app, f).map(Target::Upstream),
        _ => {
            f.error_help(to.span, format!("{} is nowhere", quoted(to.text)), TO_HELP);
            None
        }
    }
}

fn component(to: Text<'_>, name: &str, app: &App, f: &mut Findings) -> Option<String> {
    if app.components.iter().any(|component| component.name == name) {
        return Some(name.to_owned());
    }
    let help = match nearest(name, app.components.iter().map(|component| component.name.as_str())) {
        Some(one) => format!("did you mean `{one}`?"),
        None => format!("{TO_HELP}; a component is declared by [component.NAME]"),
    };
    f.error_help(to.span, format!("there is no component {}", quoted(name)), help);
    None
}

fn static_folder(
    to: Text<'_>,
    folder: &str,
    source: &Source<'_>,
    app: &App,
    table: &mut Table<'_>,
    f: &mut Findings,
) -> Option<StaticFolder> {
    if folder.is_empty() {
        f.error_help(to.span, "no folder is named", "write \"static:FOLDER\", such as \"static:public\"");
        return None;
    }
    let index = file_name(table, "index", f).unwrap_or_else(|| "index.html".to_owned());
    let fallback = file_name(table, "fallback", f);
    let or = table.string("or", f).and_then(|text| component(text, text.text, app, f));
    if let (Some(value), true, Some(_)) = (table.get("or"), fallback.is_some(), &or) {
        f.error(value.key, "a static folder has `fallback` or `or`, not both");
    }
    let hide = table.strings("hide", f);
    for glob in &hide {
        if let Err(error) = globset::Glob::new(glob.text) {
            f.error(glob.span, format!("{} is not a pattern of files: {}", quoted(glob.text), error.kind()));
        }
    }
    let cache_control = table.string("cache_control", f);
    if let Some(text) = cache_control.filter(|text| !is_header_value(text.text)) {
        f.error(text.span, "`cache_control` is no header's value");
    }
    Some(StaticFolder {
        folder: source.root.join(folder),
        index,
        fallback,
        or,
        hide: hide.iter().map(|text| text.text.to_owned()).collect(),
        cache_control: cache_control.map(|text| text.text.to_owned()),
    })
}

/// A file below the folder.
fn file_name(table: &mut Table<'_>, key: &'static str, f: &mut Findings) -> Option<String> {
    let text = table.string(key, f)?;
    let inside = !text.text.is_empty()
        && !text.text.starts_with('/')
        && !text.text.contains('\0')
        && text.text.split('/').all(|part| !matches!(part, "." | ".."));
    if !inside {
        f.error(text.span, format!("`{key}` is a file in the folder, such as \"index.html\""));
        return None;
    }
    Some(text.text.to_owned())
}

fn redirect(
    to: Text<'_>,
    location: &str,
    status: Option<(Span, Option<u64>)>,
    path: Option<&str>,
    f: &mut Findings,
) -> Option<Target> {
    let valid = location.starts_with('/')
        || ["http://", "https://"]
            .iter()
            .any(|scheme| location.len() > scheme.len() && location.starts_with(scheme));
    if !valid || !location.bytes().all(|b| b.is_ascii_graphic()) {
        f.error_help(
            to.span,
            format!("{} is not a place to redirect to", quoted(location)),
            "write a URL or a path, such as \"redirect:https://example.com/\" or \"redirect:/new\"",
        );
        return None;
    }
    if let Some(what) = path.and_then(|path| check_location(location, path).err()) {
        f.error_help(
            to.span,
            format!("{} is not a place to redirect to: {what}", quoted(location)),
            "`:name` and the final `/...` stand for what they matched in `path`",
        );
        return None;
    }
    let status = match status {
        None => REDIRECT_DEFAULT,
        Some((span, number)) => {
            let status = number.and_then(|number| u16::try_from(number).ok())?;
            if !REDIRECTS.contains(&status) {
                f.error_help(
                    span,
                    format!("{status} is not the status of a redirect"),
                    "use 301, 302, 303, 307 or 308",
                );
            }
            status
        }
    };
    Some(Target::Redirect { status, location: location.to_owned() })
}

/// What a location takes from the route's path is there, and does not choose the host.
fn check_location(location: &str, path: &str) -> Result<(), String> {
    let (host, rest) = match location.split_once("://").filter(|_| !location.starts_with('/')) {
        Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("-", location),
    };
    if host.is_empty() || host.starts_with(':') || host == "..." {
        return Err("it has no host".to_owned());
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if rest.strip_suffix("/...").unwrap_or(rest).split('/').any(|segment| segment == "...") {
        return Err("`...` stands at the end".to_owned());
    }
    routes::check_substitution(rest, path)
}
