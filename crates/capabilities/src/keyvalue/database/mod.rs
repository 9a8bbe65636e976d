//! Stores in PostgreSQL and MySQL, in Dapr's tables (`layout.rs`, `tables.rs`).
//!
//! A write is one statement that has its condition in itself; a transaction is the database's own. Handles that came
//! to an orderly end are kept for the next call; any other goes back to its pool, which rolls back what is open.

mod json;
mod layout;
mod tables;

use super::filter_sql::{Dialect, Param, build};
use super::query::ITEMS_MAX;
use super::{
    Answer, BATCH_BYTES_MAX, Backend, Condition, Entry, Features, Page, Query, QueryPage, StateQuery,
    StoreError, Write, check, incremented,
};
use crate::sql::{Connection, Error, Server, Value};
use json::Column;
use layout::{Kind, Layout, MYSQL_KEY_CHARS_MAX};
use sampan_app::{KeyValueDatabase, PostgresLayout, SqlBackend, SqlStore};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::AbortHandle;

/// How long a call waits for a connection that others have.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A handle that was not used for so long is asked whether its connection lives.
const TRUSTED: Duration = Duration::from_secs(1);
/// One that was not used for so long is given back.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How often a write that lost against others is tried again.
const ATTEMPTS_MAX: usize = 64;
/// The same for a transaction that the database ended because of others.
const TRANSACTIONS_MAX: usize = 8;

/// What kind of tables, and where.
#[derive(Clone, Debug)]
pub enum Tables {
    Postgres(PostgresLayout),
    /// The schema.
    MySql(String),
}

pub struct Database {
    shared: Arc<Shared>,
    sweeper: Option<AbortHandle>,
}

struct Shared {
    server: Arc<Server>,
    tables: Tables,
    settings: KeyValueDatabase,
    runtime: Handle,
    places: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// Known once the tables are made.
    layout: OnceCell<Layout>,
}

impl Database {
    /// Connects at the first use.
    pub fn new(tables: Tables, settings: &KeyValueDatabase, runtime: Handle) -> Result<Self, StoreError> {
        let url = settings.url.clone();
        let store = SqlStore {
            backend: match tables {
                Tables::Postgres(_) => SqlBackend::Postgres { url },
                Tables::MySql(_) => SqlBackend::MySql { url },
            },
            lazy: true,
            connections: settings.connections,
            statement_timeout: settings.timeout,
            init: None,
            ca: settings.ca.clone(),
        };
        let server = Server::of_manifest(&store).map_err(|error| failed(&error))?;
        let shared = Arc::new(Shared {
            server: Arc::new(server),
            tables,
            settings: settings.clone(),
            runtime: runtime.clone(),
            places: Semaphore::new(settings.connections.max(1) as usize),
            idle: Mutex::default(),
            layout: OnceCell::new(),
        });
        let sweeper = settings.cleanup.map(|interval| {
            let shared = Arc::clone(&shared);
            runtime.spawn(async move { shared.sweep_every(interval).await }).abort_handle()
        });
        Ok(Database { shared, sweeper })
    }

    /// Whether the server answers, lets us in, and has the tables.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.shared.with(async |_, _| Ok(())).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
    }
}

