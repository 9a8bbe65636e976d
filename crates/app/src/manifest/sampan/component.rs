//! `[component.NAME]`.

use super::{code, grants};
use crate::manifest::findings::{Findings, nearest, quoted};
use crate::manifest::tree::{Table, Text, Value};
use crate::manifest::variables::Variables;
use crate::manifest::{Source, wasip1};
use crate::{
    App, Build, Cgi, CgiDialect, Component, ComponentKind, ConfigValue, Grants, Limits, Remote, Secret,
    Serving,
};

const KINDS: [&str; 5] = ["http", "cgi", "wagi", "wcgi", "server"];
/// Files that are mounted here are served by a CGI program, where nothing else is said.
const DOCUMENT_ROOT: &str = "/docroot";

pub(super) fn read(
    name: &str,
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &mut App,
    f: &mut Findings,
) -> Component {
    let mut component = Component { name: name.to_owned(), limits: Limits::served(), ..Component::default() };
    let code = code::read(&mut table, source, f);
    (component.source, component.build) = (code.source, code.build);
    component.remote = code.image.map(Remote::Image);
    wasip1::rename(&mut component, code.source_span, table.span, f);
    if let Some(grant) = table.table("grant", f) {
        grants::read(grant, source, variables, app, &mut component.grants, f);
    }
    for (name, text) in table.string_map("env", f) {
        if let Some(value) = variables.expand(text, f) {
            set_env(&mut component.grants, name, value.text, f);
        }
    }
    for (name, text) in table.string_map("variables", f) {
        if let Some(value) = variables.expand(text, f) {
            let (name, secret) = (name.text.to_owned(), value.secret);
            // What the component itself says counts.
            component.grants.config.retain(|other| other.name != name);
            component.grants.config.push(ConfigValue { name, value: Secret::new(value.text), secret });
        }
    }
    if let Some(limits_table) = table.table("limits", f) {
        (component.limits, component.serving) = limits(limits_table, f);
    }
    component.serving.spin_headers = table.boolean("spin_headers", f).unwrap_or(false);
    component.lazy = table.boolean("lazy", f).unwrap_or(false);
    component.kind = kind(&mut table, &component.grants, f);
    table.finish(f);
    component
}

/// A name of the environment holds no `=`, and neither half a zero byte.
pub(in crate::manifest) fn set_env(grants: &mut Grants, name: Text<'_>, value: String, f: &mut Findings) {
    if name.text.is_empty() || name.text.contains(['=', '\0']) || value.contains('\0') {
        f.error(name.span, format!("{} is not an environment variable", quoted(name.text)));
        return;
    }
    grants.env.push((name.text.to_owned(), value));
}

/// `build = { command, workdir, watch }`, or the command alone.
pub(in crate::manifest) fn build(value: &Value<'_>, source: &Source<'_>, f: &mut Findings) -> Option<Build> {
    if let Some(command) = value.as_str() {
        let commands = vec![command.to_owned()];
        return Some(Build { commands, workdir: source.root.clone(), watch: Vec::new() });
    }
    let mut table = value.table(f)?;
    let help = "add `command = \"cargo build --release --target wasm32-wasip2\"`";
    let commands = match table.require("command", f, help) {
        None => Vec::new(),
        Some(_) => table.string_or_list("command", f),
    };
    let workdir = table.string("workdir", f);
    let watch = table.strings("watch", f);
    table.finish(f);
    for glob in &watch {
        if let Err(error) = globset::Glob::new(glob.text) {
            let message = format!("{} is not a pattern of files: {}", quoted(glob.text), error.kind());
            f.error_help(glob.span, message, "write a pattern such as \"src/**/*.rs\"");
        }
    }
    Some(Build {
        commands: commands.iter().map(|text| text.text.to_owned()).collect(),
        workdir: workdir.map_or_else(|| source.root.clone(), |text| source.root.join(text.text)),
        watch: watch.iter().map(|text| text.text.to_owned()).collect(),
    })
}

fn limits(mut table: Table<'_>, f: &mut Findings) -> (Limits, Serving) {
    let default = Limits::served();
    // Whoever wants no bound says so.
    let unbounded = |table: &mut Table<'_>, key| {
        let none = table.peek(key) == Some("none");
        none && table.get(key).is_some()
    };
    let limits = Limits {
        memory_bytes: match unbounded(&mut table, "memory") {
            true => None,
            false => table.size("memory", f).or(default.memory_bytes),
        },
        timeout: match unbounded(&mut table, "time") {
            true => None,
            false => table.duration("time", f).or(default.timeout),
        },
        cpu_time: table.duration("cpu", f),
        fuel: table.number("fuel", 1, u64::MAX, f),
        stack_bytes: table.size("stack", f),
    };
    let default = Serving::default();
    let many = 1_000_000;
    let serving = Serving {
        instances: table.number_u32("instances", 1, many, f).unwrap_or(default.instances),
        queue: table.number_u32("queue", 0, many, f).unwrap_or(default.queue),
        queue_timeout: table.duration("queue_time", f).unwrap_or(default.queue_timeout),
        reuse: table.number_u32("reuse", 1, u32::MAX, f),
        concurrency: table.number_u32("concurrency", 1, many, f).unwrap_or(default.concurrency),
        idle: table.duration("idle", f).unwrap_or(default.idle),
        body_bytes: table.size("body", f).unwrap_or(default.body_bytes),
        ..default
    };
    table.finish(f);
    (limits, serving)
}

