//! `[[route]]`.

use super::filter;
use crate::manifest::Source;
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::names::{is_header_value, is_token};
use crate::manifest::routes;
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::{App, Route, StaticFolder, Target};

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
    app: &App,
    f: &mut Findings,
) -> Option<(Route, Option<Span>)> {
    let path = table.require("path", f, "add `path = \"/...\"`, which matches every path");
    let path = path.and_then(|value| value.string(f));
    let pattern = path.and_then(|text| routes::check_path(text, f));
    let host = table.string("host", f).and_then(|text| host(text, f));
    let methods = methods(&mut table, f);
    let headers = headers(&mut table, f);
    let to = table.require("to", f, TO_HELP).and_then(|value| value.string(f));
    let options = StaticOptions::read(&mut table);
    let status = table.get("status").map(|value| (value.span, table.number("status", 300, 399, f)));
    let to = to.and_then(|to| target(to, &options, status, source, app, &mut table, f));
    let filters = filter::uses(&mut table, variables, app, f);
    table.finish(f);
    let route = Route { host, methods, headers, filters, ..Route::new(pattern?, to?) };
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

fn target(
    to: Text<'_>,
    options: &StaticOptions,
    status: Option<(Span, Option<u64>)>,
    source: &Source<'_>,
    app: &App,
    table: &mut Table<'_>,
    f: &mut Findings,
) -> Option<Target> {
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
        "redirect" => redirect(to, rest, status, f),
        "upstream" => upstream(to, rest, app, f).map(Target::Upstream),
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

fn upstream(to: Text<'_>, name: &str, app: &App, f: &mut Findings) -> Option<String> {
    if app.upstreams.contains_key(name) {
        return Some(name.to_owned());
    }
    let help = match nearest(name, app.upstreams.keys().map(String::as_str)) {
        Some(one) => format!("did you mean `upstream:{one}`?"),
        None => "an upstream is declared by [upstream.NAME] with `servers`".to_owned(),
    };
    f.error_help(to.span, format!("there is no upstream {}", quoted(name)), help);
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