impl Shared {
    async fn sweep_every(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            // What is left over is invisible, and the next sweep tries again.
            let _ = self.with(async |at, layout| execute(at, &layout.sweep, vec![]).await).await;
        }
    }

    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Connection, &Layout) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = tokio::time::timeout(WAIT_MAX, self.places.acquire()).await;
        let _place = place.map_err(|_| {
            let what = format!("all {} connections were in use for {WAIT_MAX:?}", self.settings.connections);
            StoreError::Unavailable(what)
        })?;
        let connection = match self.idle().await {
            Some(connection) => connection,
            None => {
                let server = Arc::clone(&self.server);
                // Its driver belongs to that runtime.
                let opened = self.runtime.spawn(async move { server.connect().await }).await;
                let opened = opened.map_err(|error| StoreError::Unavailable(error.to_string()))?;
                opened.map_err(|error| failed(&error))?
            }
        };
        let layout = self.layout.get_or_try_init(|| self.make(&connection)).await?;
        let done = work(&connection, layout).await?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        idle.push((connection, Instant::now()));
        Ok(done)
    }

    /// A handle of before whose connection lives.
    async fn idle(&self) -> Option<Connection> {
        loop {
            let (connection, since) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < TRUSTED || connection.execute("SELECT 1".to_owned(), vec![]).await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn make(&self, connection: &Connection) -> Result<Layout, StoreError> {
        let KeyValueDatabase { table, metadata_table, .. } = &self.settings;
        match &self.tables {
            Tables::Postgres(version) => {
                tables::make_postgres(connection, *version, table, metadata_table).await?;
                let layout = match version {
                    PostgresLayout::V1 => Layout::postgres_v1(table),
                    PostgresLayout::V2 => Layout::postgres_v2(table),
                };
                // Dapr's notes may be those of another table.
                exists(connection, &layout, "").await?;
                Ok(layout)
            }
            Tables::MySql(schema) => {
                let rows = select(connection, "SELECT VERSION()", vec![]).await?;
                let version = rows.first().and_then(|row| row.first());
                let is_mariadb = matches!(version, Some(Value::Text(text)) if text.contains("MariaDB"));
                tables::make_mysql(connection, schema, table, metadata_table, is_mariadb).await?;
                let column = if is_mariadb { Column::Text } else { Column::Parsed };
                Ok(Layout::mysql(&format!("{schema}.{table}"), column))
            }
        }
    }

    /// MySQL would cut longer keys, or refuse them, as its mode is.
    fn check_key(&self, key: &str) -> Result<(), StoreError> {
        match self.tables {
            Tables::MySql(_) => check("a key", key.chars().count(), MYSQL_KEY_CHARS_MAX),
            Tables::Postgres(_) => Ok(()),
        }
    }
}

async fn get(at: &Connection, layout: &Layout, key: &str) -> Result<Option<Entry>, StoreError> {
    let rows = select(at, &layout.get, vec![Value::Text(key.to_owned())]).await?;
    rows.into_iter().next().map(|row| layout.entry(row).map(|(_, entry)| entry)).transpose()
}

async fn exists(at: &Connection, layout: &Layout, key: &str) -> Result<bool, StoreError> {
    Ok(!select(at, &layout.exists, vec![Value::Text(key.to_owned())]).await?.is_empty())
}

/// `false`: the condition did not hold.
async fn write(at: &Connection, layout: &Layout, write: Write) -> Result<bool, StoreError> {
    let Write { key, value, ttl, condition, .. } = write;
    match (condition, value) {
        (Condition::Always, Some(value)) => {
            execute(at, &layout.upsert, layout.params(key, value, ttl, None)).await.map(|_| true)
        }
        (Condition::Always, None) => execute(at, &layout.delete, vec![Value::Text(key)]).await.map(|_| true),
        (Condition::Absent, Some(value)) => {
            Ok(execute(at, &layout.insert, layout.params(key, value, ttl, None)).await? > 0)
        }
        (Condition::Absent, None) => Ok(!exists(at, layout, &key).await?),
        (Condition::Version(version), value) => versioned(at, layout, key, value, ttl, version).await,
        (Condition::Value(expected), value) => {
            for _ in 0..ATTEMPTS_MAX {
                let Some(now) = get(at, layout, &key).await?.filter(|now| now.value == expected) else {
                    return Ok(false);
                };
                let version = now.version.unwrap_or_default();
                // Another value may have come, or the same again.
                if versioned(at, layout, key.clone(), value.clone(), ttl, version).await? {
                    return Ok(true);
                }
            }
            Err(contended())
        }
    }
}

async fn versioned(
    at: &Connection,
    layout: &Layout,
    key: String,
    value: Option<Vec<u8>>,
    ttl: Option<Duration>,
    version: String,
) -> Result<bool, StoreError> {
    layout.check_version(&version)?;
    let changed = match value {
        Some(value) => execute(at, &layout.update, layout.params(key, value, ttl, Some(version))).await?,
        None => execute(at, &layout.delete_version, vec![Value::Text(key), Value::Text(version)]).await?,
    };
    Ok(changed > 0)
}

/// One attempt at a transaction. Each statement sees what others have committed before it.
async fn transact(
    at: &Connection,
    layout: &Layout,
    writes: &[Write],
) -> Result<Result<(), usize>, StoreError> {
    if matches!(layout.kind, Kind::MySql(_)) {
        execute(at, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", vec![]).await?;
        execute(at, "START TRANSACTION", vec![]).await?;
    } else {
        execute(at, "START TRANSACTION ISOLATION LEVEL READ COMMITTED", vec![]).await?;
    }
    for (place, one) in writes.iter().enumerate() {
        if !write(at, layout, one.clone()).await? {
            execute(at, "ROLLBACK", vec![]).await?;
            return Ok(Err(place));
        }
    }
    execute(at, "COMMIT", vec![]).await?;
    Ok(Ok(()))
}

impl Backend for Database {
    fn features(&self) -> Features {
        let query = matches!(self.shared.tables, Tables::Postgres(_));
        Features { versions: true, transactions: true, ttl: true, query }
    }

    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        Box::pin(async move {
            self.shared.check_key(&key)?;
            self.shared.with(async |at, layout| get(at, layout, &key).await).await
        })
    }

    fn write(&self, one: Write) -> Answer<'_, bool> {
        Box::pin(async move {
            self.shared.check_key(&one.key)?;
            self.shared.with(async |at, layout| write(at, layout, one).await).await
        })
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        Box::pin(async move {
            self.shared.check_key(&key)?;
            self.shared.with(async |at, layout| exists(at, layout, &key).await).await
        })
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        Box::pin(async move { self.shared.with(async |at, layout| list(at, layout, query).await).await })
    }

    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        Box::pin(async move {
            keys.iter().try_for_each(|key| self.shared.check_key(key))?;
            self.shared.with(async |at, layout| entries(at, layout, keys).await).await
        })
    }

    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        Box::pin(async move {
            writes.iter().try_for_each(|write| self.shared.check_key(&write.key))?;
            let mut attempt = 1;
            loop {
                let done = self.shared.with(async |at, layout| transact(at, layout, &writes).await).await;
                match done {
                    Err(StoreError::Unavailable(why)) if why == DEADLOCK && attempt < TRANSACTIONS_MAX => {
                        attempt += 1
                    }
                    other => return other,
                }
            }
        })
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        Box::pin(async move {
            self.shared.check_key(&key)?;
            self.shared.with(async |at, layout| increment(at, layout, key, delta).await).await
        })
    }

    fn query(&self, query: StateQuery) -> Answer<'_, QueryPage> {
        Box::pin(async move {
            if matches!(self.shared.tables, Tables::MySql(_)) {
                return Err(StoreError::Unsupported("queries"));
            }
            self.shared.with(async |at, layout| answer(at, layout, &query).await).await
        })
    }
}

