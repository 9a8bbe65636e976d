//! `[filter.NAME]`, and `filters = […]` of routes.

use super::component::set_env;
use super::{code, grants};
use crate::manifest::Source;
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::names;
use crate::manifest::tree::{Table, Text, Value};
use crate::manifest::variables::Variables;
use crate::{App, Canary, Filter, OnFailure, OnResult, RouteFilter};
use std::collections::BTreeMap;

/// All of `filter`, in the order of the file.
pub(super) fn read_all(
    table: Option<Table<'_>>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) {
    for (name, value) in table.map(Table::into_entries).unwrap_or_default() {
        let Some(table) = value.table(f) else { continue };
        if names::check(name, "a filter", f) {
            let filter = read(name.text, table, source, variables, app, f);
            app.filters.insert(name.text.to_owned(), filter);
        }
    }
}

fn read(
    name: &str,
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) -> Filter {
    let mut filter = Filter { name: name.to_owned(), ..Filter::default() };
    let code = code::read(&mut table, source, f);
    (filter.source, filter.image, filter.build) = (code.source, code.image, code.build);
    let mut text = |key, f: &mut Findings| {
        let text = table.string(key, f)?;
        variables.expand(text, f).map(|expanded| expanded.text)
    };
    filter.config = text("config", f).unwrap_or_default();
    filter.vm_config = text("vm_config", f).unwrap_or_default();
    filter.vm_id = text("vm_id", f);
    filter.root_id = text("root_id", f).unwrap_or_default();
    for (key, value) in table.string_map("parameters", f) {
        if let Some(value) = variables.expand(value, f) {
            filter.parameters.push((key.text.to_owned(), value.text));
        }
    }
    if let Some(grant) = table.table("grant", f) {
        grants::read(grant, source, variables, app, &mut filter.grants, f);
    }
    for (name, text) in table.string_map("env", f) {
        if let Some(value) = variables.expand(text, f) {
            set_env(&mut filter.grants, name, value.text, f);
        }
    }
    if let Some(limits) = table.table("limits", f) {
        read_limits(limits, &mut filter, f);
    }
    filter.on_failure = match table.string("on_failure", f) {
        None => OnFailure::default(),
        Some(Text { text: "closed", .. }) => OnFailure::Closed,
        Some(Text { text: "open", .. }) => OnFailure::Open,
        Some(other) => {
            let message = format!("{} is nothing to do when a filter fails", quoted(other.text));
            f.error_help(
                other.span,
                message,
                "write \"closed\" (answer with 503) or \"open\" (go on without it)",
            );
            OnFailure::default()
        }
    };
    filter.results = read_results(&mut table, app, f);
    filter.body_while_paused = table.boolean("body_while_paused", f).unwrap_or(false);
    filter.canary = table.table("canary", f).map(|table| read_canary(table, source, variables, f));
    table.finish(f);
    filter
}

/// The results of Easegress's WasmHost that a filter may have (pkg/filters/wasmhost/wasmhost.go).
const RESULTS: [&str; 11] = [
    "wasmResult1",
    "wasmResult2",
    "wasmResult3",
    "wasmResult4",
    "wasmResult5",
    "wasmResult6",
    "wasmResult7",
    "wasmResult8",
    "wasmResult9",
    "outOfVM",
    "wasmError",
];

fn read_results(table: &mut Table<'_>, app: &App, f: &mut Findings) -> BTreeMap<String, OnResult> {
    let mut results = BTreeMap::new();
    for (name, text) in table.string_map("results", f) {
        if !RESULTS.contains(&name.text) {
            let help = nearest(name.text, RESULTS);
            let help = help.map_or_else(|| RESULTS.join(", "), |one| format!("did you mean `{one}`?"));
            f.error_help(name.span, format!("{} is no result of a filter", quoted(name.text)), help);
        }
        if let Some(result) = on_result(text, app, f) {
            results.insert(name.text.to_owned(), result);
        }
    }
    results
}

fn on_result(text: Text<'_>, app: &App, f: &mut Findings) -> Option<OnResult> {
    const HELP: &str = "write \"end\", \"continue\", \"component:NAME\" or \"upstream:NAME\"";
    let known = |kind: &str, name: &str| match kind {
        "component" => app.components.iter().any(|component| component.name == name),
        _ => app.upstreams.contains_key(name),
    };
    match (text.text, text.text.split_once(':')) {
        ("end", _) => Some(OnResult::End),
        ("continue", _) => Some(OnResult::Continue),
        (_, Some((kind @ ("component" | "upstream"), name))) => {
            if !known(kind, name) {
                f.error_help(text.span, format!("there is no {kind} {}", quoted(name)), HELP);
            }
            Some(OnResult::To(name.to_owned()))
        }
        _ => {
            f.error_help(text.span, format!("{} is nowhere to go on", quoted(text.text)), HELP);
            None
        }
    }
}

