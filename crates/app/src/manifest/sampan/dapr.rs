//! `[dapr]`: where Dapr's API is served, and the folder with its resources.

use super::parse_address;
use crate::dapr::{AppChannel, AppProtocol, DAPR_BODY_BYTES, Dapr, DaprComponent, in_scope, load};
use crate::manifest::findings::{Findings, nearest, quoted};
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::manifest::{Source, names};
use crate::{App, Secret};

const PROTOCOLS: [&str; 2] = ["http", "grpc"];
/// Variables of the environment that Dapr reads the tokens from.
const API_TOKEN: &str = "DAPR_API_TOKEN";
const APP_TOKEN: &str = "APP_API_TOKEN";

pub(super) fn read(
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &App,
    f: &mut Findings,
) -> Dapr {
    let mut dapr = Dapr { app_id: app.name.clone(), ..Dapr::default() };
    if let Some(folder) = table.string("components", f) {
        let folder = source.root.join(folder.text);
        match load(&folder) {
            Ok(resources) => {
                f.extend(resources.warnings.clone());
                dapr.resources = resources;
            }
            Err(findings) => f.extend(findings),
        }
        dapr.components = Some(folder);
    }
    dapr.http = table.string("http", f).and_then(|text| parse_address(text, f));
    dapr.grpc = table.string("grpc", f).and_then(|text| parse_address(text, f));
    if let Some(id) = table.string("app_id", f)
        && names::check(id, "an app of Dapr", f)
    {
        dapr.app_id = id.text.to_owned();
    }
    dapr.app = app_channel(&mut table, f);
    let may_hold_token = table.has_like("tok");
    f.hide(may_hold_token);
    dapr.api_token = token(&mut table, "api_token", API_TOKEN, source, variables, f);
    dapr.app_token = token(&mut table, "app_token", APP_TOKEN, source, variables, f);
    f.hide(false);
    dapr.max_body_bytes = table.size("max_body", f).unwrap_or(DAPR_BODY_BYTES);
    f.hide(may_hold_token);
    table.finish(f);
    f.hide(false);
    dapr
}

/// As the manifest says, else as the environment does.
fn token(
    table: &mut Table<'_>,
    key: &'static str,
    name: &str,
    source: &Source<'_>,
    variables: &Variables,
    f: &mut Findings,
) -> Option<Secret> {
    let text = match table.get(key) {
        Some(value) => variables.expand(value.string(f)?, f)?.text,
        None => (source.surroundings.env)(name)?,
    };
    (!text.is_empty()).then(|| Secret::new(text))
}

fn app_channel(table: &mut Table<'_>, f: &mut Findings) -> Option<AppChannel> {
    let port = table.get("app_port");
    let (host, protocol) = (table.get("app_host"), table.get("app_protocol"));
    if port.is_none() {
        for value in [&host, &protocol].into_iter().flatten() {
            let message = format!("`{}` belongs to an app with `app_port`", value.path);
            f.error_help(value.key, message, "add `app_port = 3000`, the one that the process listens on");
        }
    }
    port?;
    let port = table.number("app_port", 1, 65_535, f).and_then(|port| u16::try_from(port).ok());
    let host = host.and_then(|value| value.string(f)).and_then(|text| app_host(text, f));
    let protocol = protocol.and_then(|value| value.string(f)).and_then(|text| app_protocol(text, f));
    Some(AppChannel {
        host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: port?,
        protocol: protocol.unwrap_or_default(),
    })
}

fn app_host(text: Text<'_>, f: &mut Findings) -> Option<String> {
    let host = text.text.trim_start_matches('[').trim_end_matches(']');
    let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    let address = host.parse::<std::net::IpAddr>().is_ok();
    if !valid || (host.contains(':') && !address) {
        let message = format!("{} is not a host", quoted(text.text));
        f.error_help(text.span, message, "write a name or an address; the port is `app_port`");
        return None;
    }
    Some(host.to_owned())
}

