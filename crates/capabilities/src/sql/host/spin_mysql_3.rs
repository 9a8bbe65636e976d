//! `spin:mysql@3.0.0`, for guests of Spin 4: asynchronous, rows as a stream.

use super::super::Dialect;
use super::bindings::mysql3::spin::mysql::mysql::{self, Column, DbValue, Error, ParameterValue};
use super::rdbms;
use super::stream::{Ended, Streamed, streamed};
use super::{Connection, HasSql};
use crate::Host;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::WasiView as _;

rdbms::rdbms_types!(super::super::bindings::mysql3::spin::mysql::mysql);
rdbms::rdbms_error!(mysql_error, mysql::Error, Other);

impl mysql::Host for Host {}

impl mysql::HostConnection for Host {
    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}

impl<U: 'static> mysql::HostConnectionWithStore<U> for HasSql {
    async fn open(
        accessor: &Accessor<U, Self>,
        address: String,
    ) -> Result<Result<Resource<Connection>, Error>> {
        let granted = accessor.with(|mut access| Arc::clone(&access.get().sql.granted));
        Ok(match granted.open(Dialect::MySql, &address, None).await {
            Ok(connection) => Ok(accessor.with(|mut access| access.get().ctx().table.push(connection))?),
            Err(error) => Err(mysql_error(error)),
        })
    }

    async fn query(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<Result<(Vec<Column>, Streamed<Vec<DbValue>>, Ended<Error>), Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        let mut rows = match connection.query(statement, convert::params(params)).await {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(mysql_error(error))),
        };
        let columns = convert::columns(std::mem::take(&mut rows.columns));
        let (rows, ended) = streamed(accessor, rows, convert::row, mysql_error)?;
        Ok(Ok((columns, rows, ended)))
    }

    async fn execute(
        accessor: &Accessor<U, Self>,
        handle: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<Result<(), Error>> {
        let connection = accessor.with(|mut access| access.get().connection(&handle))?;
        let done = connection.execute(statement, convert::params(params)).await;
        Ok(done.map(drop).map_err(mysql_error))
    }
}
