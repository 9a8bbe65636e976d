//! `grant = { … }`: what a component may touch.

use crate::manifest::Source;
use crate::manifest::findings::{Findings, nearest, quoted};
use crate::manifest::network;
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::{App, ConfigValue, Grants, Mount, PortMap, Secret, StoreGrant};

use super::{dapr, stores};

/// Reads the table into `grants`; stores that need no declaration are added to the app.
pub(super) fn read(
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    grants: &mut Grants,
    f: &mut Findings,
) {
    for text in table.strings("http", f) {
        grants.http.extend(network::origin(text, variables, f));
    }
    for text in table.strings("tcp", f) {
        grants.tcp.extend(network::net_rule(text, variables, f));
    }
    for text in table.strings("udp", f) {
        grants.udp.extend(network::net_rule(text, variables, f));
    }
    for text in table.strings("services", f) {
        grants.services.extend(network::service(text, variables, f));
    }
    for text in table.strings("keyvalue", f) {
        let mut known: Vec<&str> = app.keyvalue.keys().map(String::as_str).collect();
        let components = dapr::components(app, "state");
        known.extend(&components);
        if let Some(grant) = store(text, "keyvalue", &known, f) {
            if !components.contains(&grant.store.as_str()) {
                add_default_keyvalue(&grant.store, app);
            }
            report_twice(grants.keyvalue.iter().any(|other| other.name == grant.name), text, f);
            grants.keyvalue.push(grant);
        }
    }
    for text in table.strings("sql", f) {
        let known: Vec<&str> = app.sql.keys().map(String::as_str).collect();
        if let Some(grant) = store(text, "sql", &known, f) {
            add_default_sql(&grant.store, app);
            report_twice(grants.sql.iter().any(|other| other.name == grant.name), text, f);
            grants.sql.push(grant);
        }
    }
    for text in table.strings("messaging", f) {
        let (guest, name) = renamed(text);
        let known = dapr::brokers(source, app);
        if guest.is_empty() || !known.contains(&name.text) {
            dapr::report_no_broker(name.text, text, &known, f);
            continue;
        }
        report_twice(grants.messaging.iter().any(|other| other.name == guest), text, f);
        grants.messaging.push(StoreGrant { name: guest.to_owned(), store: name.text.to_owned() });
    }
    for text in table.strings("dapr", f) {
        grants.dapr.extend(dapr::grant(text, source, app, f));
    }
    for text in table.strings("files", f) {
        if let Some(mount) = mount(text, source, f) {
            report_twice(grants.mounts.iter().any(|other| other.guest == mount.guest), text, f);
            grants.mounts.push(mount);
        }
    }
    for text in table.strings("ports", f) {
        grants.ports.extend(port(text, f));
    }
    for text in table.strings("env", f) {
        inherit(text, source, grants, f);
    }
    for text in table.strings("variables", f) {
        let (guest, name) = renamed(text);
        if let Some((value, secret)) = variables.get(name, f) {
            let value = Secret::new(value);
            grants.config.push(ConfigValue { name: guest.to_owned(), value, secret });
        }
    }
    table.later(&["secrets", "lock", "inference"], f);
    table.finish(f);
}

/// `default` exists without being declared.
pub(in crate::manifest) fn add_default_keyvalue(store: &str, app: &mut App) {
    if !app.keyvalue.contains_key(store) {
        let declared = stores::sqlite_keyvalue(store, app);
        app.keyvalue.insert(store.to_owned(), declared);
    }
}

/// `default` exists without being declared.
pub(in crate::manifest) fn add_default_sql(store: &str, app: &mut App) {
    if !app.sql.contains_key(store) {
        let declared = stores::sqlite(store, app);
        app.sql.insert(store.to_owned(), declared);
    }
}

/// `GUEST=NAME` or `NAME`.
fn renamed(text: Text<'_>) -> (&str, Text<'_>) {
    match text.text.split_once('=') {
        Some((guest, name)) => (guest.trim(), Text { text: name.trim(), span: text.span }),
        None => (text.text, text),
    }
}

fn store(text: Text<'_>, section: &str, known: &[&str], f: &mut Findings) -> Option<StoreGrant> {
    let (guest, name) = renamed(text);
    if guest.is_empty() {
        f.error_help(text.span, "a store without a name", "write NAME, or NAME_OF_THE_GUEST=NAME");
        return None;
    }
    if name.text != "default" && !known.contains(&name.text) {
        let help = match nearest(name.text, known.iter().copied()) {
            Some(one) => format!("did you mean `{one}`?"),
            None => {
                format!("declare it: [{section}.{}]", if name.text.is_empty() { "NAME" } else { name.text })
            }
        };
        f.error_help(text.span, format!("there is no store [{section}.{}]", name.text), help);
        return None;
    }
    Some(StoreGrant { name: guest.to_owned(), store: name.text.to_owned() })
}

/// One name of the guest for two things.
fn report_twice(is_twice: bool, text: Text<'_>, f: &mut Findings) {
    if is_twice {
        let message = format!("{} gives the guest a name that it has already", quoted(text.text));
        f.error_help(text.span, message, "remove one of the two, or choose another name for the guest");
    }
}

fn mount(text: Text<'_>, source: &Source<'_>, f: &mut Findings) -> Option<Mount> {
    match text.text.parse::<Mount>() {
        Ok(mount) => Some(Mount { host: source.root.join(mount.host), ..mount }),
        Err(error) => {
            f.error(text.span, error.to_string());
            None
        }
    }
}

fn port(text: Text<'_>, f: &mut Findings) -> Option<PortMap> {
    match text.text.parse() {
        Ok(port) => Some(port),
        Err(error) => {
            f.error(text.span, error.to_string());
            None
        }
    }
}

/// Passes a variable of the process's environment on, where it is set.
fn inherit(text: Text<'_>, source: &Source<'_>, grants: &mut Grants, f: &mut Findings) {
    let (guest, name) = renamed(text);
    if guest.is_empty() || name.text.is_empty() || name.text.contains('\0') {
        f.error_help(
            text.span,
            format!("{} is not the name of an environment variable", quoted(text.text)),
            "write names, such as \"HOME\"; values stand in `env` of the component",
        );
        return;
    }
    if let Some(value) = (source.surroundings.env)(name.text) {
        grants.env.push((guest.to_owned(), value));
    }
}
