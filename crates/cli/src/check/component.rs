//! What the file of a component tells: whether it can be served in the way that the manifest says, and which
//! grants it may lack.

use sampan_app::{
    App, Broker, Cgi, Component, ComponentKind, Diagnostic, Grants, Outline, Severity, Target, TopicTrigger,
};
use sampan_engine::MAX_WASM_BYTES;
use sampan_engine::compose::answers;
use sampan_engine::detect::{self, Kind};
use sampan_engine::inspect::{Grant, Need, Report, inspect, unknown_imports};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Unknown imports that a message names.
const NAMED_IMPORTS: usize = 5;
/// Of more grants that are missing, one warning tells all.
const TOLD_EACH: usize = 3;

/// Where findings are to be shown.
pub struct Place<'a> {
    pub file: &'a Path,
    /// The app's folder; paths below it are shown without it.
    pub root: &'a Path,
    pub outline: &'a Outline,
}

/// What a file is and holds, or why it is no component.
type Seen = Result<(Kind, Report), Problem>;

/// Files that were looked into.
#[derive(Default)]
pub struct Looked {
    files: HashMap<PathBuf, Rc<Seen>>,
}

/// Why a file is no component: what is wrong, and what to do.
struct Problem {
    message: String,
    help: Option<&'static str>,
}

/// What the app does with a component.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Requests come to it by a route.
    routed: bool,
    /// Messages of a channel of Redis start it.
    on_channel: bool,
    /// It is an app of Spin, whose manifest has other keys.
    spin: bool,
}

impl Wanted {
    pub fn of(app: &App, name: &str, spin: bool) -> Self {
        let leads = |to: &Target| matches!(to, Target::Component(one) if one == name);
        let starts =
            |one: &TopicTrigger| one.component == name && matches!(one.broker, Broker::RedisChannel { .. });
        let routed = app.routes.iter().any(|route| leads(&route.to));
        Wanted { routed, on_channel: app.topic_triggers.iter().any(starts), spin }
    }
}

pub fn check(
    component: &Component,
    wanted: Wanted,
    place: &Place<'_>,
    looked: &mut Looked,
) -> Vec<Diagnostic> {
    if component.remote.is_some() {
        // What it says was read with the manifest; the code itself is elsewhere.
        return Vec::new();
    }
    let span = place.outline.components.get(&component.name).cloned();
    let mut diagnostics = Vec::new();
    let mut add = |severity, message: String, help: String| {
        let (file, span) = (place.file.to_owned(), span.clone());
        diagnostics.push(Diagnostic { severity, message, file, span, hidden: false, help: Some(help) });
    };
    let name = &component.name;
    let file = component.source.strip_prefix(place.root).unwrap_or(&component.source).display();
    if !component.source.exists() {
        let help = match component.build.as_ref().and_then(|build| build.commands.first()) {
            Some(command) => format!("build it with `sampan build`, which runs: {command}"),
            None => "check the path, or say by `build` how the file is made".to_owned(),
        };
        add(Severity::Error, format!("the file {file} of the component `{name}` does not exist"), help);
        return diagnostics;
    }
    let looked = looked.look(&component.source);
    let (kind, report) = match looked.as_ref() {
        Ok((kind, report)) => (kind, report),
        Err(Problem { message, help }) => {
            let help = help.unwrap_or("build the component anew, or name another file");
            add(Severity::Error, format!("{file} of the component `{name}`: {message}"), help.to_owned());
            return diagnostics;
        }
    };
    if let Err((message, help)) = servable(kind, report, component.kind.as_ref(), wanted) {
        add(Severity::Error, format!("the component `{name}` {message}: it is {}", kind.describe()), help);
        return diagnostics;
    }
    for one in component.dependencies.iter().filter(|one| one.remote.is_none() && !one.source.is_file()) {
        let file = one.source.strip_prefix(place.root).unwrap_or(&one.source).display();
        let message = format!(
            "the file {file} of the dependency `{}` of the component `{name}` does not exist",
            one.name
        );
        add(Severity::Error, message, "check the path, and build the file first".to_owned());
    }
    let mut unknown = unknown_imports(report);
    unknown.retain(|import| !component.dependencies.iter().any(|one| answers(&one.name, import)));
    if !unknown.is_empty() {
        let more = if unknown.len() > NAMED_IMPORTS { ", …" } else { "" };
        let names = unknown[..unknown.len().min(NAMED_IMPORTS)].join(", ");
        let message = format!("the component `{name}` imports what Sampan does not provide: {names}{more}");
        add(Severity::Error, message, format!("`sampan inspect {}` shows all", component.source.display()));
    }
    if component.serving.concurrency > 1 && !serves_at_once(report) {
        let message = format!("`concurrency` has no effect on the component `{name}`");
        add(
            Severity::Warning,
            message,
            "only HTTP handlers of WASI 0.3 serve several requests at once".to_owned(),
        );
    }
    for (message, help) in lacking(component, report, place.outline.spin) {
        add(Severity::Warning, message, help);
    }
    diagnostics
}

