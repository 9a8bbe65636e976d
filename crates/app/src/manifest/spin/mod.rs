//! Reads `spin.toml` of version 1 and 2. The versions differ in their outline (`v1.rs`, `v2.rs`); what a
//! component says is nearly the same (`component.rs`).
//!
//! <https://spinframework.dev/v3/manifest-reference>, and for version 1 <https://spinframework.dev/v1/manifest-reference>

mod component;
mod dependencies;
mod files;
mod runtime_config;
mod source;
mod trigger;
mod v1;
mod v2;

pub(super) use v1::convert;

use super::findings::{Findings, Span, quoted};
use super::tree::{Table, Text, Value};
use super::variables::{Dialect, Variables};
use super::{Source, routes};
use crate::{App, Route, Target};
use std::collections::HashMap;
use std::path::Path;

/// What answers Spin's own health checks.
const HEALTH: &str = "/.well-known/spin/health";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What says that this is a manifest of Spin.
pub(super) struct Marker<'a>(Option<Value<'a>>);

/// Whether the manifest is one of Spin: by its version, or else by its name.
pub(super) fn version<'a>(table: &mut Table<'a>, path: &Path) -> Option<Marker<'a>> {
    // Both are asked for, so that both are known.
    let (new, old) = (table.get("spin_manifest_version"), table.get("spin_version"));
    let marker = new.or(old);
    let by_name = path.file_name().is_some_and(|name| name == super::SPIN);
    (marker.is_some() || by_name).then_some(Marker(marker))
}

/// As [`version`], by the keys alone.
pub(super) fn is_spin(table: &Table<'_>) -> bool {
    table.has("spin_manifest_version") || table.has("spin_version")
}

pub(super) fn read(table: Table<'_>, marker: Marker<'_>, source: &Source<'_>, f: &mut Findings) -> App {
    let mut app = App { manifest: source.path.clone(), root: source.root.clone(), ..App::default() };
    app.state = source.root.join(".sampan");
    match read_version(&marker, f) {
        Some(Version::One) => v1::read(table, source, &mut app, f),
        Some(Version::Two) => v2::read(table, source, &mut app, f),
        None => {}
    }
    app
}

fn read_version(marker: &Marker<'_>, f: &mut Findings) -> Option<Version> {
    let help = "write `spin_manifest_version = 2` as the first line; version \"1\" is read, too";
    let Some(value) = &marker.0 else {
        f.error_in_file("the manifest has no `spin_manifest_version`", help);
        return None;
    };
    match (value.as_integer(), value.as_str()) {
        (Some(2), _) | (_, Some("2")) => Some(Version::Two),
        (Some(1), _) | (_, Some("1")) => Some(Version::One),
        _ => {
            f.error_help(value.span, "this version of Spin's manifest is not known", help);
            None
        }
    }
}

/// Reads the variables with what `runtime-config.toml` says of their sources, and the stores that it declares.
fn surroundings(
    variables: Option<Table<'_>>,
    source: &Source<'_>,
    app: &mut App,
    f: &mut Findings,
) -> Variables {
    runtime_config::read(source, app, f);
    let files = source.variables_files(&[]);
    Variables::read(variables, Dialect::Spin, &source.root, &files, source.surroundings, f)
}

/// Routes as they are found, with where they stand.
struct Routes {
    base: String,
    /// `None` where a later one has taken the place.
    list: Vec<Option<(Route, Span)>>,
    by_shape: HashMap<String, usize>,
}

impl Routes {
    fn new(base: Option<Text<'_>>, f: &mut Findings) -> Self {
        let base = base.filter(|text| {
            let valid = text.text.starts_with('/') && !text.text.contains([':', '*', '?', '#']);
            if !valid || text.text.contains("...") {
                f.error_help(
                    text.span,
                    format!("{} is not a base", quoted(text.text)),
                    "write a path such as \"/api\"",
                );
            }
            valid
        });
        let base = base.map(|text| text.text.trim_end_matches('/').to_owned()).unwrap_or_default();
        Routes { base, list: Vec::new(), by_shape: HashMap::new() }
    }

    fn add(&mut self, path: Text<'_>, to: Target, f: &mut Findings) {
        let joined = match path.text {
            // A route of version 1 may lack the slash.
            text if text.starts_with('/') => format!("{}{text}", self.base),
            text => format!("{}/{text}", self.base),
        };
        let Some(path_text) = routes::check_path(Text { text: &joined, span: path.span }, f) else { return };
        let route = Route::new(path_text, to);
        // The last of two wins in Spin.
        let earlier = self.by_shape.insert(routes::shape(&route.path), self.list.len());
        if let Some((other, span)) = earlier.and_then(|at| self.list[at].take()) {
            f.warn(
                span,
                format!(
                    "this route answers nothing: a later one matches the same requests as {}",
                    quoted(&other.path)
                ),
                "remove one of the two",
            );
        }
        self.list.push(Some((route, path.span)));
    }

    /// Hands the routes over, and checks what concerns the whole app.
    fn finish(self, app: &mut App, f: &mut Findings) {
        if self.list.is_empty() && app.topic_triggers.is_empty() && !f.has_errors() {
            f.error_in_file(
                "the app has no route, so no request would be answered",
                "add [[trigger.http]] with `route = \"/...\"` and `component = \"NAME\"`",
            );
        }
        // An app that messages start, and nothing else, answers no requests.
        let answers = !self.list.is_empty() || app.topic_triggers.is_empty();
        app.routes = self.list.into_iter().flatten().map(|(route, _)| route).collect();
        if answers && !app.routes.iter().any(|route| route.path == HEALTH) {
            let answer = Target::Respond { status: 200, headers: Vec::new(), body: "OK".to_owned() };
            app.routes.push(Route::new(HEALTH, answer));
        }
        routes::warn_unreached(app, f);
    }
}

/// Keys that describe and change nothing.
fn ignore_description(table: &mut Table<'_>, f: &mut Findings) {
    table.string("description", f);
    table.strings("authors", f);
}