fn app_protocol(text: Text<'_>, f: &mut Findings) -> Option<AppProtocol> {
    match text.text {
        "http" => Some(AppProtocol::Http),
        "grpc" => Some(AppProtocol::Grpc),
        other => {
            let help = match nearest(other, PROTOCOLS) {
                Some(one) => format!("did you mean \"{one}\"?"),
                None => "write \"http\" or \"grpc\"".to_owned(),
            };
            f.error_help(text.span, format!("there is no protocol {}", quoted(other)), help);
            None
        }
    }
}

/// The components of a building block, such as `state`, that the app may use.
pub(super) fn components<'a>(app: &'a App, block: &str) -> Vec<&'a str> {
    let Some(dapr) = &app.dapr else { return Vec::new() };
    let of_block = |one: &&DaprComponent| one.kind.split('.').next() == Some(block);
    let mine = dapr.resources.components.iter().filter(|one| in_scope(&one.scopes, &dapr.app_id));
    mine.filter(of_block).map(|one| one.name.as_str()).collect()
}

/// What brings messages: `[messaging.NAME]`, and pub/sub components.
pub(super) fn brokers<'a>(source: &'a Source<'_>, app: &'a App) -> Vec<&'a str> {
    let mut names: Vec<&str> = source.messaging.iter().map(String::as_str).collect();
    names.extend(components(app, "pubsub"));
    names
}

pub(super) fn report_no_broker(name: &str, text: Text<'_>, known: &[&str], f: &mut Findings) {
    let help = match nearest(name, known.iter().copied()) {
        Some(one) => format!("did you mean `{one}`?"),
        None => "declare it: [messaging.NAME], or a pub/sub component in the folder of [dapr]".to_owned(),
    };
    f.error_help(text.span, format!("there is no broker {}", quoted(name)), help);
}

/// `grant.dapr`: a component, a store, `app:ID`, or `*`.
pub(super) fn grant(text: Text<'_>, source: &Source<'_>, app: &App, f: &mut Findings) -> Option<String> {
    let Some(dapr) = &app.dapr else {
        let help = "add [dapr] with `components = \"FOLDER\"`";
        f.error_help(text.span, "the app has no [dapr], so there is nothing to grant", help);
        return None;
    };
    if let Some(id) = text.text.strip_prefix("app:") {
        let valid = !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
        if !valid {
            let message = format!("{} names no app", quoted(text.text));
            f.error_help(text.span, message, "write `app:ID`, such as \"app:orders\"");
        }
        return valid.then(|| text.text.to_owned());
    }
    let mine = dapr.resources.components.iter().filter(|one| in_scope(&one.scopes, &dapr.app_id));
    let mut known: Vec<&str> = mine.map(|one| one.name.as_str()).collect();
    known.extend(app.keyvalue.keys().map(String::as_str));
    known.extend(source.messaging.iter().map(String::as_str));
    if text.text == "*" || known.contains(&text.text) {
        return Some(text.text.to_owned());
    }
    let elsewhere = dapr.resources.component(text.text).is_some();
    let help = match nearest(text.text, known.iter().copied()) {
        _ if elsewhere => format!("its `scopes` leave out this app, {}", quoted(&dapr.app_id)),
        Some(one) => format!("did you mean `{one}`?"),
        None => "write the name of a component or a store, `app:ID`, or \"*\"".to_owned(),
    };
    f.error_help(text.span, format!("there is no component {} for this app", quoted(text.text)), help);
    None
}

/// A name that means two things would be chance.
pub(super) fn report_shadowed(source: &Source<'_>, app: &App, f: &mut Findings) {
    let Some(dapr) = &app.dapr else { return };
    for component in &dapr.resources.components {
        let name = &component.name;
        let section = match component.kind.split('.').next() {
            Some("state") if app.keyvalue.contains_key(name) => "keyvalue",
            Some("pubsub") if source.messaging.contains(name) => "messaging",
            _ => continue,
        };
        f.error_in_file(
            format!(
                "the name `{name}` is that of [{section}.{name}] and of a component in {} (line {})",
                component.file.display(),
                component.line,
            ),
            "rename one of them: stores are served by Dapr's API too",
        );
    }
}
