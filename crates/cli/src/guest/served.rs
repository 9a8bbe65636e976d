//! Containers whose entry answers requests: a component, a CGI program, or a whole app by its manifest. They are what
//! `sampan up` serves, at the container's ports.

use super::entry::{Entry, Kind};
use super::words::Serving;
use super::wrong;
use crate::fail::Fail;
use crate::{manifest, up};
use sampan_app::{App, Cgi, CgiDialect, Component, ComponentKind, Grants, Limits, Route, Target};
use sampan_runtime::{Counters, exit_code};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What a component is called that nobody named.
const NAME: &str = "main";

pub fn serve(
    entry: &Entry,
    words: Serving,
    grants: Grants,
    limits: Limits,
    root: &Path,
    counters: Option<Arc<Counters>>,
) -> Result<ExitCode, Fail> {
    let memory_bytes = limits.memory_bytes;
    let app = match entry.kind {
        Kind::App => app(entry, grants)?,
        _ => component(entry, &words, grants, limits, root),
    };
    // Where nobody says otherwise, a manifest says where.
    let listen = if words.said || app.listen.is_empty() { words.listen } else { Vec::new() };
    up::serve_container(app, listen, memory_bytes, counters)
        .map_err(|fail| if fail.code == exit_code::ERROR { fail.code(exit_code::CANNOT_START) } else { fail })
}

/// An app by its manifest. What it may reach is what its manifest says; its files are the container's.
fn app(entry: &Entry, grants: Grants) -> Result<App, Fail> {
    let read = manifest::read_contained(&entry.file, &grants.env);
    let (mut app, doubtful) = read.map_err(|errors| Fail::shown(manifest::rendered(&errors)))?;
    manifest::print(&doubtful);
    // What would be this machine alone is the container alone here.
    for place in app.listen.iter_mut().filter(|place| place.address.ip().is_loopback()) {
        place.address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    for component in &mut app.components {
        if component.source.as_os_str().is_empty() && component.image.is_none() {
            return Err(wrong(format!("the component {} has no source", component.name)));
        }
        // What the user grants beside the manifest's words: mounts and variables.
        component.grants.mounts.extend(grants.mounts.iter().skip(1).cloned());
        for (name, value) in &grants.env {
            if !component.grants.env.iter().any(|(known, _)| known == name) {
                component.grants.env.push((name.clone(), value.clone()));
            }
        }
    }
    Ok(app)
}

fn component(entry: &Entry, words: &Serving, mut grants: Grants, limits: Limits, root: &Path) -> App {
    // Its ports are ours to listen at.
    grants.ports.clear();
    grants.own_network = false;
    let served = Limits::served();
    let limits = Limits {
        memory_bytes: limits.memory_bytes.or(served.memory_bytes),
        timeout: limits.timeout.or(served.timeout),
        ..limits
    };
    let kind = match entry.kind {
        Kind::Cgi => Some(ComponentKind::Cgi(cgi(words))),
        _ => None,
    };
    let component = Component {
        name: NAME.to_owned(),
        source: entry.file.clone(),
        kind,
        grants,
        limits,
        ..Component::default()
    };
    App {
        name: NAME.to_owned(),
        manifest: entry.file.clone(),
        root: root.to_owned(),
        state: root.join(".sampan"),
        components: vec![component],
        routes: vec![Route::new("/...", Target::Component(NAME.to_owned()))],
        ..App::default()
    }
}

/// How the program is called. `-S ADDRESS -t FOLDER` are what starts PHP's own server, which a CGI program is not: the
/// folder is the document root, and the address is the container's.
fn cgi(words: &Serving) -> Cgi {
    let mut argv = Vec::new();
    let mut document_root = None;
    let mut rest = words.args.iter().skip(1);
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-S" => drop(rest.next()),
            "-t" => document_root = rest.next().map(|folder| absolute(folder, &words.workdir)),
            _ => argv.push(arg.clone()),
        }
    }
    let document_root = document_root.or_else(|| Some(words.workdir.clone()).filter(|folder| folder != "/"));
    let dialect = if document_root.is_some() { CgiDialect::Script } else { CgiDialect::Wagi };
    Cgi { dialect, argv, document_root }
}

fn absolute(folder: &str, workdir: &str) -> String {
    let joined = Path::new(workdir).join(folder.trim_start_matches("./"));
    joined.to_string_lossy().into_owned()
}
