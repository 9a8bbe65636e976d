//! SQLite, embedded: a file in write-ahead mode, every commit on the disk before it is acknowledged.
//! Statements run on threads that may block.

use super::connection::{Done, Item};
use super::pool::{Driver, Session};
use super::sqlite_policy::authorize;
use super::{Column, Error, Kind, RESULT_BYTES_MAX, STATEMENT_BYTES_MAX, Value};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, Value as OwnedValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// How long a statement waits for another connection's lock.
const BUSY: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks whether the statement is still wanted.
const STEPS: i32 = 4_000;
/// Depth of an expression and length of a pattern: deeper or longer ones serve only to use up the host's
/// stack and time. The documentation's recommendation is of this size ("Defense Against The Dark Arts").
const EXPRESSION_DEPTH_MAX: i32 = 200;
const PATTERN_BYTES_MAX: i32 = 1000;

/// A database's file.
pub(super) struct Sqlite {
    pub path: PathBuf,
}

pub(super) struct SqliteSession {
    /// Elsewhere while a statement runs.
    database: Option<Connection>,
    task: Option<JoinHandle<(Connection, Result<Done, Error>)>>,
    unwanted: Arc<AtomicBool>,
    /// The guest changed the connection itself, which cannot be taken back.
    spoiled: Arc<AtomicBool>,
}

impl Driver for Sqlite {
    type Session = SqliteSession;

    async fn connect(&self) -> Result<SqliteSession, Error> {
        let path = self.path.clone();
        let label = self.label();
        let (unwanted, spoiled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stop, spoil) = (Arc::clone(&unwanted), Arc::clone(&spoiled));
        let opened = spawn_blocking(move || open(&path, stop, spoil)).await;
        let opened = opened.map_err(|error| Error::Connection(format!("cannot open {label}: {error}")))?;
        let database =
            opened.map_err(|error| Error::Connection(format!("cannot open {}: {error}", self.label())))?;
        Ok(SqliteSession { database: Some(database), task: None, unwanted, spoiled })
    }

    fn label(&self) -> String {
        format!("the SQLite database {}", self.path.display())
    }
}

fn open(path: &Path, unwanted: Arc<AtomicBool>, spoiled: Arc<AtomicBool>) -> rusqlite::Result<Connection> {
    if let Some(folder) = path.parent() {
        // If this fails, opening says why.
        let _ = std::fs::create_dir_all(folder);
    }
    // No URI: a name with `?` in it is a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let bytes = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes(RESULT_BYTES_MAX))?;
    database.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, bytes(STATEMENT_BYTES_MAX))?;
    database.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH_MAX)?;
    database.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX)?;
    // One: VACUUM attaches its temporary copy.
    database.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    database.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    database.progress_handler(STEPS, Some(move || unwanted.load(Ordering::Relaxed)))?;
    restrict(&database, spoiled)?;
    Ok(database)
}

fn restrict(database: &Connection, spoiled: Arc<AtomicBool>) -> rusqlite::Result<()> {
    database.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| authorize(&context, &spoiled)))
}

impl Session for SqliteSession {
    async fn run(
        &mut self,
        statement: String,
        params: Vec<Value>,
        sink: mpsc::Sender<Item>,
    ) -> Result<Done, Error> {
        let database = self.database.take().ok_or_else(ended)?;
        let unwanted = Arc::clone(&self.unwanted);
        let task = self.task.insert(spawn_blocking(move || {
            let result = execute(&database, &statement, params, &sink, &unwanted);
            (database, result)
        }));
        let (database, result) = task.await.map_err(|_| ended())?;
        self.task = None;
        self.database = Some(database);
        result
    }

