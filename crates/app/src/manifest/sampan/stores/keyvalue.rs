//! `[keyvalue.NAME]`.

use super::{SERVERS, Url, check_scheme, file, has_password, read_type, read_url, reject_unused};
use crate::manifest::findings::{Findings, Span, quoted};
use crate::manifest::names;
use crate::manifest::tree::{Table, Text};
use crate::manifest::variables::Variables;
use crate::{
    App, KeyValueBackend, KeyValueDatabase, KeyValueStore, PostgresLayout, RedisLayout, is_table_name,
};
use std::collections::BTreeMap;
use std::time::Duration;

const TYPES: [&str; 5] = ["sqlite", "redis", "postgres", "mysql", "memory"];
const REDIS: [&str; 1] = ["redis"];

pub(in crate::manifest::sampan) fn keyvalue(
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
        let memory = KeyValueStore::new(KeyValueBackend::Memory);
        stores.insert(name.text.to_owned(), store.unwrap_or(memory));
    }
    stores
}

/// The keys of all types, before it is known which one it is.
struct Keys<'a> {
    span: Span,
    url: Option<Url<'a>>,
    path: Option<Text<'a>>,
    prefix: Option<Text<'a>>,
    layout: Option<Text<'a>>,
    ttl: Option<(Duration, Span)>,
    table: Option<Text<'a>>,
    metadata_table: Option<Text<'a>>,
    schema: Option<Text<'a>>,
    ca: Option<Text<'a>>,
    connections: Option<(u32, Span)>,
}

fn read_keyvalue(
    name: &str,
    mut table: Table<'_>,
    app: &App,
    variables: &Variables,
    f: &mut Findings,
) -> Option<KeyValueStore> {
    let lazy = table.boolean("lazy", f).unwrap_or(false);
    let ttl_span = table.get("ttl").map(|value| value.span);
    let connections_span = table.get("connections").map(|value| value.span);
    let keys = Keys {
        span: table.span,
        url: read_url(&mut table, variables, f),
        path: table.string("path", f),
        prefix: table.string("prefix", f),
        layout: table.string("layout", f),
        ttl: table.duration("ttl", f).zip(ttl_span),
        table: table.string("table", f),
        metadata_table: table.string("metadata_table", f),
        schema: table.string("schema", f),
        ca: table.string("ca", f),
        connections: table.number_u32("connections", 1, 10_000, f).zip(connections_span),
    };
    let by_url = |scheme: &str| match scheme {
        "redis" | "rediss" | "unix" => Some("redis"),
        "postgres" | "postgresql" => Some("postgres"),
        "mysql" | "mariadb" => Some("mysql"),
        _ => None,
    };
    let kind = read_type(&mut table, &TYPES, keys.url.as_ref().map(|url| &url.scheme), by_url, f);
    table.finish(f);
    let kind = kind?;
    keys.reject(kind, f);
    let backend = match kind {
        "memory" => KeyValueBackend::Memory,
        "redis" => keys.redis(variables, f)?,
        "postgres" | "mysql" => keys.database(kind, app, f)?,
        _ => keys.sqlite(name, app, f)?,
    };
    Some(KeyValueStore { lazy, ..KeyValueStore::new(backend) })
}

impl<'a> Keys<'a> {
    /// Says which keys this type has not.
    fn reject(&self, kind: &str, f: &mut Findings) {
        let span = |text: Option<Text<'a>>| text.map(|text| text.span);
        let tables = ["sqlite", "postgres", "mysql"];
        let keys: [(&str, Option<Span>, &[&str]); 10] = [
            ("url", self.url.as_ref().map(|url| url.span), &["redis", "postgres", "mysql"]),
            ("path", span(self.path), &["sqlite"]),
            ("prefix", span(self.prefix), &REDIS),
            ("layout", span(self.layout), &["redis", "postgres"]),
            ("ttl", self.ttl.map(|(_, span)| span), &REDIS),
            ("table", span(self.table), &tables),
            ("metadata_table", span(self.metadata_table), &tables),
            ("schema", span(self.schema), &["mysql"]),
            ("ca", span(self.ca), &SERVERS),
            ("connections", self.connections.map(|(_, span)| span), &SERVERS),
        ];
        for (key, span, types) in keys {
            reject_unused(kind, types, span, key, f);
        }
    }

