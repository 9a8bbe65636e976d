//! Queries about values that are JSON, by SQLite's own functions for it.

use super::failed;
use super::rows::{Statements, entry};
use crate::keyvalue::filter_sql::{Dialect, Param, build};
use crate::keyvalue::query::{ITEMS_MAX, QueryPage, StateQuery};
use crate::keyvalue::{BATCH_BYTES_MAX, StoreError, check};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

pub fn answer(db: &Connection, rows: &Statements, query: &StateQuery) -> Result<QueryPage, StoreError> {
    let (limit, offset) = (query.limit.unwrap_or(ITEMS_MAX), query.offset()?);
    // The first two are the prefix and where the page begins.
    let built = build(query, Dialect::Sqlite, 2);
    let sql = format!("{}{} LIMIT -1 OFFSET ?2", rows.query, built.text);
    let mut params = vec![Value::from(query.prefix.clone()), Value::from(offset)];
    params.extend(built.params.into_iter().map(value));
    let mut statement = db.prepare(&sql).map_err(|error| failed(&error))?;
    let mut found = statement.query(params_from_iter(params)).map_err(|error| failed(&error))?;
    let mut page = QueryPage::default();
    let mut bytes = 0;
    while let Some(row) = found.next().map_err(|error| failed(&error))? {
        if page.items.len() == limit {
            page.token = Some((offset as usize + limit).to_string());
            break;
        }
        let key: String = row.get(4).map_err(|error| failed(&error))?;
        let entry = entry(row).map_err(|error| failed(&error))??;
        bytes += key.len() + entry.value.len();
        check("the answer to a query", bytes, BATCH_BYTES_MAX)?;
        page.items.push((key, entry));
    }
    Ok(page)
}

fn value(param: Param) -> Value {
    match param {
        Param::Text(text) => Value::from(text),
        Param::Number(number) => match number.as_i64() {
            Some(integer) => Value::from(integer),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        // Only PostgreSQL's statements have these.
        Param::Path(_) => Value::Null,
    }
}
