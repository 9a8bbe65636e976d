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
use std::time::Duration;

pub const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS metadata (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS state (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL,
        is_binary BOOLEAN NOT NULL,
        etag TEXT NOT NULL,
        expiration_time TIMESTAMP DEFAULT NULL,
        update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    -- What Dapr would otherwise try to create again.
    INSERT OR IGNORE INTO metadata (key, value) VALUES ('migrations', '1');";

/// Ours alone: what the sweep goes through. Dapr does not mind.
pub const INDEX: &str = "CREATE INDEX IF NOT EXISTS sampan_state_expiration ON state (expiration_time)
    WHERE expiration_time IS NOT NULL";

/// The columns that this file works with.
pub const CHECK: &str = "SELECT key, value, is_binary, etag, expiration_time, update_time FROM state LIMIT 0";

const GET: &str = "SELECT value, is_binary, etag FROM state WHERE key = ?1
    AND (expiration_time IS NULL OR expiration_time > strftime('%Y-%m-%d %H:%M:%f', 'now'))";

const EXISTS: &str = "SELECT 1 FROM state WHERE key = ?1
    AND (expiration_time IS NULL OR expiration_time > strftime('%Y-%m-%d %H:%M:%f', 'now'))";

const LIST: &str = "SELECT key FROM state WHERE key >= ?1 AND (?2 IS NULL OR key > ?2)
    AND (expiration_time IS NULL OR expiration_time > strftime('%Y-%m-%d %H:%M:%f', 'now')) ORDER BY key";

/// The tag of a write is random, in the form of a UUID: so is Dapr's.
const PUT: &str = "INSERT INTO state (key, value, is_binary, etag, expiration_time, update_time)
    VALUES (?1, ?2, ?3,
        lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
            || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
        strftime('%Y-%m-%d %H:%M:%f', 'now', ?4),
        CURRENT_TIMESTAMP)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, is_binary = excluded.is_binary,
        etag = excluded.etag, update_time = excluded.update_time,
        expiration_time = CASE WHEN ?5 THEN expiration_time ELSE excluded.expiration_time END";

const DELETE: &str = "DELETE FROM state WHERE key = ?1";

/// Rows that one sweep removes; the rest waits for the next one.
const SWEEP: &str = "DELETE FROM state WHERE rowid IN (SELECT rowid FROM state
    WHERE expiration_time IS NOT NULL AND expiration_time <= strftime('%Y-%m-%d %H:%M:%f', 'now') LIMIT 1000)";

/// When a written row expires.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    Never,
    After(Duration),
    /// As before.
    Keep,
}

pub fn get(db: &Connection, key: &str) -> Result<Option<Entry>, StoreError> {
    let mut statement = db.prepare_cached(GET).map_err(|error| failed(&error))?;
    let row = statement.query_row([key], |row| Ok((value(row)?, row.get(2)?)));
    match row.optional().map_err(|error| failed(&error))? {
        None => Ok(None),
        Some((value, etag)) => Ok(Some(Entry { value: value?, version: Some(etag) })),
    }
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

pub fn exists(db: &Connection, key: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(EXISTS).map_err(|error| failed(&error))?;
    statement.exists([key]).map_err(|error| failed(&error))
}

pub fn put(db: &Connection, key: &str, value: &[u8], expiry: Expiry) -> Result<(), StoreError> {
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
    let mut statement = db.prepare_cached(PUT).map_err(|error| failed(&error))?;
    let done = statement.execute((key, stored, is_binary, after, keep));
    done.map(drop).map_err(|error| failed(&error))
}

pub fn delete(db: &Connection, key: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(DELETE).map_err(|error| failed(&error))?;
    statement.execute([key]).map(drop).map_err(|error| failed(&error))
}

pub fn list(db: &Connection, query: &Query) -> Result<Page, StoreError> {
    let mut statement = db.prepare_cached(LIST).map_err(|error| failed(&error))?;
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

pub fn sweep(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(SWEEP).map_err(|error| failed(&error))?;
    statement.execute([]).map(drop).map_err(|error| failed(&error))
}
