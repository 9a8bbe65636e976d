//! `[keyvalue.NAME]` and `[sql.NAME]`: what stands behind the stores that components are granted.

use crate::manifest::findings::{Findings, Span, quoted};
use crate::manifest::names;
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::{App, KeyValueBackend, KeyValueStore, Secret, SqlBackend, SqlStore};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const KEYVALUE_TYPES: [&str; 3] = ["sqlite", "redis", "memory"];
const SQL_TYPES: [&str; 3] = ["sqlite", "postgres", "mysql"];
/// Types that later versions know.
const LATER: [&str; 3] = ["dapr", "postgres", "mysql"];
/// Connections of a database where the manifest does not say.
pub(in crate::manifest) const CONNECTIONS: u32 = 16;
/// How long a statement may take where the manifest does not say.
pub(in crate::manifest) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn keyvalue(
    table: Option<Table<'_>>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> BTreeMap<String, KeyValueStore> {
    let mut stores = BTreeMap::new();
    for (name, value) in table.map(Table::into_entries).unwrap_or_default() {
        let Some(table) = value.table(f).filter(|_| names::check(name, "a store", f)) else { continue };
        // A store that is wrong stays declared, so that its grants are not reported as well.
        f.hide(has_password(&table));
        let store = read_keyvalue(name.text, table, app, variables, f);
        f.hide(false);
        let memory = KeyValueStore { backend: KeyValueBackend::Memory, lazy: false };
        stores.insert(name.text.to_owned(), store.unwrap_or(memory));
    }
    stores
}

fn read_keyvalue(
    name: &str,
    mut table: Table<'_>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> Option<KeyValueStore> {
    let span = table.span;
    let url = read_url(&mut table, variables, f);
    let path = table.string("path", f);
    let prefix = table.string("prefix", f);
    let lazy = table.boolean("lazy", f).unwrap_or(false);
    let by_url = |scheme: &str| matches!(scheme, "redis" | "rediss" | "unix").then_some("redis");
    let kind = read_type(&mut table, &KEYVALUE_TYPES, url.as_ref().map(|url| &url.scheme), by_url, f);
    table.finish(f);
    let kind = kind?;
    reject_unused(kind, "redis", url.as_ref().map(|url| url.span), "url", f);
    reject_unused(kind, "sqlite", path.map(|text| text.span), "path", f);
    reject_unused(kind, "redis", prefix.map(|text| text.span), "prefix", f);
    let backend = match kind {
        "memory" => KeyValueBackend::Memory,
        "redis" => {
            let Some(url) = url else {
                f.error_help(
                    span,
                    "a store of type redis needs a `url`",
                    "add `url = \"redis://127.0.0.1:6379\"`",
                );
                return None;
            };
            check_scheme(&url, &["redis", "rediss", "unix"], f)?;
            let prefix = match prefix {
                Some(prefix) => variables.expand_public(prefix, f)?.text,
                None => String::new(),
            };
            KeyValueBackend::Redis { url: url.secret, prefix }
        }
        _ => KeyValueBackend::Sqlite { path: file(name, "keyvalue", path, app) },
    };
    Some(KeyValueStore { backend, lazy })
}

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
    reject_unused(kind, "sqlite", path.map(|text| text.span), "path", f);
    if kind == "sqlite" {
        reject_unused(kind, "postgres", url.as_ref().map(|url| url.span), "url", f);
        reject_unused(kind, "postgres", ca.map(|text| text.span), "ca", f);
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
    KeyValueStore {
        backend: KeyValueBackend::Sqlite { path: file(name, "keyvalue", None, app) },
        lazy: false,
    }
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

/// A key that belongs to another type would be ignored.
pub(super) fn reject_unused(kind: &str, belongs_to: &str, span: Option<Span>, key: &str, f: &mut Findings) {
    if let Some(span) = span.filter(|_| kind != belongs_to) {
        f.error(span, format!("a store of type {kind} has no `{key}`"));
    }
}
