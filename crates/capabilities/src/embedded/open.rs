//! Opening a file of SQLite: what a user can do wrong is said in a sentence, before a guest runs.

use crate::GrantError;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// After a burst of writes the log shrinks to this again.
const LOG_BYTES_MAX: i64 = 64 << 20;
/// Between two tries to open a file that is locked.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

pub enum OpenError {
    Folder(std::io::Error),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        OpenError::Sqlite(error)
    }
}

/// Opens the file for writing, and creates it with its folder where it is missing. A commit waits for the disk.
/// A write waits for another process that writes for as long as `busy`. `create` makes the tables, all or none.
pub fn open(
    path: &Path,
    busy: Duration,
    create: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(OpenError::Folder)?;
    }
    let start = Instant::now();
    loop {
        match prepare(path, busy, &create) {
            // SQLite does not wait for all of its locks, such as that of who closes the file as the last.
            Err(error) if is_busy(&error) && start.elapsed() < busy => std::thread::sleep(BUSY_PAUSE),
            prepared => return Ok(prepared?),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn prepare(
    path: &Path,
    busy: Duration,
    create: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<Connection> {
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
    create(&db)?;
    db.execute_batch("COMMIT")?;
    Ok(db)
}

impl OpenError {
    /// `what` is in the file: "the store".
    pub fn explain(&self, path: &Path, what: &str) -> GrantError {
        let error = match self {
            OpenError::Sqlite(error) => error,
            OpenError::Folder(error) => {
                let folder = path.parent().unwrap_or(path).display();
                return GrantError {
                    what: format!("cannot create the folder {folder} for {what}: {error}"),
                    help: Some("name a file in a folder that can be written to".to_owned()),
                };
            }
        };
        let path = path.display();
        let (what, help) = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (
                format!("{path} is not a SQLite database, or it is damaged"),
                "restore it from a backup, or move it away: then a new, empty one is created",
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
                format!("{what} {path} cannot be written to"),
                "make the file and its folder writable for the user that runs sampan",
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                format!("{what} {path} is locked by another process"),
                "another program holds a transaction on the file; end it",
            ),
            Some(ErrorCode::CannotOpen) => (
                format!("cannot open {what} {path}: {error}"),
                "it must be a file in a folder that can be written to",
            ),
            _ => (format!("cannot open {what} {path}: {error}"), "check the file and the disk"),
        };
        GrantError { what, help: Some(help.to_owned()) }
    }
}