fn kind(table: &mut Table<'_>, grants: &Grants, f: &mut Findings) -> Option<ComponentKind> {
    let kind = table.string("kind", f);
    let argv = table.get("argv");
    let document_root = table.string("document_root", f);
    let port = table.get("port").map(|value| (value.span, table.number("port", 1, 65_535, f)));
    let is_cgi = matches!(kind.map(|text| text.text), Some("cgi" | "wagi" | "wcgi"));
    let only = |key: &str, belongs: &str, f: &mut Findings, span| {
        f.error_help(span, format!("`{key}` belongs to {belongs}"), format!("add `kind`, or remove `{key}`"));
    };
    if let Some(value) = argv.as_ref().filter(|_| !is_cgi) {
        only("argv", "the kinds cgi, wagi and wcgi", f, value.key);
    }
    if let Some(text) = document_root.filter(|_| !is_cgi) {
        only("document_root", "the kinds cgi, wagi and wcgi", f, text.span);
    }
    if let Some((span, _)) = port.as_ref().filter(|_| kind.is_none_or(|text| text.text != "server")) {
        only("port", "the kind server", f, *span);
    }
    let kind = kind?;
    match kind.text {
        "http" => Some(ComponentKind::Http),
        "cgi" | "wagi" | "wcgi" => {
            let argv = argv.map(|_| table.string_or_list("argv", f));
            Some(ComponentKind::Cgi(cgi(kind.text, argv, document_root, grants, f)))
        }
        "server" => match port {
            Some((_, port)) => Some(ComponentKind::Server { port: u16::try_from(port?).ok()? }),
            None => {
                f.error_help(
                    kind.span,
                    "a server has no `port`",
                    "add `port = 8080`, the one that it listens on",
                );
                None
            }
        },
        other => {
            let help = match nearest(other, KINDS) {
                Some(one) => format!("did you mean \"{one}\"?"),
                None => format!("kinds are {}", KINDS.join(", ")),
            };
            f.error_help(kind.span, format!("there is no kind {}", quoted(other)), help);
            None
        }
    }
}

fn cgi(
    kind: &str,
    argv: Option<Vec<Text<'_>>>,
    document_root: Option<Text<'_>>,
    grants: &Grants,
    f: &mut Findings,
) -> Cgi {
    if let Some(text) = document_root.filter(|text| !text.text.starts_with('/')) {
        f.error_help(
            text.span,
            "`document_root` is a folder of the guest, and begins with `/`",
            "write the folder where `grant.files` mounts the scripts, such as \"/docroot\"",
        );
    }
    let root_text = document_root.filter(|text| text.text.starts_with('/'));
    let mounted = || grants.mounts.iter().any(|mount| mount.guest == DOCUMENT_ROOT);
    let document_root = match document_root {
        Some(text) => Some(text.text.to_owned()),
        None if kind == "cgi" && mounted() => Some(DOCUMENT_ROOT.to_owned()),
        None => None,
    };
    let is_granted = |root: &str| grants.mounts.iter().any(|mount| is_below(root, &mount.guest));
    if let Some(text) = root_text.filter(|text| kind == "cgi" && !is_granted(text.text)) {
        f.error_help(
            text.span,
            format!("the document root {} is in no folder that the component is granted", quoted(text.text)),
            format!("grant one: files = [\"FOLDER:{}\"]", text.text),
        );
    }
    let dialect = match kind {
        "wcgi" => CgiDialect::Wcgi,
        "cgi" if document_root.is_some() => CgiDialect::Script,
        _ => CgiDialect::Wagi,
    };
    let argv = match argv {
        Some(argv) => argv.iter().map(|text| text.text.to_owned()).collect(),
        // RFC 3875, section 4.4, has the words of a query as arguments. Interpreters would take them for
        // their own flags, so they get none.
        None if kind == "wagi" => vec!["${ARGS}".to_owned()],
        None => Vec::new(),
    };
    Cgi { dialect, argv, document_root }
}

/// Whether a path of the guest is the other or lies below it.
fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
