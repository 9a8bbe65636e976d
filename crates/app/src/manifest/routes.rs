//! Paths of routes: what they may be, and which of them get in each other's way.

use super::findings::{Findings, Span, nearest, quoted};
use super::tree::Text;
use crate::{App, Route, Severity, Target};
use std::collections::{HashMap, HashSet};

const PATH_BYTES_MAX: usize = 2048;
const SEGMENTS_MAX: usize = 100;
const PATH_HELP: &str =
    "write a path such as \"/\", \"/users/:id\" or \"/api/...\", which matches all below /api";

/// Checks a path, and returns it with the wildcard spelled `/...`.
pub(super) fn check_path(text: Text<'_>, f: &mut Findings) -> Option<String> {
    match normal(text.text) {
        Ok(path) => Some(path),
        Err(what) => {
            f.error_help(text.span, format!("{} is not a route: {what}", quoted(text.text)), PATH_HELP);
            None
        }
    }
}

/// The path with the wildcard spelled `/...`, or what is wrong with it.
pub(super) fn normal(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("it does not begin with `/`".to_owned());
    }
    if path.len() > PATH_BYTES_MAX {
        return Err("it is longer than 2048 bytes".to_owned());
    }
    if let Some(c) = path.chars().find(|c| c.is_control() || matches!(c, '?' | '#' | ' ')) {
        return Err(format!("`{}` is no part of a path", c.escape_debug()));
    }
    // Spin knows `/*` as another spelling.
    let path = match path.strip_suffix("/*") {
        Some(prefix) => format!("{prefix}/..."),
        None => path.to_owned(),
    };
    let mut names = Vec::new();
    let segments: Vec<&str> = path[1..].split('/').collect();
    if segments.len() > SEGMENTS_MAX {
        return Err("it has more than 100 segments".to_owned());
    }
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        if *segment == "..." {
            if !last {
                return Err("`...` stands at the end".to_owned());
            }
        } else if let Some(name) = segment.strip_prefix(':') {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(valid) {
                return Err("after `:` a name follows".to_owned());
            }
            if names.contains(&name) {
                return Err(format!("`:{name}` occurs twice"));
            }
            names.push(name);
        } else if segment.is_empty() && !last {
            return Err("`//` matches nothing".to_owned());
        } else if *segment == "*" || is_dots(segment) {
            return Err(format!("`{segment}` matches nothing"));
        } else if !is_encoded(segment) {
            return Err("after `%` two hexadecimal digits follow".to_owned());
        }
    }
    Ok(path)
}

/// Checks that what a new path takes from a route's path is there: `:name`, and the final `/...`.
pub(super) fn check_substitution(new: &str, path: &str) -> Result<(), String> {
    let segments: Vec<&str> = path.split('/').collect();
    for segment in new.split('/') {
        if segment == "..." && segments.last() != Some(&"...") {
            return Err(format!("{} matches nothing that `...` could stand for", quoted(path)));
        }
        if segment.starts_with(':') && !segments.contains(&segment) {
            return Err(format!("there is no {} in {}", quoted(segment), quoted(path)));
        }
    }
    Ok(())
}

/// `.` or `..`, also encoded: requests with such segments are refused before routes are looked at.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn is_encoded(segment: &str) -> bool {
    segment.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits != b"00" && digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// What a path matches, whatever its parameters are called: `/users/:id/` is `/users/:`.
pub(super) fn shape(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = path.split('/').map(|segment| if segment.starts_with(':') { ":" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// The upstream that a route names.
pub(super) fn upstream(to: Text<'_>, name: &str, app: &App, f: &mut Findings) -> Option<String> {
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

/// Two routes that match the same requests: which one answers would be chance.
pub(super) fn report_conflicts(routes: &[Route], places: &[Span], f: &mut Findings) {
    let mut seen: HashMap<_, Vec<&Route>> = HashMap::new();
    for (route, span) in routes.iter().zip(places) {
        let sorted = |pairs: &[(String, String)]| {
            let mut pairs = pairs.to_vec();
            pairs.sort();
            pairs
        };
        let narrowed = (sorted(&route.headers), sorted(&route.query));
        let same = seen.entry((route.host.clone(), shape(&route.path), narrowed)).or_default();
        if let Some(other) = same.iter().find(|other| overlap(route, other)) {
            f.error_help(
                *span,
                conflict(route, other),
                "remove one of the two routes, or narrow it by `method`",
            );
        }
        same.push(route);
    }
}

/// Whether a request can match both and neither is narrower.
fn overlap(one: &Route, other: &Route) -> bool {
    match (one.methods.is_empty(), other.methods.is_empty()) {
        (true, true) => true,
        (false, false) => one.methods.iter().any(|method| other.methods.contains(method)),
        _ => false,
    }
}

fn conflict(route: &Route, other: &Route) -> String {
    let target = match &other.to {
        Target::Component(name) => format!("component `{name}`"),
        Target::Upstream(name) => format!("upstream `{name}`"),
        Target::Split(_) => "several targets".to_owned(),
        Target::Static(_) => "a static folder".to_owned(),
        Target::Redirect { .. } => "a redirect".to_owned(),
        Target::Respond { .. } => "a static response".to_owned(),
    };
    if route.path == other.path && route.methods == other.methods {
        format!("the route {} is there already, to {target}", quoted(&route.path))
    } else {
        let (path, other) = (quoted(&route.path), quoted(&other.path));
        format!("the route {path} matches the same requests as {other}, to {target}")
    }
}

/// The components that a target names.
fn components(to: &Target) -> Vec<&str> {
    match to {
        Target::Component(name) => vec![name],
        Target::Static(folder) => folder.or.iter().map(String::as_str).collect(),
        Target::Split(split) => split.targets.iter().flat_map(|(to, _)| components(to)).collect(),
        Target::Upstream(_) | Target::Redirect { .. } | Target::Respond { .. } => Vec::new(),
    }
}

/// Whether nothing would ever start anything.
pub(super) fn is_idle(app: &App) -> bool {
    let triggers = !app.topic_triggers.is_empty() || !app.schedule_triggers.is_empty();
    app.routes.is_empty() && app.tcp.is_empty() && app.dapr.is_none() && !triggers
}

/// A component that no route and no other component reaches. Where something is wrong, it may be the cause.
pub(super) fn warn_unreached(app: &App, f: &mut Findings) {
    if f.has_errors() {
        return;
    }
    if app.dapr.is_some() {
        // Apps invoke it by its name.
        return;
    }
    let mut reached: HashSet<&str> = app.routes.iter().flat_map(|route| components(&route.to)).collect();
    reached.extend(app.topic_triggers.iter().map(|trigger| trigger.component.as_str()));
    reached.extend(app.schedule_triggers.iter().map(|trigger| trigger.component.as_str()));
    for component in app.components.iter().filter(|one| !reached.contains(one.name.as_str())) {
        let host = format!("{}.spin.internal", component.name);
        let mut origins = app.components.iter().flat_map(|other| &other.grants.http);
        if !origins.any(|origin| origin.host.matches_name(&host)) {
            f.add(
                Severity::Warning,
                None,
                format!("nothing reaches the component `{}`", component.name),
                Some(format!(
                    "add a route to it, or let another component call it: grant http://{host} there"
                )),
            );
        }
    }
}
