//! `fermyon:spin/{sqlite,postgres,mysql}` without a version, for guests of Spin 1.
//!
//! PostgreSQL's and MySQL's statements come with an address each. They share a connection for the life of
//! the instance, so that a transaction can span several.

use super::super::{Dialect, Error};
use super::bindings::unversioned::fermyon::spin::{mysql, postgres, rdbms_types, sqlite};
use super::rdbms;
use super::{Connection, HANDLES_MAX, collect};
use crate::Host;
use std::sync::Arc;
use wasmtime::Result;

rdbms::rdbms_types!(super::super::bindings::unversioned::fermyon::spin::rdbms_types);
rdbms::rdbms_error!(pg_error, postgres::PgError, OtherError);
rdbms::rdbms_error!(mysql_error, mysql::MysqlError, OtherError);
super::spin_sqlite_3::sqlite_types!(super::super::bindings::unversioned::fermyon::spin::sqlite);

impl Host {
    /// The instance's connection to an address.
    async fn connected(&mut self, dialect: Dialect, address: &str) -> Result<Connection, Error> {
        let key = (dialect, address.to_owned());
        if let Some(connection) = self.sql.by_address.get(&key) {
            return Ok(connection.clone());
        }
        let granted = Arc::clone(&self.sql.granted);
        let connection = granted.open(dialect, address, None).await?;
        if self.sql.by_address.len() >= HANDLES_MAX {
            self.sql.by_address.clear();
        }
        self.sql.by_address.insert(key, connection.clone());
        Ok(connection)
    }

    /// A connection that was lost is replaced at the next statement.
    fn forget_lost(&mut self, dialect: Dialect, address: String, error: &Error) {
        if matches!(error, Error::Connection(_)) {
            self.sql.by_address.remove(&(dialect, address));
        }
    }

    async fn query_at(
        &mut self,
        dialect: Dialect,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<rdbms_types::RowSet, Error> {
        let connection = self.connected(dialect, &address).await?;
        let collected = collect(&connection, statement, convert::params(params)).await;
        let (columns, rows) = collected.inspect_err(|error| self.forget_lost(dialect, address, error))?;
        let rows = rows.into_iter().map(convert::row).collect();
        Ok(rdbms_types::RowSet { columns: convert::columns(columns), rows })
    }

    async fn execute_at(
        &mut self,
        dialect: Dialect,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<u64, Error> {
        let connection = self.connected(dialect, &address).await?;
        let done = connection.execute(statement, convert::params(params)).await;
        let done = done.inspect_err(|error| self.forget_lost(dialect, address, error))?;
        Ok(done.affected)
    }
}

impl postgres::Host for Host {
    async fn query(
        &mut self,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<Result<rdbms_types::RowSet, postgres::PgError>> {
        Ok(self.query_at(Dialect::Postgres, address, statement, params).await.map_err(pg_error))
    }

    async fn execute(
        &mut self,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<Result<u64, postgres::PgError>> {
        Ok(self.execute_at(Dialect::Postgres, address, statement, params).await.map_err(pg_error))
    }
}

impl mysql::Host for Host {
    async fn query(
        &mut self,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<Result<rdbms_types::RowSet, mysql::MysqlError>> {
        Ok(self.query_at(Dialect::MySql, address, statement, params).await.map_err(mysql_error))
    }

    async fn execute(
        &mut self,
        address: String,
        statement: String,
        params: Vec<rdbms_types::ParameterValue>,
    ) -> Result<Result<(), mysql::MysqlError>> {
        let executed = self.execute_at(Dialect::MySql, address, statement, params).await;
        Ok(executed.map(drop).map_err(mysql_error))
    }
}

impl sqlite::Host for Host {
    async fn open(&mut self, database: String) -> Result<Result<u32, sqlite::Error>> {
        if self.sql.numbered.len() >= HANDLES_MAX {
            let text = format!("a guest may have {HANDLES_MAX} open handles");
            return Ok(Err(sqlite::Error::Io(text)));
        }
        let granted = Arc::clone(&self.sql.granted);
        let connection = match granted.open(Dialect::Sqlite, &database, None).await {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(sqlite_values::error(error))),
        };
        // Numbers come again only after all others.
        while self.sql.numbered.contains_key(&self.sql.number) {
            self.sql.number = self.sql.number.wrapping_add(1);
        }
        let number = self.sql.number;
        self.sql.number = number.wrapping_add(1);
        self.sql.numbered.insert(number, connection);
        Ok(Ok(number))
    }

    async fn execute(
        &mut self,
        conn: u32,
        statement: String,
        parameters: Vec<sqlite::Value>,
    ) -> Result<Result<sqlite::QueryResult, sqlite::Error>> {
        let Some(connection) = self.sql.numbered.get(&conn).cloned() else {
            return Ok(Err(sqlite::Error::InvalidConnection));
        };
        let collected = collect(&connection, statement, sqlite_values::params(parameters)).await;
        Ok(collected.map(sqlite_values::result).map_err(sqlite_values::error))
    }

    async fn close(&mut self, conn: u32) -> Result<()> {
        self.sql.numbered.remove(&conn);
        Ok(())
    }
}