    async fn init(&mut self, statements: &str) -> Result<(), Error> {
        let database = self.database.take().ok_or_else(ended)?;
        let statements = statements.to_owned();
        let spoiled = Arc::clone(&self.spoiled);
        let task = spawn_blocking(move || {
            // The manifest's author may do what a guest may not.
            let open = database.authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> _>);
            let result = open.and_then(|()| database.execute_batch(&statements));
            let result = result.and(restrict(&database, spoiled));
            (database, result)
        });
        let (database, result) = task.await.map_err(|_| ended())?;
        self.database = Some(database);
        result.map_err(|error| failed(&error, false))
    }

    fn usable(&self) -> bool {
        self.database.is_some()
    }

    async fn ping(&mut self) -> bool {
        true
    }

    async fn clean(&mut self) -> bool {
        if self.spoiled.load(Ordering::Relaxed) {
            return false;
        }
        let Some(database) = self.database.take() else { return false };
        if database.is_autocommit() {
            self.database = Some(database);
            return true;
        }
        let task = spawn_blocking(move || {
            let rolled_back = database.execute_batch("ROLLBACK");
            rolled_back.is_ok().then_some(database)
        });
        self.database = task.await.ok().flatten();
        self.database.is_some()
    }

    async fn cancel(mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

fn ended() -> Error {
    Error::Connection("the connection to the database has ended".to_owned())
}

/// Runs a statement to its end, or until nobody wants its rows.
fn execute(
    database: &Connection,
    text: &str,
    params: Vec<Value>,
    sink: &mpsc::Sender<Item>,
    unwanted: &AtomicBool,
) -> Result<Done, Error> {
    let failed = |error: rusqlite::Error| failed(&error, unwanted.load(Ordering::Relaxed));
    let mut statement = database.prepare_cached(text).map_err(failed)?;
    let (takes, got) = (statement.parameter_count(), params.len());
    if takes != got {
        return Err(Error::Parameter(format!("the statement takes {takes} parameters, but got {got}")));
    }
    for (index, value) in params.into_iter().enumerate() {
        statement.raw_bind_parameter(index + 1, encode(value)?).map_err(failed)?;
    }
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    // SQLite has types of values, not of columns.
    let columns = names.into_iter().map(|name| Column { name, kind: Kind::Other(String::new()) }).collect();
    let mut rows = statement.raw_query();
    // All changes are made before the first row comes, also where rows are returned.
    let mut row = rows.next().map_err(failed)?.map(decode).transpose()?;
    let mut wanted = sink.blocking_send(Item::Columns(columns)).is_ok();
    while let Some(fields) = row {
        wanted = wanted && sink.blocking_send(Item::Row(fields)).is_ok();
        if unwanted.load(Ordering::Relaxed) {
            break;
        }
        row = rows.next().map_err(failed)?.map(decode).transpose()?;
    }
    drop(rows);
    Ok(Done { affected: database.changes(), rowid: database.last_insert_rowid() })
}

fn encode(value: Value) -> Result<ToSqlOutput<'static>, Error> {
    Ok(ToSqlOutput::Owned(match value {
        Value::Null => OwnedValue::Null,
        Value::Boolean(value) => OwnedValue::Integer(value.into()),
        Value::Int8(value) => OwnedValue::Integer(value.into()),
        Value::Int16(value) => OwnedValue::Integer(value.into()),
        Value::Int32(value) => OwnedValue::Integer(value.into()),
        Value::Int64(value) => OwnedValue::Integer(value),
        Value::Float32(value) => OwnedValue::Real(value.into()),
        Value::Float64(value) => OwnedValue::Real(value),
        Value::Text(text) => OwnedValue::Text(text),
        Value::Binary(bytes) => OwnedValue::Blob(bytes),
        other => return Err(Error::Parameter(format!("SQLite has no such parameter: {other:?}"))),
    }))
}

fn decode(row: &rusqlite::Row<'_>) -> Result<Vec<Value>, Error> {
    let count = row.as_ref().column_count();
    let field = |index| -> Result<Value, Error> {
        let value = row.get_ref(index).map_err(|error| failed(&error, false))?;
        Ok(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int64(value),
            ValueRef::Real(value) => Value::Float64(value),
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::Binary(bytes.to_vec()),
        })
    };
    (0..count).map(field).collect()
}

fn failed(error: &rusqlite::Error, unwanted: bool) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            Error::query("not authorized: the statement reaches beyond the guest's database")
        }
        Some(ErrorCode::OperationInterrupted) if unwanted => Error::query("the statement was ended"),
        _ => Error::query(error.to_string()),
    }
}
