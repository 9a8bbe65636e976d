//! Opening the file: what a user can do wrong is said in a sentence, before a guest runs.

use super::rows::Statements;
use crate::GrantError;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// After a burst of writes the log shrinks to this again.
const LOG_BYTES_MAX: i64 = 64 << 20;
/// Threads that read one store.
const READERS_MAX: usize = 8;

pub fn writer(path: &Path, busy: Duration, rows: &Statements) -> Result<Connection, GrantError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|error| GrantError {
            what: format!("cannot create the folder {} for a store: {error}", folder.display()),
            help: Some("name a file in a folder that can be written to".to_owned()),
        })?;
    }
    prepare(path, busy, rows).map_err(|error| explain(path, &error))
}

fn prepare(path: &Path, busy: Duration, rows: &Statements) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(busy)?;
    // Where a file is not writable, SQLite opens it for reading, without a word.
    if db.is_readonly(MAIN_DB)? {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(error, None));
    }
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
    // Where this ends early, nothing of it is left.
    db.execute_batch("BEGIN IMMEDIATE")?;
    db.execute_batch(&rows.create)?;
    db.prepare(&rows.check)?;
    db.execute_batch(&rows.index)?;
    db.execute_batch("COMMIT")?;
    Ok(db)
}

pub fn readers(path: &Path, busy: Duration) -> Result<Vec<Connection>, GrantError> {
    let count = std::thread::available_parallelism().map_or(2, usize::from).min(READERS_MAX);
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(busy)?;
        Ok(db)
    };
    (0..count).map(|_| open().map_err(|error: rusqlite::Error| explain(path, &error))).collect()
}

fn explain(path: &Path, error: &rusqlite::Error) -> GrantError {
    let path = path.display();
    if let rusqlite::Error::SqlInputError { msg, .. } = error {
        return GrantError {
            what: format!("{path} is a SQLite database whose table is not a key-value store: {msg}"),
            help: Some("name another file for the store".to_owned()),
        };
    }
    let (what, help) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (
            format!("{path} is not a SQLite database, or it is damaged"),
            "restore it from a backup, or move it away: then a new, empty one is created",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            format!("the store {path} cannot be written to"),
            "make the file and its folder writable for the user that runs sampan",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            format!("the store {path} is locked by another process"),
            "another program holds a transaction on the file; end it",
        ),
        Some(ErrorCode::CannotOpen) => (
            format!("cannot open the store {path}: {error}"),
            "it must be a file in a folder that can be written to",
        ),
        _ => (format!("cannot open the store {path}: {error}"), "check the file and the disk"),
    };
    GrantError { what, help: Some(help.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk() {
        let folder = sampan_testing::temp_dir();
        let rows = Statements::new("state", "metadata");
        let db = writer(&folder.path().join("state.sqlite"), Duration::ZERO, &rows).expect("a file");
        let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a mode");
        let synchronous: u8 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("a level");
        assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
    }
}
