//! `[keyvalue.NAME]` and `[sql.NAME]`: what stands behind the stores that components are granted.

mod keyvalue;

pub(super) use keyvalue::keyvalue;

use crate::manifest::findings::{Findings, Span, quoted};
use crate::manifest::names;
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::{App, KeyValueBackend, KeyValueStore, Secret, SqlBackend, SqlStore};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const SQL_TYPES: [&str; 3] = ["sqlite", "postgres", "mysql"];
/// Those of them that are servers.
const SERVERS: [&str; 2] = ["postgres", "mysql"];
/// Types that later versions know.
const LATER: [&str; 1] = ["dapr"];
/// Connections of a database where the manifest does not say.
pub(in crate::manifest) const CONNECTIONS: u32 = 16;
/// How long a statement may take where the manifest does not say.
pub(in crate::manifest) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn sql(
    table: Option<Table<'_>>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> BTreeMap<String, SqlStore> {
    let mut stores = BTreeMap::new();
    for (name, value) in table.map(Table::into_entries).unwrap_or_default() {
        let Some(table) = value.table(f).filter(|_| names::check(name, "a store", f)) else { continue };
        f.hide(has_password(&table));
        let store = read_sql(name.text, table, app, variables, f);
        f.hide(false);
        stores.insert(name.text.to_owned(), store.unwrap_or_else(|| sqlite(name.text, app)));
    }
    stores
}

fn read_sql(
    name: &str,
    mut table: Table<'_>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> Option<SqlStore> {
    let span = table.span;
    let url = read_url(&mut table, variables, f);
    let path = table.string("path", f);
    let by_url = |scheme: &str| match scheme {
        "postgres" | "postgresql" => Some("postgres"),
        "mysql" | "mariadb" => Some("mysql"),
        _ => None,
    };
    let kind = read_type(&mut table, &SQL_TYPES, url.as_ref().map(|url| &url.scheme), by_url, f);
    let mut store = sqlite(name, app);
    store.lazy = table.boolean("lazy", f).unwrap_or(false);
    store.connections = table.number_u32("connections", 1, 10_000, f).unwrap_or(CONNECTIONS);
    store.statement_timeout = table.duration("statement_timeout", f).unwrap_or(STATEMENT_TIMEOUT);
    store.init = table.string("init", f).map(|text| text.text.to_owned());
    let ca = table.string("ca", f);
    store.ca = ca.map(|text| app.root.join(text.text));
    table.finish(f);
    let kind = kind?;
    reject_unused(kind, &["sqlite"], path.map(|text| text.span), "path", f);
    if kind == "sqlite" {
        reject_unused(kind, &SERVERS, url.as_ref().map(|url| url.span), "url", f);
        reject_unused(kind, &SERVERS, ca.map(|text| text.span), "ca", f);
        store.backend = SqlBackend::Sqlite { path: file(name, "sql", path, app) };
        return Some(store);
    }
    let Some(url) = url else {
        let message = format!("a store of type {kind} needs a `url`");
        f.error_help(span, message, format!("add `url = \"{kind}://USER:PASSWORD@HOST/DATABASE\"`"));
        return None;
    };
    store.backend = if kind == "mysql" {
        check_scheme(&url, &["mysql", "mariadb"], f)?;
        SqlBackend::MySql { url: url.secret }
    } else {
        check_scheme(&url, &["postgres", "postgresql"], f)?;
        SqlBackend::Postgres { url: url.secret }
    };
    Some(store)
}

/// The database that a name without a declaration means.
pub(in crate::manifest) fn sqlite(name: &str, app: &App) -> SqlStore {
    SqlStore {
        backend: SqlBackend::Sqlite { path: file(name, "sql", None, app) },
        lazy: false,
        connections: CONNECTIONS,
        statement_timeout: STATEMENT_TIMEOUT,
        init: None,
        ca: None,
    }
}

/// The store that a name without a declaration means.
pub(in crate::manifest) fn sqlite_keyvalue(name: &str, app: &App) -> KeyValueStore {
    KeyValueStore::new(KeyValueBackend::sqlite(file(name, "keyvalue", None, app)))
}

pub(super) fn file(name: &str, folder: &str, path: Option<Text<'_>>, app: &App) -> PathBuf {
    match path {
        Some(path) => app.root.join(path.text),
        None => app.state.join(folder).join(format!("{name}.db")),
    }
}

/// An address with its variables filled in: it may hold a password, so messages quote the manifest only.
pub(super) struct Url<'a> {
    pub secret: Secret,
    pub scheme: String,
    pub span: Span,
    written: &'a str,
}

/// Whether the manifest itself may hold a password, as in `redis://:secret@host`.
pub(super) fn has_password(table: &Table<'_>) -> bool {
    table.peek("url").is_some_and(|url| url.contains('@'))
}

pub(super) fn read_url<'a>(
    table: &mut Table<'a>,
    variables: &Variables,
    f: &mut Findings,
) -> Option<Url<'a>> {
    let text = table.string("url", f)?;
    let expanded = variables.expand(text, f)?;
    let scheme = expanded.text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let Some(scheme) = scheme else {
        f.error_help(
            text.span,
            "this is not a URL",
            "write SCHEME://HOST, such as \"redis://127.0.0.1:6379\" or \"postgres://USER@HOST/DATABASE\"",
        );
        return None;
    };
    Some(Url { secret: Secret::new(expanded.text), scheme, span: text.span, written: text.text })
}

pub(super) fn check_scheme(url: &Url<'_>, allowed: &[&str], f: &mut Findings) -> Option<()> {
    if allowed.contains(&url.scheme.as_str()) {
        return Some(());
    }
    // What the manifest itself says up to `://` holds no password.
    let written = url.written.split("://").next().unwrap_or_default();
    f.error(
        url.span,
        format!("the scheme {} does not fit; expected {}", quoted(written), allowed.join(" or ")),
    );
    None
}

/// The type of a store: as written, else as its URL says, else SQLite.
pub(super) fn read_type(
    table: &mut Table<'_>,
    types: &[&'static str],
    scheme: Option<&String>,
    by_url: impl Fn(&str) -> Option<&'static str>,
    f: &mut Findings,
) -> Option<&'static str> {
    let Some(text) = table.string("type", f) else {
        return match scheme {
            None => Some("sqlite"),
            Some(scheme) => {
                let kind = by_url(scheme);
                if kind.is_none() {
                    let message = "the URL does not tell the type of the store";
                    f.error_help(table.span, message, format!("add `type`: one of {}", types.join(", ")));
                }
                kind
            }
        };
    };
    let written = if text.text == "postgresql" { "postgres" } else { text.text };
    if let Some(kind) = types.iter().find(|one| **one == written) {
        return Some(kind);
    }
    let later = LATER.contains(&written);
    let message = if later {
        format!("a store of type `{written}` is not supported yet by this version")
    } else {
        format!("there is no store of type {}", quoted(text.text))
    };
    f.error_help(text.span, message, format!("types are {}", types.join(", ")));
    None
}

/// A key that belongs to other types would be ignored.
pub(super) fn reject_unused(
    kind: &str,
    belongs_to: &[&str],
    span: Option<Span>,
    key: &str,
    f: &mut Findings,
) {
    if let Some(span) = span.filter(|_| !belongs_to.contains(&kind)) {
        f.error(span, format!("a store of type {kind} has no `{key}`"));
    }
}
