//! The embedded store: one SQLite file, in the layout of Dapr's `state.sqlite`.
//!
//! What is acknowledged is on the disk: the writer commits with `synchronous=FULL` before it answers
//! (`writer.rs`). Reads have threads and connections of their own and see every acknowledged write.
//! Several processes may use one file: SQLite's locks keep them apart.

mod open;
mod readers;
mod rows;
mod writer;

use super::{
    Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Page, Query, StoreError, check, incremented,
};
use crate::GrantError;
use readers::Readers;
use rows::Expiry;
use std::path::Path;
use std::time::Duration;
use writer::Writer;

pub struct Sqlite {
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    /// Opens the file, and creates it with its folder where it is missing. Blocks.
    pub fn open(path: &Path) -> Result<Self, GrantError> {
        let writer = open::writer(path)?;
        let readers = open::readers(path)?;
        Ok(Sqlite { readers: Readers::start(readers), writer: Writer::start(writer) })
    }

    /// The same on a disk that is full after so many pages.
    #[cfg(test)]
    pub fn open_small(path: &Path, pages: u32) -> Self {
        let writer = open::writer(path).expect("a file");
        let limit = writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        limit.expect("a limit");
        let readers = open::readers(path).expect("the file");
        Sqlite { readers: Readers::start(readers), writer: Writer::start(writer) }
    }
}

impl Backend for Sqlite {
    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        Box::pin(self.readers.run(move |db| rows::get(db, &key)))
    }

    fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        condition: Condition,
    ) -> Answer<'_, bool> {
        let bytes = key.len() + value.len();
        Box::pin(self.writer.run(bytes, move |db| {
            let holds = condition == Condition::Always || condition.holds(rows::get(db, &key)?.as_ref());
            if holds {
                rows::put(db, &key, &value, ttl.map_or(Expiry::Never, Expiry::After))?;
            }
            Ok(holds)
        }))
    }

    fn delete(&self, key: String, condition: Condition) -> Answer<'_, bool> {
        Box::pin(self.writer.run(key.len(), move |db| {
            let holds = condition == Condition::Always || condition.holds(rows::get(db, &key)?.as_ref());
            if holds {
                rows::delete(db, &key)?;
            }
            Ok(holds)
        }))
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        Box::pin(self.readers.run(move |db| rows::exists(db, &key)))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        Box::pin(self.readers.run(move |db| rows::list(db, &query)))
    }

    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Vec<u8>>>> {
        Box::pin(self.readers.run(move |db| {
            let mut bytes = 0;
            let one = |key: &String| {
                let value = rows::get(db, key)?.map(|entry| entry.value);
                bytes += value.as_ref().map_or(0, Vec::len);
                check("a batch", bytes, BATCH_BYTES_MAX).map(|()| value)
            };
            keys.iter().map(one).collect()
        }))
    }

    fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        Box::pin(self.writer.run(bytes, move |db| {
            entries.iter().try_for_each(|(key, value)| rows::put(db, key, value, Expiry::Never))
        }))
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        let bytes = keys.iter().map(String::len).sum();
        Box::pin(self.writer.run(bytes, move |db| keys.iter().try_for_each(|key| rows::delete(db, key))))
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        Box::pin(self.writer.run(key.len(), move |db| {
            let now = rows::get(db, &key)?;
            let sum = incremented(now.as_ref().map(|entry| entry.value.as_slice()), delta)?;
            let expiry = if now.is_some() { Expiry::Keep } else { Expiry::Never };
            rows::put(db, &key, sum.to_string().as_bytes(), expiry).map(|()| sum)
        }))
    }
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
