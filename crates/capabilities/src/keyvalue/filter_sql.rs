//! From a query to SQL: the conditions and the order over a column `doc`, which has the value where it is JSON.
//!
//! Paths and values are parameters, never part of the statement. Comparisons are those of JSON: 10 is more than
//! 9, and never equal to "10". (Dapr's own, in components-contrib's postgresql_query.go, compare texts.)

use super::query::{Filter, Sort, StateQuery};
use serde_json::Value;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    Text(String),
    Number(serde_json::Number),
    /// The names of a path, for PostgreSQL.
    Path(Vec<String>),
}

/// What stands behind a selection, and its parameters.
pub struct Built {
    /// ` WHERE … ORDER BY …`
    pub text: String,
    pub params: Vec<Param>,
}

/// Parameters count on from `taken`, which the selection has itself.
pub fn build(query: &StateQuery, dialect: Dialect, taken: usize) -> Built {
    let mut builder = Builder { dialect, taken, built: Built { text: String::new(), params: Vec::new() } };
    if let Some(filter) = &query.filter {
        builder.text(" WHERE ");
        builder.filter(filter);
    }
    builder.text(" ORDER BY ");
    for Sort { key, descending } in &query.sort {
        let path = builder.path(key);
        let extract = match dialect {
            Dialect::Sqlite => format!("json_extract(doc, {path})"),
            Dialect::Postgres => format!("doc #> {path}"),
        };
        builder.text(&extract);
        builder.text(if *descending { " DESC NULLS LAST, " } else { " ASC NULLS LAST, " });
    }
    builder.text("key");
    builder.built
}

struct Builder {
    dialect: Dialect,
    taken: usize,
    built: Built,
}

impl Builder {
    fn text(&mut self, text: &str) {
        self.built.text.push_str(text);
    }

    fn param(&mut self, param: Param) -> String {
        self.built.params.push(param);
        let number = self.taken + self.built.params.len();
        match self.dialect {
            Dialect::Sqlite => format!("?{number}"),
            Dialect::Postgres => format!("${number}"),
        }
    }

    /// A parameter for a path.
    fn path(&mut self, key: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => {
                // The reader of queries has refused quotes.
                let mut path = "$".to_owned();
                for part in key.split('.') {
                    let _ = write!(path, ".\"{part}\"");
                }
                self.param(Param::Text(path))
            }
            Dialect::Postgres => {
                let param = self.param(Param::Path(key.split('.').map(str::to_owned).collect()));
                format!("{param}::text[]")
            }
        }
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Eq(key, value) => self.equal(key, value),
            Filter::Neq(key, value) => {
                let there = self.path(key);
                let there = match self.dialect {
                    Dialect::Sqlite => format!("json_type(doc, {there})"),
                    Dialect::Postgres => format!("doc #> {there}"),
                };
                let _ = write!(self.built.text, "({there} IS NOT NULL AND NOT ");
                self.equal(key, value);
                self.text(")");
            }
            Filter::Gt(key, value) => self.ordered(key, ">", value),
            Filter::Gte(key, value) => self.ordered(key, ">=", value),
            Filter::Lt(key, value) => self.ordered(key, "<", value),
            Filter::Lte(key, value) => self.ordered(key, "<=", value),
            Filter::In(key, values) => {
                self.joined(values, " OR ", |builder, value| builder.equal(key, value))
            }
            Filter::And(filters) => self.joined(filters, " AND ", Builder::filter),
            Filter::Or(filters) => self.joined(filters, " OR ", Builder::filter),
        }
    }

    fn joined<T>(&mut self, items: &[T], word: &str, mut one: impl FnMut(&mut Self, &T)) {
        self.text("(");
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.text(word);
            }
            one(self, item);
        }
        self.text(")");
    }

    /// A comparison that is true or false, never NULL, so that it can be negated.
    fn equal(&mut self, key: &str, value: &Value) {
        let path = self.path(key);
        let text = if self.dialect == Dialect::Postgres {
            let param = self.param(Param::Text(value.to_string()));
            format!("COALESCE(doc #> {path} = {param}::jsonb, FALSE)")
        } else {
            match value {
                Value::Null => format!("(json_type(doc, {path}) IS 'null')"),
                Value::Bool(truth) => format!("(json_type(doc, {path}) IS '{truth}')"),
                Value::Number(number) => {
                    let param = self.param(Param::Number(number.clone()));
                    format!(
                        "(COALESCE(json_type(doc, {path}) IN ('integer', 'real'), 0) \
                         AND json_extract(doc, {path}) = {param})"
                    )
                }
                Value::String(string) => {
                    let param = self.param(Param::Text(string.clone()));
                    format!("(json_type(doc, {path}) IS 'text' AND json_extract(doc, {path}) = {param})")
                }
                other => {
                    let param = self.param(Param::Text(other.to_string()));
                    format!("(doc -> {path} IS json({param}))")
                }
            }
        };
        self.text(&text);
    }

    fn ordered(&mut self, key: &str, sign: &str, value: &Value) {
        let path = self.path(key);
        let is_number = value.is_number();
        let param = match (self.dialect, value) {
            (Dialect::Sqlite, Value::Number(number)) => Param::Number(number.clone()),
            (Dialect::Sqlite, Value::String(string)) => Param::Text(string.clone()),
            (_, other) => Param::Text(other.to_string()),
        };
        let param = self.param(param);
        let text = match self.dialect {
            Dialect::Sqlite => {
                let types = if is_number { "('integer', 'real')" } else { "('text')" };
                format!("(json_type(doc, {path}) IN {types} AND json_extract(doc, {path}) {sign} {param})")
            }
            Dialect::Postgres => {
                let kind = if is_number { "number" } else { "string" };
                format!("(jsonb_typeof(doc #> {path}) = '{kind}' AND doc #> {path} {sign} {param}::jsonb)")
            }
        };
        self.text(&text);
    }
}
