//! The databases that the tests share, and handles on them.

use sampan_app::{App, Grants, Secret, SqlBackend, SqlStore, StoreGrant};
use sampan_capabilities::sql::{Connection, Databases, Dialect, Error, Granted, Value};
use sampan_capabilities::{Explain, GrantError};
use sampan_testing::servers::{MariaDb, Postgres};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Where the drivers run: not where the tests do.
pub static DRIVERS: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
});

/// Runs a test on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

pub fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

pub fn mariadb() -> Option<&'static MariaDb> {
    static SERVER: OnceLock<Option<MariaDb>> = OnceLock::new();
    SERVER.get_or_init(MariaDb::start).as_ref()
}

/// A database with a store `db` of its own.
pub struct Database {
    pub dialect: Dialect,
    pub store: SqlStore,
    _folder: Option<tempfile::TempDir>,
}

/// One of each kind that is installed.
pub fn databases() -> Vec<Database> {
    let mut all = vec![sqlite()];
    all.extend(postgres().map(|server| at(Dialect::Postgres, &server.url())));
    all.extend(mariadb().map(|server| at(Dialect::MySql, &server.url())));
    all
}

pub fn sqlite() -> Database {
    let folder = sampan_testing::temp_dir();
    let path = folder.path().join("state/orders.db");
    let store = settings(SqlBackend::Sqlite { path });
    Database { dialect: Dialect::Sqlite, store, _folder: Some(folder) }
}

pub fn at(dialect: Dialect, url: &str) -> Database {
    let url = Secret::new(url);
    let backend = match dialect {
        Dialect::Postgres => SqlBackend::Postgres { url },
        Dialect::MySql => SqlBackend::MySql { url },
        Dialect::Sqlite => SqlBackend::Sqlite { path: Path::new(url.reveal()).to_owned() },
    };
    Database { dialect, store: settings(backend), _folder: None }
}

fn settings(backend: SqlBackend) -> SqlStore {
    SqlStore {
        backend,
        lazy: true,
        connections: 4,
        statement_timeout: Duration::from_secs(30),
        init: None,
        ca: None,
    }
}

pub fn app(store: &SqlStore) -> App {
    App { sql: [("orders".to_owned(), store.clone())].into(), ..App::default() }
}

/// Opens the app's databases where the drivers run.
pub fn open_databases(app: &App) -> Result<Databases, GrantError> {
    DRIVERS.block_on(Databases::open(app))
}

/// The store under the guest's name `db`.
pub fn grants() -> Grants {
    let grant = StoreGrant { name: "db".to_owned(), store: "orders".to_owned() };
    Grants { sql: vec![grant], ..Grants::default() }
}

impl Database {
    pub fn granted(&self) -> Granted {
        let databases = Arc::new(open_databases(&app(&self.store)).expect("a lazy store opens"));
        Granted::new(&databases, &grants(), &Explain::default()).expect("the store exists")
    }

    /// The n-th placeholder.
    pub fn parameter(&self, number: usize) -> String {
        match self.dialect {
            Dialect::Postgres => format!("${number}"),
            _ => "?".to_owned(),
        }
    }

    /// A statement that gives so many rows, each with a text of so many bytes.
    pub fn many(&self, rows: usize, bytes: usize) -> String {
        match self.dialect {
            Dialect::Postgres => format!("SELECT repeat('x', {bytes}) FROM generate_series(1, {rows})"),
            Dialect::MySql => format!("SELECT repeat('x', {bytes}) FROM seq_1_to_{rows}"),
            Dialect::Sqlite => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
                 SELECT printf('%.*c', {bytes}, 'x') FROM n"
            ),
        }
    }

    /// A statement that takes longer than any test.
    pub fn endless(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "SELECT pg_sleep(1000)",
            Dialect::MySql => "SELECT SLEEP(1000)",
            Dialect::Sqlite => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            }
        }
    }
}

/// A handle on the store.
pub async fn handle(granted: &Granted, dialect: Dialect) -> Connection {
    granted.open(dialect, "db", None).await.expect("a handle")
}

pub async fn run(connection: &Connection, statement: &str) -> u64 {
    let done = connection.execute(statement.to_owned(), Vec::new()).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error:?}")).affected
}

pub async fn rows(
    connection: &Connection,
    statement: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, Error> {
    connection.query(statement.to_owned(), params.to_vec()).await?.collect().await
}

/// The only field of the only row.
pub async fn one(connection: &Connection, statement: &str, params: &[Value]) -> Result<Value, Error> {
    let mut rows = rows(connection, statement, params).await?;
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{statement}: {rows:?}");
    Ok(rows.remove(0).remove(0))
}

/// Asks again until the answer is the expected one.
pub async fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, mut ask: impl AsyncFnMut() -> T) {
    let deadline = Instant::now() + sampan_testing::PATIENCE;
    loop {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A name for a table that no other test has.
pub fn table() -> String {
    static COUNT: Mutex<u32> = Mutex::new(0);
    let mut count = COUNT.lock().expect("a counter");
    *count += 1;
    format!("t{count}")
}