    fn sqlite(&self, name: &str, app: &App, f: &mut Findings) -> Option<KeyValueBackend> {
        let mut backend = KeyValueBackend::sqlite(file(name, "keyvalue", self.path, app));
        if let KeyValueBackend::Sqlite { table, metadata_table, .. } = &mut backend {
            set_name(table, self.table, false, f)?;
            set_name(metadata_table, self.metadata_table, false, f)?;
        }
        Some(backend)
    }

    fn redis(self, variables: &Variables, f: &mut Findings) -> Option<KeyValueBackend> {
        let Some(url) = self.url else {
            f.error_help(
                self.span,
                "a store of type redis needs a `url`",
                "add `url = \"redis://127.0.0.1:6379\"`",
            );
            return None;
        };
        check_scheme(&url, &["redis", "rediss", "unix"], f)?;
        let prefix = match self.prefix {
            Some(prefix) => variables.expand_public(prefix, f)?.text,
            None => String::new(),
        };
        let layout = match self.layout {
            None => RedisLayout::Plain,
            Some(text) => choose(text, &[("plain", RedisLayout::Plain), ("dapr", RedisLayout::Dapr)], f)?,
        };
        let ttl = self.ttl.map(|(ttl, _)| ttl);
        Some(KeyValueBackend::Redis { url: url.secret, prefix, layout, ttl })
    }

    fn database(self, kind: &str, app: &App, f: &mut Findings) -> Option<KeyValueBackend> {
        let Some(url) = self.url else {
            let message = format!("a store of type {kind} needs a `url`");
            f.error_help(self.span, message, format!("add `url = \"{kind}://USER:PASSWORD@HOST/DATABASE\"`"));
            return None;
        };
        let is_mysql = kind == "mysql";
        check_scheme(&url, if is_mysql { &["mysql", "mariadb"] } else { &["postgres", "postgresql"] }, f)?;
        let mut database = KeyValueDatabase::new(url.secret);
        database.ca = self.ca.map(|text| app.root.join(text.text));
        database.connections = self.connections.map_or(database.connections, |(count, _)| count);
        set_name(&mut database.table, self.table, !is_mysql, f)?;
        set_name(&mut database.metadata_table, self.metadata_table, !is_mysql, f)?;
        if is_mysql {
            let mut schema = "dapr_state_store".to_owned();
            set_name(&mut schema, self.schema, false, f)?;
            return Some(KeyValueBackend::MySql { schema, database });
        }
        let layout = match self.layout {
            None => PostgresLayout::default(),
            Some(text) => choose(text, &[("v1", PostgresLayout::V1), ("v2", PostgresLayout::V2)], f)?,
        };
        Some(KeyValueBackend::Postgres { layout, database })
    }
}

fn choose<T: Copy>(text: Text<'_>, choices: &[(&str, T)], f: &mut Findings) -> Option<T> {
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text.text) {
        return Some(*choice);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let message = format!("there is no layout {}", quoted(text.text));
    f.error_help(text.span, message, format!("layouts are {}", names.join(", ")));
    None
}

/// Sets a name of a table, which becomes a part of statements.
fn set_name(name: &mut String, text: Option<Text<'_>>, dots: bool, f: &mut Findings) -> Option<()> {
    let Some(text) = text else { return Some(()) };
    if !is_table_name(text.text) || (!dots && text.text.contains('.')) {
        let message = format!("{} is not a name for a table", quoted(text.text));
        f.error_help(text.span, message, "use letters, digits and underscores");
        return None;
    }
    text.text.clone_into(name);
    Some(())
}