async fn increment(at: &Connection, layout: &Layout, key: String, delta: i64) -> Result<i64, StoreError> {
    for _ in 0..ATTEMPTS_MAX {
        let now = get(at, layout, &key).await?;
        let sum = incremented(now.as_ref().map(|entry| entry.value.as_slice()), delta)?;
        let value = sum.to_string().into_bytes();
        let (statement, version) = match now {
            Some(entry) => (&layout.update_keep, entry.version),
            None => (&layout.insert, None),
        };
        if execute(at, statement, layout.params(key.clone(), value, None, version)).await? > 0 {
            return Ok(sum);
        }
    }
    Err(contended())
}

async fn list(at: &Connection, layout: &Layout, query: Query) -> Result<Page, StoreError> {
    let cursor = query.cursor.map_or(Value::Null, Value::Text);
    // One more tells whether there is more.
    let count = Value::Int64(query.limit as i64 + 1);
    let params = match layout.kind {
        Kind::MySql(_) => vec![Value::Text(like(&query.prefix)), cursor.clone(), cursor, count],
        _ => vec![Value::Text(query.prefix.clone()), cursor, count],
    };
    let rows = select(at, &layout.list, params).await?;
    let texts = rows.into_iter().filter_map(|row| row.into_iter().next());
    let mut keys: Vec<String> =
        texts.filter_map(|key| if let Value::Text(key) = key { Some(key) } else { None }).collect();
    let more = keys.len() > query.limit;
    keys.truncate(query.limit);
    let cursor = keys.last().filter(|_| more).cloned();
    // A collation may take other letters for the prefix's.
    keys.retain(|key| key.starts_with(&query.prefix));
    Ok(Page { keys, cursor })
}

