//! `spin:postgres@4.2.0`, for guests of Spin 3.5 and later: most of PostgreSQL's types, errors with their
//! parts, a certificate authority of the guest's, and rows as a stream.

use super::super::{Dialect, Error as Ours, Rows};
use super::bindings::postgres4::spin::postgres::postgres::{
    self, Column, DbError, DbValue, Error, ParameterValue, QueryError, RowSet,
};
use super::postgres_4_values::{columns, params, row};
use super::stream::{Ended, Streamed, streamed};
use super::{Connection, HasSql, collect, has_concurrency};
use crate::Host;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Accessor, Linker, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;

const NAME: &str = "spin:postgres/postgres@4.2.0";
/// A certificate that a guest gives has so many bytes at most.
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;

/// An address, with the authority that the guest trusts there.
#[derive(Clone, Debug)]
pub struct Builder {
    address: String,
    ca: Option<String>,
}

pub fn define(linker: &mut Linker<Host>) -> Result<()> {
    if has_concurrency(linker) {
        return postgres::add_to_linker::<_, HasSql>(linker, |host| host);
    }
    // The functions of version 4.1, which are all that a guest of WASI 0.2 can import.
    use postgres::{HostConnection, HostConnectionBuilder};
    type Statement = (Resource<Connection>, String, Vec<ParameterValue>);
    let mut instance = linker.instance(NAME)?;
    instance.resource_async("connection", ResourceType::host::<Connection>(), |mut store, handle| {
        Box::new(async move { HostConnection::drop(store.data_mut(), Resource::new_own(handle)).await })
    })?;
    instance.resource_async("connection-builder", ResourceType::host::<Builder>(), |mut store, handle| {
        Box::new(
            async move { HostConnectionBuilder::drop(store.data_mut(), Resource::new_own(handle)).await },
        )
    })?;
    instance.func_wrap_async("[static]connection.open", |mut store, (address,): (String,)| {
        Box::new(async move { Ok((HostConnection::open(store.data_mut(), address).await?,)) })
    })?;
    instance.func_wrap_async(
        "[method]connection.query",
        |mut store, (handle, text, params): Statement| {
            Box::new(
                async move { Ok((HostConnection::query(store.data_mut(), handle, text, params).await?,)) },
            )
        },
    )?;
    instance.func_wrap_async(
        "[method]connection.execute",
        |mut store, (handle, text, params): Statement| {
            Box::new(
                async move { Ok((HostConnection::execute(store.data_mut(), handle, text, params).await?,)) },
            )
        },
    )?;
    instance.func_wrap_async("[constructor]connection-builder", |mut store, (address,): (String,)| {
        Box::new(async move { Ok((HostConnectionBuilder::new(store.data_mut(), address).await?,)) })
    })?;
    instance.func_wrap_async("[method]connection-builder.set-ca-root", |mut store, (handle, ca)| {
        Box::new(
            async move { Ok((HostConnectionBuilder::set_ca_root(store.data_mut(), handle, ca).await?,)) },
        )
    })?;
    instance.func_wrap_async("[method]connection-builder.build", |mut store, (handle,)| {
        Box::new(async move { Ok((HostConnectionBuilder::build(store.data_mut(), handle).await?,)) })
    })
}

fn error(error: Ours) -> Error {
    match error {
        Ours::Connection(text) | Ours::Denied(text) => Error::ConnectionFailed(text),
        Ours::Parameter(text) => Error::BadParameter(text),
        Ours::Conversion(text) => Error::ValueConversionFailed(text),
        Ours::Query(error) => Error::QueryFailed(match error.details {
            None => QueryError::Text(error.text),
            Some(details) => QueryError::DbError(DbError {
                as_text: error.text,
                severity: details.severity,
                code: details.code,
                message: details.message,
                detail: details.detail,
                extras: details.extras,
            }),
        }),
        other => Error::Other(other.to_string()),
    }
}

impl postgres::Host for Host {}

impl postgres::HostConnection for Host {
    async fn open(&mut self, address: String) -> Result<Result<Resource<Connection>, Error>> {
        Ok(self.open_database(Dialect::Postgres, &address).await?.map_err(error))
    }

    async fn query(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<RowSet, Error>> {
        let connection = self.connection(&handle)?;
        let collected = collect(&connection, statement, params(values)).await;
        let set = collected
            .map(|(head, rows)| RowSet { columns: columns(head), rows: rows.into_iter().map(row).collect() });
        Ok(set.map_err(error))
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<u64, Error>> {
        let done = self.connection(&handle)?.execute(statement, params(values)).await;
        Ok(done.map(|done| done.affected).map_err(error))
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}

impl postgres::HostConnectionBuilder for Host {
    async fn new(&mut self, address: String) -> Result<Resource<Builder>> {
        Ok(self.ctx().table.push(Builder { address, ca: None })?)
    }

    async fn set_ca_root(
        &mut self,
        handle: Resource<Builder>,
        certificate: String,
    ) -> Result<Result<(), Error>> {
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            let text = format!("a certificate may have {CERTIFICATE_BYTES_MAX} bytes");
            return Ok(Err(Error::Other(text)));
        }
        self.ctx().table.get_mut(&handle)?.ca = Some(certificate);
        Ok(Ok(()))
    }

    async fn build(&mut self, handle: Resource<Builder>) -> Result<Result<Resource<Connection>, Error>> {
        let Builder { address, ca } = self.ctx().table.get(&handle)?.clone();
        let granted = Arc::clone(&self.sql.granted);
        Ok(match granted.open(Dialect::Postgres, &address, ca).await {
            Ok(connection) => Ok(self.ctx().table.push(connection)?),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn drop(&mut self, handle: Resource<Builder>) -> Result<()> {
        self.ctx().table.delete(handle)?;
        Ok(())
    }
}

async fn open<U: 'static>(
    accessor: &Accessor<U, HasSql>,
    address: &str,
    ca: Option<String>,
) -> Result<Result<Resource<Connection>, Error>> {
    let granted = accessor.with(|mut access| Arc::clone(&access.get().sql.granted));
    Ok(match granted.open(Dialect::Postgres, address, ca).await {
        Ok(connection) => Ok(accessor.with(|mut access| access.get().ctx().table.push(connection))?),
        Err(failure) => Err(error(failure)),
    })
}

impl<U: 'static> postgres::HostConnectionBuilderWithStore<U> for HasSql {
    async fn build_async(
        accessor: &Accessor<U, Self>,
        handle: Resource<Builder>,
    ) -> Result<Result<Resource<Connection>, Error>> {
        let builder = accessor.with(|mut access| access.get().ctx().table.get(&handle).cloned())?;
        open(accessor, &builder.address, builder.ca).await
    }
}

impl<U: 'static> postgres::HostConnectionWithStore<U> for HasSql {
    async fn open_async(
        accessor: &Accessor<U, Self>,
        address: String,
    ) -> Result<Result<Resource<Connection>, Error>> {
        open(accessor, &address, None).await
    }

    async fn query_async(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<(Vec<Column>, Streamed<Vec<DbValue>>, Ended<Error>), Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        let mut rows: Rows = match connection.query(statement, params(values)).await {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(error(failure))),
        };
        let head = columns(std::mem::take(&mut rows.columns));
        let (rows, ended) = streamed(accessor, rows, row, error)?;
        Ok(Ok((head, rows, ended)))
    }

    async fn execute_async(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<u64, Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        let done = connection.execute(statement, params(values)).await;
        Ok(done.map(|done| done.affected).map_err(error))
    }
}
