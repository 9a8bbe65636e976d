//! Triggers: of HTTP, a route, what answers it, and how it is called; of Redis, a channel.

use super::component::read as read_component;
use super::{Routes, Version};
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::tree::{Table, Text, Value};
use crate::manifest::variables::Variables;
use crate::manifest::{Source, names};
use crate::{App, Broker, Cgi, CgiDialect, ComponentKind, Secret, Target, TopicTrigger};
use std::collections::BTreeMap;

/// What triggers say about the kinds of components.
#[derive(Default)]
pub(super) struct Kinds {
    list: BTreeMap<String, Option<ComponentKind>>,
}

impl Kinds {
    fn add(&mut self, component: &str, kind: Option<ComponentKind>, span: Span, f: &mut Findings) {
        let other = self.list.entry(component.to_owned()).or_insert_with(|| kind.clone());
        if *other != kind {
            f.error_help(
                span,
                format!("two triggers call the component {} in different ways", quoted(component)),
                "give both the same `executor`, or declare the component twice",
            );
        }
    }

    pub fn apply(self, app: &mut App) {
        for component in &mut app.components {
            component.kind = self.list.get(&component.name).cloned().flatten();
        }
    }
}

/// Where a trigger stands, and what it may refer to.
pub(super) struct Place<'a> {
    pub source: &'a Source<'a>,
    pub variables: &'a Variables,
    pub index: usize,
}

/// `[[trigger.http]]` of version 2.
pub(super) fn read(
    mut table: Table<'_>,
    place: &Place<'_>,
    app: &mut App,
    routes: &mut Routes,
    kinds: &mut Kinds,
    f: &mut Findings,
) {
    let span = table.span;
    let id = table.string("id", f);
    let route = table.require("route", f, "add `route = \"/...\"`, or `route = { private = true }`");
    let component = table.get("component");
    let respond = table.table("static_response", f).map(|table| static_response(table, f));
    let executor = read_executor(&mut table, f);
    if let Some(components) = table.get("components") {
        f.error(components.key, "`components` of a trigger is not supported yet by this version");
    }
    table.finish(f);
    let to = match (component, respond) {
        (Some(component), None) => {
            let name = component_name(&component, id, place, app, f);
            if let (Some(name), Some(executor)) = (&name, executor) {
                kinds.add(name, executor, component.span, f);
            }
            name.map(Target::Component)
        }
        (None, Some(respond)) => respond,
        (Some(_), Some(_)) => {
            f.error(span, "a trigger has `component` or `static_response`, not both");
            None
        }
        (None, None) => {
            f.error_help(span, "the trigger has no `component`", "add `component = \"NAME\"`");
            None
        }
    };
    let path = route.and_then(|route| read_route(&route, f));
    if let (Some(path), Some(to)) = (path, to) {
        routes.add(path, to, f);
    }
}

/// `[[trigger.redis]]` of version 2: messages of a channel. `address` is the app's.
pub(super) fn read_redis(
    mut table: Table<'_>,
    place: &Place<'_>,
    address: Option<&Secret>,
    app: &mut App,
    f: &mut Findings,
) {
    let id = table.string("id", f);
    let component = table.require("component", f, "add `component = \"NAME\"`");
    let component = component.and_then(|value| component_name(&value, id, place, app, f));
    let named = table.has("address") || address.is_some();
    let own = redis_address(&mut table, place.variables, f);
    if !named {
        report_no_address(table.span, f);
    }
    let channel = redis_channel(&mut table, own.as_ref().or(address), component, f);
    table.finish(f);
    app.topic_triggers.extend(channel);
}

/// `[component.trigger]` of version 1, where the app's trigger is Redis.
pub(super) fn read_redis_of_component(
    mut table: Table<'_>,
    component: &str,
    address: Option<&Secret>,
    app: &mut App,
    f: &mut Findings,
) {
    let channel = redis_channel(&mut table, address, Some(component.to_owned()), f);
    table.finish(f);
    app.topic_triggers.extend(channel);
}

/// The server that an app or a trigger names.
pub(super) fn redis_address(
    table: &mut Table<'_>,
    variables: &Variables,
    f: &mut Findings,
) -> Option<Secret> {
    let text = table.string("address", f)?;
    let expanded = variables.expand(text, f)?;
    if !["redis://", "rediss://"].iter().any(|scheme| expanded.text.starts_with(scheme)) {
        f.hide(text.text.contains('@'));
        f.error_help(text.span, "this is no address of Redis", "write \"redis://HOST:6379\"");
        f.hide(false);
    }
    Some(Secret::new(expanded.text))
}

pub(super) fn report_no_address(span: Span, f: &mut Findings) {
    let help = "add `address = \"redis://HOST:6379\"` to the app's trigger";
    f.error_help(span, "the trigger has no address of Redis", help);
}

