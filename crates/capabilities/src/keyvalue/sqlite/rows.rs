//! The statements: one row of the table `state` for each key.
//!
//! The layout is that of Dapr's state.sqlite (dapr/components-contrib, state/sqlite): text is stored as it is,
//! anything else as base64 with `is_binary`; times are UTC in SQLite's text form, so that they compare as text.
//! Ours have milliseconds, which compare rightly with Dapr's whole seconds.

use super::failed;
use crate::keyvalue::{Entry, Page, Query, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use std::time::{Duration, UNIX_EPOCH};

/// What is not over. Dapr's sweep and ours remove the rest.
const ALIVE: &str = "(expiration_time IS NULL OR expiration_time > strftime('%Y-%m-%d %H:%M:%f', 'now'))";

/// What is read of a row.
const COLUMNS: &str = "value, is_binary, etag, unixepoch(expiration_time, 'subsec')";

/// The statements for one table. Names of tables cannot be parameters: [`Statements::new`] gets none but letters,
/// digits and underscores.
pub struct Statements {
    pub create: String,
    /// Ours alone: what the sweep goes through. Dapr does not mind.
    pub index: String,
    /// The columns that this file works with.
    pub check: String,
    get: String,
    exists: String,
    list: String,
    put: String,
    delete: String,
    sweep: String,
    /// All of a prefix; `doc` is the value where it is JSON.
    pub query: String,
}

impl Statements {
    pub fn new(table: &str, metadata_table: &str) -> Self {
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {metadata_table} (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS {table} (
                key TEXT NOT NULL PRIMARY KEY,
                value TEXT NOT NULL,
                is_binary BOOLEAN NOT NULL,
                etag TEXT NOT NULL,
                expiration_time TIMESTAMP DEFAULT NULL,
                update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
            );
            -- What Dapr would otherwise try to create again.
            INSERT OR IGNORE INTO {metadata_table} (key, value) VALUES ('migrations', '1');"
        );
        // The tag of a write is random, in the form of a UUID: so is Dapr's.
        let put = format!(
            "INSERT INTO {table} (key, value, is_binary, etag, expiration_time, update_time)
            VALUES (?1, ?2, ?3,
                lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
                    || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
                strftime('%Y-%m-%d %H:%M:%f', 'now', ?4),
                CURRENT_TIMESTAMP)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, is_binary = excluded.is_binary,
                etag = excluded.etag, update_time = excluded.update_time,
                expiration_time = CASE WHEN ?5 THEN expiration_time ELSE excluded.expiration_time END"
        );
        // One sweep removes so many rows; the rest waits for the next one.
        let sweep = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}
                WHERE expiration_time IS NOT NULL AND NOT {ALIVE} LIMIT 1000)"
        );
        let query = format!(
            "SELECT {COLUMNS}, key FROM (SELECT *, CASE WHEN NOT is_binary AND json_valid(value) THEN value END AS doc
                FROM {table} WHERE {ALIVE} AND key >= ?1 AND substr(key, 1, length(?1)) = ?1)"
        );
        Statements {
            create,
            index: format!(
                "CREATE INDEX IF NOT EXISTS sampan_{table}_expiration ON {table} (expiration_time)
                WHERE expiration_time IS NOT NULL"
            ),
            check: format!(
                "SELECT key, value, is_binary, etag, expiration_time, update_time FROM {table} LIMIT 0"
            ),
            get: format!("SELECT {COLUMNS} FROM {table} WHERE key = ?1 AND {ALIVE}"),
            exists: format!("SELECT 1 FROM {table} WHERE key = ?1 AND {ALIVE}"),
            list: format!(
                "SELECT key FROM {table} WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND {ALIVE} ORDER BY key"
            ),
            put,
            delete: format!("DELETE FROM {table} WHERE key = ?1"),
            sweep,
            query,
        }
    }
}

/// When a written row expires.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    Never,
    After(Duration),
    /// As before.
    Keep,
}

impl Statements {
    pub fn get(&self, db: &Connection, key: &str) -> Result<Option<Entry>, StoreError> {
        let mut statement = db.prepare_cached(&self.get).map_err(|error| failed(&error))?;
        let row = statement.query_row([key], entry);
        row.optional().map_err(|error| failed(&error))?.transpose()
    }

    pub fn exists(&self, db: &Connection, key: &str) -> Result<bool, StoreError> {
        let mut statement = db.prepare_cached(&self.exists).map_err(|error| failed(&error))?;
        statement.exists([key]).map_err(|error| failed(&error))
    }

    pub fn put(&self, db: &Connection, key: &str, value: &[u8], expiry: Expiry) -> Result<(), StoreError> {
        // SQLite's text ends at a NUL for some of its functions.
        let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
        let (stored, is_binary) = match text {
            Some(text) => (Value::from(text.to_owned()), false),
            None => (Value::from(BASE64.encode(value)), true),
        };
        let after = match expiry {
            Expiry::After(ttl) => Some(format!("+{}.{:03} seconds", ttl.as_secs(), ttl.subsec_millis())),
            Expiry::Never | Expiry::Keep => None,
        };
        let keep = matches!(expiry, Expiry::Keep);
        let mut statement = db.prepare_cached(&self.put).map_err(|error| failed(&error))?;
        let done = statement.execute((key, stored, is_binary, after, keep));
        done.map(drop).map_err(|error| failed(&error))
    }

    pub fn delete(&self, db: &Connection, key: &str) -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(&self.delete).map_err(|error| failed(&error))?;
        statement.execute([key]).map(drop).map_err(|error| failed(&error))
    }

    pub fn list(&self, db: &Connection, query: &Query) -> Result<Page, StoreError> {
        let mut statement = db.prepare_cached(&self.list).map_err(|error| failed(&error))?;
        let mut rows =
            statement.query((&query.prefix, query.cursor.as_deref())).map_err(|error| failed(&error))?;
        let mut page = Page::default();
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            let key: String = row.get(0).map_err(|error| failed(&error))?;
            if !key.starts_with(&query.prefix) {
                break;
            }
            if page.keys.len() == query.limit {
                page.cursor = page.keys.last().cloned();
                break;
            }
            page.keys.push(key);
        }
        Ok(page)
    }

    pub fn sweep(&self, db: &Connection) -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(&self.sweep).map_err(|error| failed(&error))?;
        statement.execute([]).map(drop).map_err(|error| failed(&error))
    }
}

/// The first [`COLUMNS`] of a row.
pub fn entry(row: &Row<'_>) -> rusqlite::Result<Result<Entry, StoreError>> {
    let version = Some(row.get(2)?);
    let expires =
        row.get::<_, Option<f64>>(3)?.map(|seconds| UNIX_EPOCH + Duration::from_secs_f64(seconds.max(0.0)));
    Ok(value(row)?.map(|value| Entry { value, version, expires }))
}

fn value(row: &Row<'_>) -> rusqlite::Result<Result<Vec<u8>, StoreError>> {
    let is_binary: bool = row.get(1)?;
    let stored = match row.get_ref(0)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        // The column turns numbers into text, and does not take NULL.
        _ => b"",
    };
    if !is_binary {
        return Ok(Ok(stored.to_vec()));
    }
    let decoded = BASE64.decode(stored);
    Ok(decoded.map_err(|_| StoreError::Other("the row says base64, and its value is none".to_owned())))
}