/// Whether one instance can serve several requests at once.
fn serves_at_once(report: &Report) -> bool {
    report.exports.iter().any(|export| export.name.starts_with("wasi:http/handler@0.3."))
}

impl Looked {
    fn look(&mut self, path: &Path) -> Rc<Seen> {
        self.files.entry(path.to_owned()).or_insert_with(|| Rc::new(look_into(path))).clone()
    }
}

fn look_into(path: &Path) -> Seen {
    let plain = |message: String| Problem { message, help: None };
    let unreadable = |error: std::io::Error| Problem {
        message: format!("cannot read it: {error}"),
        help: Some("check the permissions of the file"),
    };
    if path.is_dir() {
        return Err(Problem {
            message: "it is a folder".to_owned(),
            help: Some("name the wasm file inside it"),
        });
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_WASM_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_WASM_BYTES {
        return Err(plain(format!("it is larger than {} MiB", MAX_WASM_BYTES >> 20)));
    }
    let bytes = match detect::detect(&bytes) {
        Err(detect::DetectError::TextFormat) => {
            wat::parse_bytes(&bytes).map_err(|error| plain(error.to_string()))?.into_owned()
        }
        _ => bytes,
    };
    let kind = detect::detect(&bytes).map_err(|error| plain(error.to_string()))?;
    let report = inspect(&bytes, &[]).map_err(|error| plain(error.to_string()))?;
    Ok((kind, report))
}

/// Whether a file can be served as the manifest says; else what is wrong, and what to do.
fn servable(
    kind: &Kind,
    report: &Report,
    as_kind: Option<&ComponentKind>,
    wanted: Wanted,
) -> Result<(), (&'static str, String)> {
    let answers_http = is_http(kind, report);
    let takes_messages = takes_messages(kind, report);
    let Wanted { routed, on_channel, spin } = wanted;
    let is_program = matches!(kind, Kind::Command(_) | Kind::StartOnly(_) | Kind::CliComponent(_));
    match as_kind {
        _ if on_channel && !takes_messages => Err((
            "has no handler of messages, and a channel of Redis triggers it",
            "it exports fermyon:spin/inbound-redis, spin:redis/inbound-redis or wasi:messaging/incoming-handler"
                .to_owned(),
        )),
        None | Some(ComponentKind::Http) if takes_messages && !answers_http && routed => Err((
            "takes messages and answers no HTTP requests, and a route leads to it",
            "remove the route, or let it export wasi:http/incoming-handler too".to_owned(),
        )),
        None | Some(ComponentKind::Http) if answers_http || takes_messages => Ok(()),
        Some(ComponentKind::Cgi(_) | ComponentKind::Server { .. }) if is_program => Ok(()),
        Some(ComponentKind::Cgi(Cgi { .. }) | ComponentKind::Server { .. }) if answers_http => {
            let help = if spin { "remove `executor`" } else { "remove `kind`, or write `kind = \"http\"`" };
            Err(("answers HTTP requests itself, and the manifest says that it is a program", help.to_owned()))
        }
        _ if is_program => {
            let help = if spin {
                "if it is a CGI program, add `executor = { type = \"wagi\" }` to its trigger"
            } else {
                "if it is a CGI program, add `kind = \"cgi\"`; if it listens for itself, `kind = \"server\"` and its \
                 `port`"
            };
            Err(("does not answer HTTP requests by itself", help.to_owned()))
        }
        _ => Err(("cannot be served", advice(kind, report).to_owned())),
    }
}

/// Whether an HTTP request can be handed to it. What the kind does not say, its exports do.
fn is_http(kind: &Kind, report: &Report) -> bool {
    const HANDLERS: [&str; 3] =
        ["wasi:http/incoming-handler@", "wasi:http/handler@", "fermyon:spin/inbound-http"];
    let by_exports = || {
        report.exports.iter().any(|export| HANDLERS.iter().any(|handler| export.name.starts_with(handler)))
    };
    match kind {
        Kind::HttpComponent(_) => true,
        // A server in Rust that is written as a program exports both.
        Kind::CliComponent(_)
        | Kind::UnwrappedComponent { .. }
        | Kind::PreReleaseComponent { .. }
        | Kind::Component { .. } => by_exports(),
        _ => false,
    }
}

/// Whether a message can be handed to it as it is.
fn takes_messages(kind: &Kind, report: &Report) -> bool {
    const HANDLERS: [&str; 3] = [
        "wasi:messaging/incoming-handler@0.2.0-draft",
        "fermyon:spin/inbound-redis",
        "spin:redis/inbound-redis@3.0.0",
    ];
    // A module in the component ABI has functions of them.
    let is_one = |name: &str| HANDLERS.contains(&name.split('#').next().unwrap_or_default());
    kind.becomes_component() && report.exports.iter().any(|export| is_one(&export.name))
}

fn advice(kind: &Kind, report: &Report) -> &'static str {
    let exports = |part: &str| report.exports.iter().any(|export| export.name.contains(part));
    match kind {
        Kind::ProxyWasm(_) | Kind::HttpWasm | Kind::Easegress | Kind::HttpMiddleware(_) => {
            "filters are not supported yet by this version"
        }
        Kind::Artifact => "name the wasm file that the native code was compiled from",
        Kind::WitPackage => "name the component, not its interfaces",
        _ if exports("handle-http-request") || exports("handle-redis-message") => {
            "build it with Spin's SDK 2 or later, which has another interface"
        }
        _ => {
            "a component exports wasi:http/incoming-handler or wasi:http/handler, or for messages \
             wasi:messaging/incoming-handler; `sampan inspect` shows its exports"
        }
    }
}