fn read_limits(mut table: Table<'_>, filter: &mut Filter, f: &mut Findings) {
    let limits = &mut filter.limits;
    limits.memory_bytes = table.size("memory", f).or(limits.memory_bytes);
    limits.timeout = table.duration("time", f).or(limits.timeout);
    limits.stack_bytes = table.size("stack", f);
    filter.instances = table.number_u32("instances", 1, 100_000, f).unwrap_or(filter.instances);
    filter.pause = table.duration("pause", f).unwrap_or(filter.pause);
    filter.buffer_bytes = table.size("buffer", f).unwrap_or(filter.buffer_bytes);
    table.finish(f);
}

/// Of a version on trial, more than one exchange of a hundred that fails is too many.
const FAILURES_DEFAULT: u32 = 100;
/// Fewer exchanges say nothing about a share of failures.
const EXCHANGES_DEFAULT: u32 = 50;

fn read_canary(mut table: Table<'_>, source: &Source<'_>, variables: &Variables, f: &mut Findings) -> Canary {
    code::exclusive(&mut table, f);
    let file = table.string("source", f);
    let image = code::image(&mut table, f);
    let has_image = table.has("image");
    let config = table.string("config", f).and_then(|text| variables.expand(text, f));
    let share = table.require("share", f, "add `share = \"5%\"`").and_then(|value| share(&value, f));
    let failures = table.get("failures").and_then(|value| share_of(&value, f));
    let canary = Canary {
        source: file.map(|text| source.root.join(text.text)),
        image,
        config: config.map(|expanded| expanded.text),
        share_per_10000: share.unwrap_or_default(),
        failures_per_10000: failures.unwrap_or(FAILURES_DEFAULT),
        exchanges_min: table.number_u32("exchanges", 1, u32::MAX, f).unwrap_or(EXCHANGES_DEFAULT),
    };
    if file.is_none() && !has_image && canary.config.is_none() {
        f.error_help(
            table.span,
            "the version on trial does not differ",
            "name another `source` or `image`, or another `config`",
        );
    }
    table.finish(f);
    canary
}

fn share(value: &Value<'_>, f: &mut Findings) -> Option<u32> {
    share_of(value, f).filter(|share| {
        if *share == 0 {
            f.error(value.span, format!("`{}` must be more than nothing", value.path));
        }
        *share > 0
    })
}

/// `"5%"`, `"0.1%"`: in parts of 10,000.
fn share_of(value: &Value<'_>, f: &mut Findings) -> Option<u32> {
    let text = value.typed_string("a share such as \"5%\"", f)?;
    let number = text.text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let parts = number.filter(|number| (0.0..=100.0).contains(number)).map(|number| number * 100.0);
    if parts.is_none() {
        f.error_help(text.span, format!("{} is not a share", quoted(text.text)), "write \"5%\" or \"0.5%\"");
    }
    parts.map(|parts| parts.round() as u32)
}

/// The filters of a route: names, or tables with `use` and `config`.
pub(super) fn uses(
    table: &mut Table<'_>,
    variables: &Variables,
    app: &App,
    f: &mut Findings,
) -> Vec<RouteFilter> {
    let Some(value) = table.get("filters") else { return Vec::new() };
    let mut uses = Vec::new();
    for item in value.items("a list of filters", f) {
        if let Some(name) = item.as_str() {
            uses.extend(known(name, item.span, app, f).map(|filter| RouteFilter { filter, config: None }));
            continue;
        }
        let Some(mut table) = item.as_table() else {
            item.wrong_type("the name of a filter, or { use = \"NAME\", config = \"…\" }", f);
            continue;
        };
        let name = table.require("use", f, "write { use = \"NAME\", config = \"…\" }");
        let name =
            name.and_then(|value| value.string(f)).and_then(|text| known(text.text, text.span, app, f));
        let config = table.string("config", f).and_then(|text| variables.expand(text, f));
        table.finish(f);
        uses.extend(name.map(|filter| RouteFilter { filter, config: config.map(|expanded| expanded.text) }));
    }
    uses
}

fn known(name: &str, span: Span, app: &App, f: &mut Findings) -> Option<String> {
    if app.filters.contains_key(name) {
        return Some(name.to_owned());
    }
    let help = match nearest(name, app.filters.keys().map(String::as_str)) {
        Some(one) => format!("did you mean `{one}`?"),
        None => "a filter is declared by [filter.NAME] with `source` or `image`".to_owned(),
    };
    f.error_help(span, format!("there is no filter {}", quoted(name)), help);
    None
}
