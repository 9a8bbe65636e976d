//! The embedded store: one SQLite file, in the layout of Dapr's `state.sqlite`.
//!
//! What is acknowledged is on the disk: the writer commits with `synchronous=FULL` before it answers
//! (`embedded/writer.rs`). Reads have connections of their own and see every acknowledged write; one row is read where
//! it is asked for while that is fast (`near.rs`), all else in threads.
//! Several processes may use one file: SQLite's locks keep them apart. A database in memory has one connection
//! only, which is the writer's.

mod near;
mod open;
mod questions;
mod readers;
mod rows;

use super::{
    Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Features, Page, Query, QueryPage, StateQuery,
    StoreError, Write, check, incremented,
};
use crate::GrantError;
use crate::embedded::{Failure, Writer};
use near::Near;
use readers::Readers;
use rows::{Expiry, Statements};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name of a database that is only in memory.
const MEMORY: &str = ":memory:";

/// Which file, and which table in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// [`MEMORY`] for none.
    pub path: PathBuf,
    pub table: String,
    pub metadata_table: String,
    /// How long a write waits for another process that writes to the same file.
    pub busy_timeout: Duration,
}

pub struct Sqlite {
    rows: Arc<Statements>,
    /// `None` in memory.
    readers: Option<Readers>,
    near: Option<Near>,
    writer: Writer<StoreError>,
}

impl Sqlite {
    /// Opens the file, and creates it with its folder where it is missing. Blocks.
    pub fn open(settings: &Settings) -> Result<Self, GrantError> {
        let Settings { path, busy_timeout, .. } = settings;
        let rows = Arc::new(Statements::new(&settings.table, &settings.metadata_table));
        let writer = open::writer(path, *busy_timeout, &rows)?;
        let in_memory = path == Path::new(MEMORY);
        let readers = if in_memory { None } else { Some(open::readers(path, *busy_timeout)?) };
        let near = if in_memory { None } else { Some(open::readers(path, Duration::ZERO)?) };
        Ok(Sqlite {
            readers: readers.map(Readers::start),
            near: near.map(Near::new),
            writer: start(writer, &rows),
            rows,
        })
    }

    /// The same on a disk that is full after so many pages.
    #[cfg(test)]
    pub fn open_small(path: &Path, pages: u32) -> Self {
        let rows = Arc::new(Statements::new("state", "metadata"));
        let writer = open::writer(path, Duration::from_secs(5), &rows).expect("a file");
        let limit = writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        limit.expect("a limit");
        let readers = open::readers(path, Duration::from_secs(5)).expect("the file");
        let readers = Some(Readers::start(readers));
        Sqlite { readers, near: None, writer: start(writer, &rows), rows }
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let rows = Arc::clone(&self.rows);
        let work = move |db: &Connection| work(db, &rows);
        match &self.readers {
            Some(readers) => Box::pin(readers.run(work)),
            None => Box::pin(self.writer.run(0, work)),
        }
    }

    /// Reads one row.
    fn read_row<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection, &Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        match self.near.as_ref().and_then(|near| near.read(|db| work(db, &self.rows))) {
            Some(found) => Box::pin(std::future::ready(Ok(found))),
            None => self.read(work),
        }
    }

    fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection, &Statements) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let rows = Arc::clone(&self.rows);
        Box::pin(self.writer.run(bytes, move |db| work(db, &rows)))
    }
}

impl Backend for Sqlite {
    fn features(&self) -> Features {
        Features { versions: true, transactions: true, ttl: true, query: true }
    }

    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        self.read_row(move |db, rows| rows.get(db, &key))
    }

    fn write(&self, write: Write) -> Answer<'_, bool> {
        self.change(write.bytes(), move |db, rows| apply(db, rows, &write))
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        self.read_row(move |db, rows| rows.exists(db, &key))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        self.read(move |db, rows| rows.list(db, &query))
    }

    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        self.read(move |db, rows| {
            let mut bytes = 0;
            let one = |key: &String| {
                let entry = rows.get(db, key)?;
                bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
                check("a batch", bytes, BATCH_BYTES_MAX).map(|()| entry)
            };
            keys.iter().map(one).collect()
        })
    }

    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        let bytes = writes.iter().map(Write::bytes).sum();
        self.change(bytes, move |db, rows| {
            let sql = |sql| db.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop);
            sql("SAVEPOINT all_or_none").map_err(|error| failed(&error))?;
            let mut done = Ok(());
            for (place, write) in writes.iter().enumerate() {
                // An error takes back what was done before it: the writer does that.
                if !apply(db, rows, write)? {
                    sql("ROLLBACK TO all_or_none").map_err(|error| failed(&error))?;
                    done = Err(place);
                    break;
                }
            }
            sql("RELEASE all_or_none").map_err(|error| failed(&error))?;
            Ok(done)
        })
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        self.change(key.len(), move |db, rows| {
            let now = rows.get(db, &key)?;
            let sum = incremented(now.as_ref().map(|entry| entry.value.as_slice()), delta)?;
            let expiry = if now.is_some() { Expiry::Keep } else { Expiry::Never };
            rows.put(db, &key, sum.to_string().as_bytes(), expiry).map(|()| sum)
        })
    }

    fn query(&self, query: StateQuery) -> Answer<'_, QueryPage> {
        self.read(move |db, rows| questions::answer(db, rows, &query))
    }
}

fn start(db: Connection, rows: &Arc<Statements>) -> Writer<StoreError> {
    let rows = Arc::clone(rows);
    Writer::start(db, move |db| rows.sweep(db))
}

/// Does one write; `false`: its condition did not hold.
fn apply(db: &Connection, rows: &Statements, write: &Write) -> Result<bool, StoreError> {
    let condition = &write.condition;
    let holds = *condition == Condition::Always || condition.holds(rows.get(db, &write.key)?.as_ref());
    match (holds, &write.value) {
        (false, _) => {}
        (true, Some(value)) => {
            rows.put(db, &write.key, value, write.ttl.map_or(Expiry::Never, Expiry::After))?;
        }
        (true, None) => rows.delete(db, &write.key)?,
    }
    Ok(holds)
}

/// What an error of SQLite means to whoever uses the store.
fn failed(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            StoreError::Unavailable("another process holds the file's lock".to_owned())
        }
        Some(Code::DiskFull) => StoreError::Unavailable("the disk is full".to_owned()),
        Some(Code::SystemIoFailure | Code::CannotOpen | Code::ReadOnly | Code::OutOfMemory) => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Other(error.to_string()),
    }
}

impl Failure for StoreError {
    fn sqlite(error: &rusqlite::Error) -> Self {
        failed(error)
    }

    fn gone() -> Self {
        StoreError::Unavailable("the store was closed".to_owned())
    }
}