fn redis_channel(
    table: &mut Table<'_>,
    address: Option<&Secret>,
    component: Option<String>,
    f: &mut Findings,
) -> Option<TopicTrigger> {
    let channel = table.require("channel", f, "add `channel = \"NAME\"`").and_then(|value| value.string(f));
    Some(TopicTrigger {
        broker: Broker::RedisChannel { url: address?.clone() },
        topic: channel?.text.to_owned(),
        component: component?,
        path: "/".to_owned(),
        rules: Vec::new(),
        dead_letter: None,
        retries: None,
    })
}

/// `[component.trigger]` of version 1.
pub(super) fn read_of_component(
    mut table: Table<'_>,
    component: &str,
    routes: &mut Routes,
    kinds: &mut Kinds,
    f: &mut Findings,
) {
    let span = table.span;
    let route = table.require("route", f, "add `route = \"/...\"`");
    if let Some(executor) = read_executor(&mut table, f) {
        kinds.add(component, executor, span, f);
    }
    table.finish(f);
    if let Some(path) = route.and_then(|route| read_route(&route, f)) {
        routes.add(path, Target::Component(component.to_owned()), f);
    }
}

/// `"/path"`, or `{ private = true }` for components that only others call: `None`.
fn read_route<'a>(value: &Value<'a>, f: &mut Findings) -> Option<Text<'a>> {
    if !value.is_table() {
        return value.typed_string("a path, or { private = true }", f);
    }
    let mut table = value.table(f)?;
    let private = table.boolean("private", f);
    if private != Some(true) {
        f.error_help(
            value.span,
            "this route is neither a path nor private",
            "write { private = true } or a path",
        );
    }
    table.finish(f);
    None
}

/// The name of the trigger's component, which may stand in the trigger itself.
fn component_name(
    value: &Value<'_>,
    trigger: Option<Text<'_>>,
    place: &Place<'_>,
    app: &mut App,
    f: &mut Findings,
) -> Option<String> {
    if value.is_table() {
        let name = match trigger {
            Some(id) if names::check(id, "a trigger", f) => format!("{}-component", id.text),
            _ => format!("inline-component{}", place.index),
        };
        let table = value.table(f)?;
        let component = read_component(&name, table, Version::Two, place.source, place.variables, app, f);
        app.components.push(component);
        return Some(name);
    }
    let text = value.typed_string("the name of a component, or a table that is one", f)?;
    if app.components.iter().any(|component| component.name == text.text) {
        return Some(text.text.to_owned());
    }
    let help = match nearest(text.text, app.components.iter().map(|component| component.name.as_str())) {
        Some(one) => format!("did you mean `{one}`?"),
        None => "declare it by [component.NAME]".to_owned(),
    };
    f.error_help(text.span, format!("there is no component {}", quoted(text.text)), help);
    None
}

fn static_response(mut table: Table<'_>, f: &mut Findings) -> Option<Target> {
    let status = table.number("status_code", 200, 599, f).unwrap_or(200);
    let mut headers = Vec::new();
    for (name, value) in table.string_map("headers", f) {
        if !names::is_token(name.text) || !names::is_header_value(value.text) {
            f.error(name.span, format!("{} is not a header with a value", quoted(name.text)));
        } else {
            headers.push((name.text.to_ascii_lowercase(), value.text.to_owned()));
        }
    }
    let body = table.string("body", f).map(|text| text.text.to_owned()).unwrap_or_default();
    table.finish(f);
    Some(Target::Respond { status: u16::try_from(status).ok()?, headers, body })
}

/// How the component is called: `Some(None)` where its exports tell.
fn read_executor(table: &mut Table<'_>, f: &mut Findings) -> Option<Option<ComponentKind>> {
    let Some(value) = table.get("executor") else { return Some(None) };
    let mut table = value.table(f)?;
    let kind = table.require("type", f, "add `type = \"http\"` or `type = \"wagi\"`")?.string(f)?;
    let dialect = match kind.text {
        "http" | "spin" => None,
        "wagi" => Some(CgiDialect::Wagi),
        "wcgi" => Some(CgiDialect::Wcgi),
        other => {
            let help = "types are http, wagi and wcgi";
            f.error_help(kind.span, format!("there is no executor {}", quoted(other)), help);
            return None;
        }
    };
    let kind = dialect.map(|dialect| {
        let argv = table.string("argv", f).map(|text| text.text);
        let entrypoint = table.string("entrypoint", f);
        if let Some(text) = entrypoint.filter(|text| !matches!(text.text, "_start" | "")) {
            f.error_help(
                text.span,
                format!("the entry point {} is not supported", quoted(text.text)),
                "a CGI program starts at `_start`",
            );
        }
        ComponentKind::Cgi(Cgi { dialect, argv: arguments(argv, dialect), document_root: None })
    });
    table.finish(f);
    Some(kind)
}

/// WAGI's `argv` is text with spaces, and its first word is the program's own name.
fn arguments(argv: Option<&str>, dialect: CgiDialect) -> Vec<String> {
    match (argv, dialect) {
        (Some(text), _) => text.split_whitespace().skip(1).map(str::to_owned).collect(),
        (None, CgiDialect::Wagi) => vec!["${ARGS}".to_owned()],
        (None, _) => Vec::new(),
    }
}
