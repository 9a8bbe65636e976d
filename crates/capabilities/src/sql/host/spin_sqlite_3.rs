//! `spin:sqlite@3.1.0`, for guests of Spin 3.5 and later: what version 2 has, the last row id, the number of
//! changes, and rows as a stream.

use super::super::{Dialect, Rows};
use super::bindings::sqlite3::spin::sqlite::sqlite::{self, Error, QueryResult, RowResult, Value};
use super::stream::{Streamed, streamed};
use super::{Connection, HasSql, collect, has_concurrency};
use crate::Host;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView as _;

/// Functions between the types of a version of the interface and ours: `sqlite_values`.
macro_rules! sqlite_types {
    ($types:path) => {
        mod sqlite_values {
            use super::super::super::{self as sql, Error as Ours, Value as Our};
            use $types::{Error, QueryResult, RowResult, Value};

            pub fn params(params: Vec<Value>) -> Vec<Our> {
                let param = |value| match value {
                    Value::Integer(value) => Our::Int64(value),
                    Value::Real(value) => Our::Float64(value),
                    Value::Text(text) => Our::Text(text),
                    Value::Blob(bytes) => Our::Binary(bytes),
                    Value::Null => Our::Null,
                };
                params.into_iter().map(param).collect()
            }

            pub fn row(row: Vec<Our>) -> RowResult {
                let value = |value| match value {
                    Our::Int64(value) => Value::Integer(value),
                    Our::Float64(value) => Value::Real(value),
                    Our::Text(text) => Value::Text(text),
                    Our::Binary(bytes) => Value::Blob(bytes),
                    // SQLite has no other types.
                    _ => Value::Null,
                };
                RowResult { values: row.into_iter().map(value).collect() }
            }

            pub fn names(columns: Vec<sql::Column>) -> Vec<String> {
                columns.into_iter().map(|column| column.name).collect()
            }

            pub fn result((columns, rows): (Vec<sql::Column>, Vec<Vec<Our>>)) -> QueryResult {
                QueryResult { columns: names(columns), rows: rows.into_iter().map(row).collect() }
            }

            pub fn error(error: Ours) -> Error {
                match error {
                    Ours::Denied(_) => Error::AccessDenied,
                    Ours::NoSuchDatabase => Error::NoSuchDatabase,
                    Ours::Full => Error::DatabaseFull,
                    other => Error::Io(other.to_string()),
                }
            }
        }
    };
}
pub(super) use sqlite_types;

sqlite_types!(super::super::bindings::sqlite3::spin::sqlite::sqlite);

const NAME: &str = "spin:sqlite/sqlite@3.1.0";

pub fn define(linker: &mut Linker<Host>) -> Result<()> {
    if has_concurrency(linker) {
        return sqlite::add_to_linker::<_, HasSql>(linker, |host| host);
    }
    // The functions of version 3.0, which are all that a guest of WASI 0.2 can import.
    let mut instance = linker.instance(NAME)?;
    let ty = wasmtime::component::ResourceType::host::<Connection>();
    instance.resource_async("connection", ty, |mut store, handle| {
        Box::new(
            async move { sqlite::HostConnection::drop(store.data_mut(), Resource::new_own(handle)).await },
        )
    })?;
    instance.func_wrap_async("[static]connection.open", |mut store, (name,): (String,)| {
        Box::new(async move { Ok((sqlite::HostConnection::open(store.data_mut(), name).await?,)) })
    })?;
    type Execute = (Resource<Connection>, String, Vec<Value>);
    instance.func_wrap_async(
        "[method]connection.execute",
        |mut store, (handle, statement, params): Execute| {
            Box::new(async move {
                let host = store.data_mut();
                Ok((sqlite::HostConnection::execute(host, handle, statement, params).await?,))
            })
        },
    )?;
    instance.func_wrap("[method]connection.last-insert-rowid", |mut store, (handle,)| {
        Ok((store.data_mut().connection(&handle)?.last_insert_rowid(),))
    })?;
    instance.func_wrap("[method]connection.changes", |mut store, (handle,)| {
        Ok((store.data_mut().connection(&handle)?.changes(),))
    })
}

impl sqlite::Host for Host {}

impl sqlite::HostConnection for Host {
    async fn open(&mut self, database: String) -> Result<Result<Resource<Connection>, Error>> {
        Ok(self.open_database(Dialect::Sqlite, &database).await?.map_err(sqlite_values::error))
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<Result<QueryResult, Error>> {
        let connection = self.connection(&handle)?;
        let collected = collect(&connection, statement, sqlite_values::params(parameters)).await;
        Ok(collected.map(sqlite_values::result).map_err(sqlite_values::error))
    }

    async fn last_insert_rowid(&mut self, handle: Resource<Connection>) -> Result<i64> {
        Ok(self.connection(&handle)?.last_insert_rowid())
    }

    async fn changes(&mut self, handle: Resource<Connection>) -> Result<u64> {
        Ok(self.connection(&handle)?.changes())
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}

impl<U: 'static> sqlite::HostConnectionWithStore<U> for HasSql {
    async fn open_async(
        accessor: &Accessor<U, Self>,
        database: String,
    ) -> Result<Result<Resource<Connection>, Error>> {
        let granted = accessor.with(|mut access| Arc::clone(&access.get().sql.granted));
        Ok(match granted.open(Dialect::Sqlite, &database, None).await {
            Ok(connection) => Ok(accessor.with(|mut access| access.get().ctx().table.push(connection))?),
            Err(error) => Err(sqlite_values::error(error)),
        })
    }

    async fn execute_async(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<Result<(Vec<String>, Streamed<RowResult>, super::stream::Ended<Error>), Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        let mut rows: Rows = match connection.query(statement, sqlite_values::params(parameters)).await {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(sqlite_values::error(error))),
        };
        let names = sqlite_values::names(std::mem::take(&mut rows.columns));
        let (rows, ended) = streamed(accessor, rows, sqlite_values::row, sqlite_values::error)?;
        Ok(Ok((names, rows, ended)))
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
    ) -> Result<i64> {
        accessor.with(|mut access| Ok(access.get().connection(&handle)?.last_insert_rowid()))
    }

    async fn changes_async(accessor: &Accessor<U, Self>, handle: Resource<Connection>) -> Result<u64> {
        accessor.with(|mut access| Ok(access.get().connection(&handle)?.changes()))
    }
}
