//! `fermyon:spin/{sqlite,postgres,mysql}@2.0.0`, for guests of Spin 2 and 3.

use super::super::Dialect;
use super::bindings::v2::fermyon::spin::{mysql, postgres, rdbms_types, sqlite};
use super::rdbms;
use super::{Connection, collect};
use crate::Host;
use wasmtime::Result;
use wasmtime::component::Resource;

rdbms::rdbms_types!(super::super::bindings::v2::fermyon::spin::rdbms_types);
rdbms::rdbms_error!(rdbms_error, rdbms_types::Error, Other);
super::spin_sqlite_3::sqlite_types!(super::super::bindings::v2::fermyon::spin::sqlite);

type Params = Vec<rdbms_types::ParameterValue>;

impl Host {
    async fn query_v2(
        &mut self,
        handle: &Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<rdbms_types::RowSet, rdbms_types::Error>> {
        let connection = self.connection(handle)?;
        let collected = collect(&connection, statement, convert::params(params)).await;
        let set = collected.map(|(columns, rows)| rdbms_types::RowSet {
            columns: convert::columns(columns),
            rows: rows.into_iter().map(convert::row).collect(),
        });
        Ok(set.map_err(rdbms_error))
    }

    async fn execute_v2(
        &mut self,
        handle: &Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<u64, rdbms_types::Error>> {
        let done = self.connection(handle)?.execute(statement, convert::params(params)).await;
        Ok(done.map(|done| done.affected).map_err(rdbms_error))
    }
}

impl rdbms_types::Host for Host {}
impl postgres::Host for Host {}
impl mysql::Host for Host {}
impl sqlite::Host for Host {}

impl postgres::HostConnection for Host {
    async fn open(&mut self, address: String) -> Result<Result<Resource<Connection>, rdbms_types::Error>> {
        Ok(self.open_database(Dialect::Postgres, &address).await?.map_err(rdbms_error))
    }

    async fn query(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<rdbms_types::RowSet, rdbms_types::Error>> {
        self.query_v2(&handle, statement, params).await
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<u64, rdbms_types::Error>> {
        self.execute_v2(&handle, statement, params).await
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}

impl mysql::HostConnection for Host {
    async fn open(&mut self, address: String) -> Result<Result<Resource<Connection>, rdbms_types::Error>> {
        Ok(self.open_database(Dialect::MySql, &address).await?.map_err(rdbms_error))
    }

    async fn query(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<rdbms_types::RowSet, rdbms_types::Error>> {
        self.query_v2(&handle, statement, params).await
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        params: Params,
    ) -> Result<Result<(), rdbms_types::Error>> {
        Ok(self.execute_v2(&handle, statement, params).await?.map(drop))
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}

impl sqlite::HostConnection for Host {
    async fn open(&mut self, database: String) -> Result<Result<Resource<Connection>, sqlite::Error>> {
        Ok(self.open_database(Dialect::Sqlite, &database).await?.map_err(sqlite_values::error))
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        parameters: Vec<sqlite::Value>,
    ) -> Result<Result<sqlite::QueryResult, sqlite::Error>> {
        let connection = self.connection(&handle)?;
        let collected = collect(&connection, statement, sqlite_values::params(parameters)).await;
        Ok(collected.map(sqlite_values::result).map_err(sqlite_values::error))
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}
