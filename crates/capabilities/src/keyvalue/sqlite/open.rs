//! Opening the file: what a user can do wrong is said in a sentence, before a guest runs.

use super::rows::Statements;
use crate::GrantError;
use crate::embedded::{self, OpenError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Threads that read one store.
const READERS_MAX: usize = 8;

pub fn writer(path: &Path, busy: Duration, rows: &Statements) -> Result<Connection, GrantError> {
    let create = |db: &Connection| {
        db.execute_batch(&rows.create)?;
        db.prepare(&rows.check)?;
        db.execute_batch(&rows.index)
    };
    embedded::open(path, busy, create).map_err(|error| explain(path, &error))
}

pub fn readers(path: &Path, busy: Duration) -> Result<Vec<Connection>, GrantError> {
    let count = std::thread::available_parallelism().map_or(2, usize::from).min(READERS_MAX);
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(busy)?;
        Ok(db)
    };
    (0..count).map(|_| open().map_err(|error| explain(path, &OpenError::Sqlite(error)))).collect()
}

fn explain(path: &Path, error: &OpenError) -> GrantError {
    if let OpenError::Sqlite(rusqlite::Error::SqlInputError { msg, .. }) = error {
        let path = path.display();
        return GrantError {
            what: format!("{path} is a SQLite database whose table is not a key-value store: {msg}"),
            help: Some("name another file for the store".to_owned()),
        };
    }
    error.explain(path, "the store")
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
