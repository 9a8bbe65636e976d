//! `spin:postgres@3.0.0`, for guests of Spin 3: dates and times beside what version 2 has.

use super::super::{self as sql, Dialect, Kind, Value};
use super::bindings::postgres3::spin::postgres::postgres::{
    self, Column, DbDataType, DbValue, Error, ParameterValue, RowSet,
};
use super::{Connection, collect, rdbms};
use crate::Host;
use wasmtime::Result;
use wasmtime::component::Resource;

rdbms::rdbms_error!(pg_error, postgres::Error, Other);

fn params(params: Vec<ParameterValue>) -> Vec<Value> {
    params.into_iter().map(param).collect()
}

fn param(value: ParameterValue) -> Value {
    match value {
        ParameterValue::Boolean(value) => Value::Boolean(value),
        ParameterValue::Int8(value) => Value::Int8(value),
        ParameterValue::Int16(value) => Value::Int16(value),
        ParameterValue::Int32(value) => Value::Int32(value),
        ParameterValue::Int64(value) => Value::Int64(value),
        ParameterValue::Floating32(value) => Value::Float32(value),
        ParameterValue::Floating64(value) => Value::Float64(value),
        ParameterValue::Str(text) => Value::Text(text),
        ParameterValue::Binary(bytes) => Value::Binary(bytes),
        ParameterValue::Date((year, month, day)) => Value::Date(year, month, day),
        ParameterValue::Time((hour, minute, second, nanos)) => Value::Time(hour, minute, second, nanos),
        ParameterValue::Datetime((year, month, day, hour, minute, second, nanos)) => {
            Value::DateTime((year, month, day), (hour, minute, second, nanos))
        }
        ParameterValue::Timestamp(seconds) => Value::Timestamp(seconds),
        ParameterValue::DbNull => Value::Null,
    }
}

fn kind(kind: &Kind) -> DbDataType {
    match kind {
        Kind::Boolean => DbDataType::Boolean,
        Kind::Int8 => DbDataType::Int8,
        Kind::Int16 => DbDataType::Int16,
        Kind::Int32 => DbDataType::Int32,
        Kind::Int64 => DbDataType::Int64,
        Kind::Float32 => DbDataType::Floating32,
        Kind::Float64 => DbDataType::Floating64,
        Kind::Text | Kind::Uuid | Kind::Json | Kind::Decimal => DbDataType::Str,
        Kind::Binary => DbDataType::Binary,
        Kind::Date => DbDataType::Date,
        Kind::Time => DbDataType::Time,
        Kind::DateTime => DbDataType::Datetime,
        _ => DbDataType::Other,
    }
}

/// Numbers without a fixed size, UUIDs and JSON are texts: this version has no types for them.
fn value(value: Value) -> DbValue {
    match value {
        Value::Null => DbValue::DbNull,
        Value::Boolean(value) => DbValue::Boolean(value),
        Value::Int8(value) => DbValue::Int8(value),
        Value::Int16(value) => DbValue::Int16(value),
        Value::Int32(value) => DbValue::Int32(value),
        Value::Int64(value) => DbValue::Int64(value),
        Value::Float32(value) => DbValue::Floating32(value),
        Value::Float64(value) => DbValue::Floating64(value),
        Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => DbValue::Str(text),
        Value::Json(bytes) => String::from_utf8(bytes).map_or(DbValue::Unsupported, DbValue::Str),
        Value::Binary(bytes) => DbValue::Binary(bytes),
        Value::Date(year, month, day) => DbValue::Date((year, month, day)),
        Value::Time(hour, minute, second, nanos) => DbValue::Time((hour, minute, second, nanos)),
        Value::DateTime((year, month, day), (hour, minute, second, nanos)) => {
            DbValue::Datetime((year, month, day, hour, minute, second, nanos))
        }
        Value::Timestamp(seconds) => DbValue::Timestamp(seconds),
        _ => DbValue::Unsupported,
    }
}

impl postgres::Host for Host {}

impl postgres::HostConnection for Host {
    async fn open(&mut self, address: String) -> Result<Result<Resource<Connection>, Error>> {
        Ok(self.open_database(Dialect::Postgres, &address).await?.map_err(pg_error))
    }

    async fn query(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<RowSet, Error>> {
        let connection = self.connection(&handle)?;
        let collected = collect(&connection, statement, params(values)).await;
        let column = |column: sql::Column| Column { name: column.name, data_type: kind(&column.kind) };
        let set = collected.map(|(columns, rows)| RowSet {
            columns: columns.into_iter().map(column).collect(),
            rows: rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
        });
        Ok(set.map_err(pg_error))
    }

    async fn execute(
        &mut self,
        handle: Resource<Connection>,
        statement: String,
        values: Vec<ParameterValue>,
    ) -> Result<Result<u64, Error>> {
        let done = self.connection(&handle)?.execute(statement, params(values)).await;
        Ok(done.map(|done| done.affected).map_err(pg_error))
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.drop_connection(handle)
    }
}
