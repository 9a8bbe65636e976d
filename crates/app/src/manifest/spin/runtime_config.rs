//! `runtime-config.toml` beside the manifest: which stores stand behind the labels of `spin.toml`.
//!
//! <https://spinframework.dev/v3/dynamic-configuration>

use crate::manifest::findings::{Findings, quoted};
use crate::manifest::sampan::{sqlite, sqlite_keyvalue};
use crate::manifest::tree::Table;
use crate::manifest::{Source, names, read_text, report_syntax};
use crate::{App, KeyValueBackend, KeyValueStore, Secret, SqlBackend, SqlStore};
use toml::de::DeTable;

const FILE: &str = "runtime-config.toml";

/// Adds the stores to the app, and takes the folder of the embedded ones from there.
pub(super) fn read(source: &Source<'_>, app: &mut App, findings: &mut Findings) {
    let path = source.root.join(FILE);
    if !path.is_file() {
        return;
    }
    let mut f = Findings::new(&path);
    match read_text(&path) {
        Ok(text) => parse(&text, source, app, &mut f),
        Err(error) => f.error_in_file(format!("cannot read {FILE}: {error}"), "correct or remove the file"),
    }
    findings.append(f);
}

fn parse(text: &str, source: &Source<'_>, app: &mut App, f: &mut Findings) {
    let (tree, errors) = DeTable::parse_recoverable(text);
    report_syntax(text, &errors, FILE, f);
    if !errors.is_empty() {
        return;
    }
    let mut table = Table::root(&tree);
    if let Some(folder) = table.string("state_dir", f).filter(|text| !text.text.is_empty()) {
        app.state = source.root.join(folder.text);
    }
    for (name, value) in table.table("key_value_store", f).map(Table::into_entries).unwrap_or_default() {
        let Some(one) = value.table(f).filter(|_| names::check(name, "a store", f)) else { continue };
        f.hide(one.peek("url").is_some());
        let store = keyvalue(name.text, one, source, app, f);
        f.hide(false);
        app.keyvalue.insert(name.text.to_owned(), store.unwrap_or_else(|| sqlite_keyvalue(name.text, app)));
    }
    for (name, value) in table.table("sqlite_database", f).map(Table::into_entries).unwrap_or_default() {
        let Some(one) = value.table(f).filter(|_| names::check(name, "a store", f)) else { continue };
        let store = sql(name.text, one, source, app, f);
        app.sql.insert(name.text.to_owned(), store.unwrap_or_else(|| sqlite(name.text, app)));
    }
    for (name, _) in table.into_entries() {
        if !matches!(name.text, "state_dir" | "key_value_store" | "sqlite_database") {
            f.warn(
                name.span,
                format!("{} has no effect here", quoted(name.text)),
                "stores and `state_dir` are read; variables come from the environment, .env and --env-file",
            );
        }
    }
}

fn keyvalue(
    name: &str,
    mut table: Table<'_>,
    source: &Source<'_>,
    app: &App,
    f: &mut Findings,
) -> Option<KeyValueStore> {
    let kind = table.require("type", f, "add `type = \"spin\"` or `type = \"redis\"`")?.string(f)?;
    let mut store = sqlite_keyvalue(name, app);
    match kind.text {
        "spin" => {
            if let Some(path) = table.string("path", f) {
                store.backend = KeyValueBackend::sqlite(source.root.join(path.text));
            }
        }
        "redis" => {
            let url = table.require("url", f, "add `url = \"redis://127.0.0.1\"`")?.string(f)?;
            if !["redis://", "rediss://"].iter().any(|scheme| url.text.starts_with(scheme)) {
                f.error_help(
                    url.span,
                    "this is not an address of Redis",
                    "write redis://HOST or rediss://HOST",
                );
            }
            store.backend = KeyValueBackend::redis(Secret::new(url.text), "");
        }
        other => {
            report_type(other, kind.span, "spin and redis", f);
            return None;
        }
    }
    table.finish(f);
    Some(store)
}

fn sql(
    name: &str,
    mut table: Table<'_>,
    source: &Source<'_>,
    app: &App,
    f: &mut Findings,
) -> Option<SqlStore> {
    let kind = table.require("type", f, "add `type = \"spin\"`")?.string(f)?;
    let mut store = sqlite(name, app);
    if kind.text != "spin" {
        report_type(kind.text, kind.span, "spin", f);
        return None;
    }
    if let Some(path) = table.string("path", f) {
        store.backend = SqlBackend::Sqlite { path: source.root.join(path.text) };
    }
    table.finish(f);
    Some(store)
}

fn report_type(kind: &str, span: crate::manifest::findings::Span, types: &str, f: &mut Findings) {
    f.error_help(
        span,
        format!("a store of type {} is not supported yet by this version", quoted(kind)),
        format!("types are {types}"),
    );
}