/// A pattern for what begins so.
fn like(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for letter in prefix.chars() {
        if matches!(letter, '|' | '%' | '_') {
            pattern.push('|');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

async fn entries(
    at: &Connection,
    layout: &Layout,
    keys: Vec<String>,
) -> Result<Vec<Option<Entry>>, StoreError> {
    let mut wanted = keys.clone();
    wanted.sort_unstable();
    wanted.dedup();
    let (statement, params) = match layout.kind {
        Kind::MySql(_) => {
            let places = format!("({}?)", "?,".repeat(wanted.len() - 1));
            let params = wanted.into_iter().map(Value::Text).collect();
            (format!("{}{places}", layout.get_many), params)
        }
        _ => (layout.get_many.clone(), vec![Value::ArrayText(wanted.into_iter().map(Some).collect())]),
    };
    let mut found = HashMap::new();
    let mut rows = at.query(statement, params).await.map_err(|error| failed(&error))?;
    let mut bytes = 0;
    while let Some(row) = rows.next().await {
        let (key, entry) = layout.entry(row.map_err(|error| failed(&error))?)?;
        bytes += entry.value.len();
        check("a batch", bytes, BATCH_BYTES_MAX)?;
        found.insert(key, entry);
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

async fn answer(at: &Connection, layout: &Layout, query: &StateQuery) -> Result<QueryPage, StoreError> {
    let (limit, offset) = (query.limit.unwrap_or(ITEMS_MAX), query.offset()?);
    let built = build(query, Dialect::Postgres, 3);
    let sql = format!("{}{} OFFSET $2::bigint LIMIT $3::bigint", layout.query, built.text);
    let mut params =
        vec![Value::Text(query.prefix.clone()), Value::Int64(offset.into()), Value::Int64(limit as i64 + 1)];
    params.extend(built.params.into_iter().map(|param| match param {
        Param::Text(text) => Value::Text(text),
        Param::Number(number) => Value::Text(number.to_string()),
        Param::Path(path) => Value::ArrayText(path.into_iter().map(Some).collect()),
    }));
    let mut started = at.query(sql.clone(), params.clone()).await;
    if started.as_ref().is_err_and(is_undefined) {
        // It belongs to the session, which is a new one.
        execute(at, &layout.doc_function, vec![]).await?;
        started = at.query(sql, params).await;
    }
    let mut rows = started.map_err(|error| failed(&error))?;
    let mut page = QueryPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next().await {
        let (key, entry) = layout.entry(row.map_err(|error| failed(&error))?)?;
        if page.items.len() == limit {
            page.token = Some((offset as usize + limit).to_string());
            continue;
        }
        bytes += key.len() + entry.value.len();
        check("the answer to a query", bytes, BATCH_BYTES_MAX)?;
        page.items.push((key, entry));
    }
    Ok(page)
}

async fn select(at: &Connection, statement: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
    let rows = at.query(statement.to_owned(), params).await.map_err(|error| failed(&error))?;
    rows.collect().await.map_err(|error| failed(&error))
}

/// How many rows it changed.
async fn execute(at: &Connection, statement: &str, params: Vec<Value>) -> Result<u64, StoreError> {
    let done = at.execute(statement.to_owned(), params).await;
    done.map(|done| done.affected).map_err(|error| failed(&error))
}

/// What a call meets that lost against others too often.
fn contended() -> StoreError {
    StoreError::Unavailable("too many write this key at the same time".to_owned())
}

const DEADLOCK: &str = "the database ended the transaction, because another one stood in its way";

/// Classes of PostgreSQL's errors (its documentation, appendix A).
fn code(error: &Error) -> Option<&str> {
    let Error::Query(query) = error else { return None };
    query.details.as_ref().map(|details| details.code.as_str())
}

/// A function or a schema that is not there.
fn is_undefined(error: &Error) -> bool {
    matches!(code(error), Some("42883" | "3F000"))
}

fn failed(error: &Error) -> StoreError {
    match (error, code(error)) {
        (_, Some("40001" | "40P01")) => StoreError::Unavailable(DEADLOCK.to_owned()),
        // No resources, an operator's intervention, a connection that is no more.
        (_, Some(code)) if ["53", "57", "08"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(error.to_string())
        }
        // MySQL's codes are in its text (ER_LOCK_DEADLOCK).
        (Error::Query(query), None) if query.text.contains("1213 (40001)") => {
            StoreError::Unavailable(DEADLOCK.to_owned())
        }
        (Error::Connection(_) | Error::Full, _) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Other(error.to_string()),
    }
}
