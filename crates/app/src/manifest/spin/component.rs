//! What a component of either version says.

use super::source::{self, Code};
use super::{Version, dependencies, files};
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::sampan::{add_default_keyvalue, add_default_sql, build, set_env};
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::manifest::{Source, network, wasip1};
use crate::{App, Component, ConfigValue, Limits, Secret, StoreGrant};

pub(super) fn read(
    name: &str,
    mut table: Table<'_>,
    version: Version,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) -> Component {
    let mut component = Component { name: name.to_owned(), limits: Limits::served(), ..Component::default() };
    component.serving.spin_headers = true;
    let code =
        table.require("source", f, "add `source = \"FILE.wasm\"`").and_then(|value| source::read(&value, f));
    let mut file = None;
    match code {
        Some(Code::File(text)) => {
            component.source = source.root.join(text.text);
            file = Some(text.span);
        }
        Some(Code::Remote(remote)) => component.remote = Some(remote),
        None => {}
    }
    component.build = table.get("build").and_then(|value| build(&value, source, f));
    wasip1::rename(&mut component, file, table.span, f);
    table.string("description", f);
    let values = if version == Version::One { "config" } else { "variables" };
    for (name, text) in table.string_map(values, f) {
        if let Some(value) = variables.expand(text, f) {
            let (name, secret) = (name.text.to_owned(), value.secret);
            component.grants.config.push(ConfigValue { name, value: Secret::new(value.text), secret });
        }
    }
    for (name, text) in table.string_map("environment", f) {
        set_env(&mut component.grants, name, text.text.to_owned(), f);
    }
    let wanted = files::read(&mut table, f);
    component.assets = files::expand(&wanted, source, f);
    read_hosts(&mut table, version, variables, &mut component, f);
    read_stores(&mut table, app, &mut component, f);
    if let Some(models) = table.get("ai_models") {
        let message = "language models are not supported yet by this version, so `ai_models` grants nothing";
        f.warn(models.key, message, "a call of the model's interface returns its error");
    }
    if version == Version::Two {
        component.dependencies = dependencies::read(&mut table, source, f);
        read_rest_of_v2(&mut table, f);
    }
    table.finish(f);
    component
}

fn read_hosts(
    table: &mut Table<'_>,
    version: Version,
    variables: &Variables,
    component: &mut Component,
    f: &mut Findings,
) {
    let outbound = table.get("allowed_outbound_hosts");
    let http = table.get("allowed_http_hosts");
    for text in outbound.iter().flat_map(|value| value.strings(f)).collect::<Vec<_>>() {
        network::spin_host(text, variables, &mut component.grants, f);
    }
    for text in http.iter().flat_map(|value| value.strings(f)).collect::<Vec<_>>() {
        network::spin_http_host(text, variables, &mut component.grants, f);
    }
    if version == Version::One && outbound.is_none() {
        network::open_databases(&mut component.grants);
    }
}

fn read_stores(table: &mut Table<'_>, app: &mut App, component: &mut Component, f: &mut Findings) {
    for text in table.strings("key_value_stores", f) {
        if known(text, app.keyvalue.contains_key(text.text), "key_value_store", f) {
            add_default_keyvalue(text.text, app);
            component.grants.keyvalue.push(same_name(text));
        }
    }
    for text in table.strings("sqlite_databases", f) {
        if known(text, app.sql.contains_key(text.text), "sqlite_database", f) {
            add_default_sql(text.text, app);
            component.grants.sql.push(same_name(text));
        }
    }
}

fn same_name(text: Text<'_>) -> StoreGrant {
    StoreGrant { name: text.text.to_owned(), store: text.text.to_owned() }
}

/// `default` always exists; other labels come from `runtime-config.toml`.
fn known(text: Text<'_>, declared: bool, section: &str, f: &mut Findings) -> bool {
    if declared || text.text == "default" {
        return true;
    }
    f.error_help(
        text.span,
        format!("there is no store {}", quoted(text.text)),
        format!(
            "declare it in runtime-config.toml beside the manifest: [{section}.NAME] with `type = \"spin\"` for a file"
        ),
    );
    false
}

fn read_rest_of_v2(table: &mut Table<'_>, f: &mut Findings) {
    // Which hosts the component was made for, and what other tools keep here.
    table.get("targets");
    table.get("tool");
    // Profiles other than the unnamed one are chosen by nobody; their keys are checked all the same.
    for (_, value) in table.table("profile", f).map(Table::into_entries).unwrap_or_default() {
        let Some(mut profile) = value.table(f) else { continue };
        profile.get("source");
        profile.get("dependencies");
        profile.string_map("environment", f);
        if let Some(mut build) = profile.table("build", f) {
            build.string_or_list("command", f);
            build.finish(f);
        }
        profile.finish(f);
    }
}
