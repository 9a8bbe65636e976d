//! Version 2: `[application]`, `[[trigger.http]]`, `[component.NAME]`.

use super::component::read as read_component;
use super::{Routes, Version, ignore_description, surroundings, trigger};
use crate::App;
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::tree::{Table, Text};
use crate::manifest::{Source, names};

pub(super) fn read(mut table: Table<'_>, source: &Source<'_>, app: &mut App, f: &mut Findings) {
    let application = table.require("application", f, "add [application] with `name = \"…\"`");
    let application = application.and_then(|value| value.table(f));
    let (base, redis) =
        application.map(|application| read_application(application, app, f)).unwrap_or_default();
    let variables = surroundings(table.table("variables", f), source, app, f);
    let address = redis.and_then(|mut redis| {
        let address = trigger::redis_address(&mut redis, &variables, f);
        redis.finish(f);
        address
    });
    let components = table.table("component", f).map(Table::into_entries).unwrap_or_default();
    names::check_different(components.iter().map(|(name, _)| *name), f);
    for (name, value) in components {
        let Some(component) = value.table(f).filter(|_| names::check(name, "a component", f)) else {
            continue;
        };
        let component = read_component(name.text, component, Version::Two, source, &variables, app, f);
        app.components.push(component);
    }
    let mut routes = Routes::new(base, f);
    let triggers = table.table("trigger", f).map(Table::into_entries).unwrap_or_default();
    let mut kinds = trigger::Kinds::default();
    for (kind, value) in triggers {
        if kind.text != "http" && kind.text != "redis" {
            report_trigger(kind, f);
            continue;
        }
        for (index, one) in value.tables(f).into_iter().enumerate() {
            let place = trigger::Place { source, variables: &variables, index };
            match kind.text {
                "http" => trigger::read(one, &place, app, &mut routes, &mut kinds, f),
                _ => trigger::read_redis(one, &place, address.as_ref(), app, f),
            }
        }
    }
    kinds.apply(app);
    table.finish(f);
    routes.finish(app, f);
}

/// Reads `[application]`; returns the base of all routes, and what it says of Redis.
fn read_application<'a>(
    mut table: Table<'a>,
    app: &mut App,
    f: &mut Findings,
) -> (Option<Text<'a>>, Option<Table<'a>>) {
    let name = table.require("name", f, "add `name = \"…\"`").and_then(|value| value.string(f));
    app.name = name.map(|text| text.text.to_owned()).unwrap_or_default();
    app.version = table.string("version", f).map(|text| text.text.to_owned()).unwrap_or_default();
    ignore_description(&mut table, f);
    // Which hosts the app was made for, and what other tools keep here.
    table.get("targets");
    table.get("tool");
    let (mut base, mut redis) = (None, None);
    for (kind, value) in table.table("trigger", f).map(Table::into_entries).unwrap_or_default() {
        if kind.text == "http" {
            base = value.table(f).and_then(|mut http| {
                let base = http.string("base", f);
                http.finish(f);
                base
            });
        }
        if kind.text == "redis" {
            redis = value.table(f);
        }
    }
    table.finish(f);
    (base, redis)
}

pub(super) fn report_trigger(kind: Text<'_>, f: &mut Findings) {
    f.error_help(
        kind.span,
        format!("triggers of the type {} are not supported yet by this version", quoted(kind.text)),
        "the types `http` and `redis` are",
    );
}
