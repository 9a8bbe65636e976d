//! Version 1: `trigger = { type = "http" }` for the whole app, and `[[component]]` with its own
//! `[component.trigger]`. Articles leave out the app's trigger; HTTP is meant.

use super::component::read as read_component;
use super::{Routes, Version, ignore_description, surroundings, trigger, v2};
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::manifest::{Source, names};
use crate::{App, Secret};

pub(super) fn read(mut table: Table<'_>, source: &Source<'_>, app: &mut App, f: &mut Findings) {
    let name = table.require("name", f, "add `name = \"…\"`").and_then(|value| value.string(f));
    app.name = name.map(|text| text.text.to_owned()).unwrap_or_default();
    app.version = table.string("version", f).map(|text| text.text.to_owned()).unwrap_or_default();
    ignore_description(&mut table, f);
    let app_trigger = table.table("trigger", f);
    let variables = surroundings(table.table("variables", f), source, app, f);
    let app_trigger = app_trigger.map(|trigger| read_app_trigger(trigger, &variables, f));
    let app_trigger = app_trigger.unwrap_or(AppTrigger::Http { base: None });
    let base = match &app_trigger {
        AppTrigger::Http { base } => *base,
        AppTrigger::Redis { .. } | AppTrigger::Unknown => None,
    };
    let mut routes = Routes::new(base, f);
    let mut kinds = trigger::Kinds::default();
    for mut component in table.tables("component", f) {
        let id = component.require("id", f, "add `id = \"…\"`").and_then(|value| value.string(f));
        let trigger = component.require("trigger", f, "add [component.trigger] with `route = \"/...\"`");
        let trigger = trigger.and_then(|value| value.table(f));
        let id_span = id.map(|text| text.span);
        let id = id.map(|text| (convert(text.text), text.span));
        let name = id.as_ref().map_or("", |(name, _)| name);
        let read = read_component(name, component, Version::One, source, &variables, app, f);
        let Some(span) =
            id_span.filter(|span| names::check(Text { text: name, span: *span }, "a component", f))
        else {
            continue;
        };
        if app.components.iter().any(|other| other.name.eq_ignore_ascii_case(&read.name)) {
            let message = format!("there are two components {}", quoted(name));
            f.error_help(span, message, "ids are compared in lower case, with `-` for `_`");
            continue;
        }
        match (trigger, &app_trigger) {
            (Some(trigger), AppTrigger::Http { .. }) => {
                trigger::read_of_component(trigger, name, &mut routes, &mut kinds, f);
            }
            (Some(trigger), AppTrigger::Redis { address }) => {
                trigger::read_redis_of_component(trigger, name, address.as_ref(), app, f);
            }
            (_, AppTrigger::Unknown) | (None, _) => {}
        }
        app.components.push(read);
    }
    kinds.apply(app);
    table.finish(f);
    routes.finish(app, f);
}

/// What starts the app's components.
enum AppTrigger<'a> {
    Http {
        base: Option<Text<'a>>,
    },
    Redis {
        address: Option<Secret>,
    },
    /// Which has been reported.
    Unknown,
}

fn read_app_trigger<'a>(mut table: Table<'a>, variables: &Variables, f: &mut Findings) -> AppTrigger<'a> {
    let kind = table.string("type", f);
    let read = match kind.map(|kind| kind.text) {
        None | Some("http") => AppTrigger::Http { base: table.string("base", f) },
        Some("redis") => {
            if !table.has("address") {
                trigger::report_no_address(table.span, f);
            }
            AppTrigger::Redis { address: trigger::redis_address(&mut table, variables, f) }
        }
        Some(_) => {
            kind.inspect(|kind| v2::report_trigger(*kind, f));
            return AppTrigger::Unknown;
        }
    };
    table.finish(f);
    read
}

/// Version 2 has ids in kebab case, and so has everything behind this file. What is so already stays as it is.
pub(in crate::manifest) fn convert(id: &str) -> String {
    let is_word = |word: &str| {
        let one_case =
            !(word.bytes().any(|b| b.is_ascii_lowercase()) && word.bytes().any(|b| b.is_ascii_uppercase()));
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && one_case && !word.contains('_')
    };
    if id.split('-').all(is_word) { id.to_owned() } else { id.replace('_', "-").to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::convert;

    #[test]
    fn ids() {
        for (id, converted) in [
            ("hello", "hello"),
            ("hello_World", "hello-world"),
            ("HelloWorld", "helloworld"),
            ("my-API", "my-API"),
            ("", ""),
        ] {
            assert_eq!(convert(id), converted);
        }
    }
}
