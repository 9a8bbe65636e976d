//! Reads `sampan.toml`.

mod code;
mod component;
mod dapr;
mod filter;
mod grants;
mod messaging;
mod policy;
mod route;
mod stores;
mod tcp;
mod trigger;
mod upstream;
mod upstream_parts;

pub(super) use component::{build, set_env};
pub(super) use grants::{add_default_keyvalue, add_default_sql};
pub(super) use stores::{sqlite, sqlite_keyvalue};

use super::findings::Findings;
use super::tree::{Table, Text};
use super::variables::{Dialect, Variables};
use super::{Source, names, routes};
use crate::{App, Listen, Tls};
use std::net::SocketAddr;

pub(super) fn read(mut table: Table<'_>, source: &Source<'_>, f: &mut Findings) -> App {
    let mut app = App { manifest: source.path.clone(), root: source.root.clone(), ..App::default() };
    let own_files = read_app(table.table("app", f), source, &mut app, f);
    let variables_table = table.table("variables", f);
    let files = source.variables_files(&own_files);
    let variables =
        Variables::read(variables_table, Dialect::Sampan, &source.root, &files, source.surroundings, f);
    for listen in table.tables("listen", f) {
        app.listen.extend(read_listen(listen, source, f));
    }
    app.keyvalue = stores::keyvalue(table.table("keyvalue", f), &app, &variables, f);
    app.sql = stores::sql(table.table("sql", f), &app, &variables, f);
    app.messaging = messaging::read_all(table.table("messaging", f), &app, &variables, f);
    // Before what is granted.
    app.dapr = table.table("dapr", f).map(|dapr| dapr::read(dapr, source, &variables, &app, f));
    dapr::report_shadowed(source, &app, f);
    let components = table.table("component", f);
    let components = components.map(Table::into_entries).unwrap_or_default();
    names::check_different(components.iter().map(|(name, _)| *name), f);
    for (name, value) in components {
        let Some(table) = value.table(f) else { continue };
        if names::check(name, "a component", f) {
            let component = component::read(name.text, table, source, &variables, &mut app, f);
            app.components.push(component);
        }
    }
    filter::read_all(table.table("filter", f), source, &variables, &mut app, f);
    upstream::read_all(table.table("upstream", f), source, &variables, &mut app, f);
    let mut places = Vec::new();
    for route in table.tables("route", f) {
        let span = route.span;
        if let Some((route, place)) = route::read(route, source, &variables, &mut app, f) {
            app.routes.push(route);
            places.push(place.unwrap_or(span));
        }
    }
    routes::report_conflicts(&app.routes, &places, f);
    for tcp in table.tables("tcp", f) {
        let tcp = tcp::read(tcp, source, &variables, &app, f);
        app.tcp.extend(tcp);
    }
    if let Some(triggers) = table.table("trigger", f) {
        trigger::read_all(triggers, source, &mut app, f);
    }
    if let Some(telemetry) = table.table("telemetry", f) {
        read_telemetry(telemetry, &mut app, f);
    }
    table.later(&["secrets", "lock"], f);
    if routes::is_idle(&app) && !f.has_errors() {
        f.error_in_file(
            "the app has no route, so no request would be answered",
            "add [[route]] with `path = \"/...\"` and `to = \"NAME\"` of a component, or `to = \"static:FOLDER\"`",
        );
    }
    routes::warn_unreached(&app, f);
    table.finish(f);
    app
}

/// Reads `[app]`; returns its files of variables.
fn read_app<'a>(
    table: Option<Table<'a>>,
    source: &Source<'_>,
    app: &mut App,
    f: &mut Findings,
) -> Vec<Text<'a>> {
    app.state = source.root.join(".sampan");
    app.name = source.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(mut table) = table else { return Vec::new() };
    if let Some(name) = table.string("name", f)
        && names::check(name, "an app", f)
    {
        app.name = name.text.to_owned();
    }
    app.version = table.string("version", f).map(|text| text.text.to_owned()).unwrap_or_default();
    app.memory_bytes = table.size("memory", f);
    if let Some(state) = table.string("state", f) {
        app.state = source.root.join(state.text);
    }
    let files = table.string_or_list("variables_file", f);
    table.finish(f);
    files
}

fn read_listen(mut table: Table<'_>, source: &Source<'_>, f: &mut Findings) -> Option<Listen> {
    let address = table.require("address", f, "add `address = \"127.0.0.1:8080\"`");
    let address = address.and_then(|value| value.string(f)).and_then(|text| parse_address(text, f));
    let tls = table.table("tls", f).and_then(|tls| read_tls(tls, source, f));
    table.finish(f);
    Some(Listen { address: address?, tls })
}

fn read_tls(mut tls: Table<'_>, source: &Source<'_>, f: &mut Findings) -> Option<Tls> {
    let mut path = |key, f: &mut Findings| {
        let value = tls.require(key, f, "`tls` names two files in PEM: `cert` and `key`")?;
        Some(source.root.join(value.string(f)?.text))
    };
    let (cert, key) = (path("cert", f), path("key", f));
    tls.finish(f);
    Some(Tls { cert: cert?, key: key? })
}

fn parse_address(text: Text<'_>, f: &mut Findings) -> Option<SocketAddr> {
    let numbers = match text.text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.text.to_owned(),
    };
    let address = numbers.parse().ok();
    if address.is_none() {
        f.error_help(
            text.span,
            format!("{} is not an address to listen on", super::findings::quoted(text.text)),
            "write ADDRESS:PORT, such as \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for all networks of this machine",
        );
    }
    address
}

fn read_telemetry(mut table: Table<'_>, app: &mut App, f: &mut Findings) {
    app.admin = table.string("admin", f).and_then(|text| parse_address(text, f));
    table.later(&["otlp"], f);
    table.finish(f);
}