/// What the imports need and nothing grants: a message and a help for each.
fn lacking(component: &Component, report: &Report, spin: bool) -> Vec<(String, String)> {
    let name = &component.name;
    let grants: Vec<_> = report.grants.iter().filter(|grant| lacks(&component.grants, grant.needs)).collect();
    if grants.len() > TOLD_EACH {
        let reasons: Vec<_> = grants.iter().map(|grant| grant.reason).collect();
        let message = format!(
            "the component `{name}` has no grant for much of what it imports: {}",
            reasons.join(", ")
        );
        let help = "SDKs of some languages import all that there is; grant what the component does";
        return vec![(message, help.to_owned())];
    }
    let one = |grant: &&Grant| {
        let imports = grant.imports.join(", ");
        let message = format!("the component `{name}` {} ({imports})", grant.reason);
        if grant.needs == Need::Mqtt {
            let help = "a call returns the error that the interface has for it";
            return (format!("{message}, which this version does not"), help.to_owned());
        }
        let help = format!("add {}, unless the component never does it", example(grant.needs, spin));
        (format!("{message}, and no grant allows it"), help)
    };
    grants.iter().map(one).collect()
}

/// Whether nothing is granted of a kind. Files and environment are not told: what every program imports says
/// little about what it does.
fn lacks(grants: &Grants, need: Need) -> bool {
    let service = |scheme: &str| {
        grants.services.iter().any(|origin| origin.scheme.as_deref().is_none_or(|one| one == scheme))
    };
    match need {
        Need::Files | Need::Env | Need::Ports => false,
        Need::Tcp => grants.tcp.is_empty(),
        Need::Udp => grants.udp.is_empty(),
        Need::Http => grants.http.is_empty(),
        Need::Keyvalue => grants.keyvalue.is_empty(),
        Need::Messaging => grants.messaging.is_empty(),
        Need::Sql => grants.sql.is_empty(),
        Need::Postgres => !service("postgres"),
        Need::Mysql => !service("mysql"),
        Need::Redis => !service("redis"),
        // Nothing stands behind it yet.
        Need::Mqtt => true,
        Need::Variables => grants.config.is_empty(),
    }
}

/// How a grant is written, in either manifest.
fn example(need: Need, spin: bool) -> &'static str {
    let (ours, theirs) = match need {
        // No warning is given for these.
        Need::Files | Need::Env | Need::Ports | Need::Mqtt => ("a grant", "a grant"),
        Need::Tcp => {
            ("`grant = { tcp = [\"HOST:PORT\"] }`", "`allowed_outbound_hosts = [\"tcp://HOST:PORT\"]`")
        }
        Need::Udp => {
            ("`grant = { udp = [\"HOST:PORT\"] }`", "`allowed_outbound_hosts = [\"udp://HOST:PORT\"]`")
        }
        Need::Http => {
            ("`grant = { http = [\"https://HOST\"] }`", "`allowed_outbound_hosts = [\"https://HOST\"]`")
        }
        Need::Keyvalue => ("`grant = { keyvalue = [\"default\"] }`", "`key_value_stores = [\"default\"]`"),
        // Spin has no brokers; its manifest cannot grant any.
        Need::Messaging => {
            ("`grant = { messaging = [\"events\"] }`", "a grant in a sampan.toml, as Spin has none")
        }
        Need::Sql => ("`grant = { sql = [\"default\"] }`", "`sqlite_databases = [\"default\"]`"),
        Need::Postgres => (
            "`grant = { services = [\"postgres://HOST\"] }`",
            "`allowed_outbound_hosts = [\"postgres://HOST\"]`",
        ),
        Need::Mysql => {
            ("`grant = { services = [\"mysql://HOST\"] }`", "`allowed_outbound_hosts = [\"mysql://HOST\"]`")
        }
        Need::Redis => {
            ("`grant = { services = [\"redis://HOST\"] }`", "`allowed_outbound_hosts = [\"redis://HOST\"]`")
        }
        Need::Variables => ("`grant = { variables = [\"NAME\"] }`", "`variables = { NAME = \"VALUE\" }`"),
    };
    if spin { theirs } else { ours }
}
