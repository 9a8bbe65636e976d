//! The values of `spin:postgres@4`.

use super::super::{self as sql, Bound, Kind, Range, Value};
use super::bindings::postgres4::spin::postgres::postgres::{
    Column, DbDataType, DbValue, Interval, ParameterValue, RangeBoundKind,
};

pub fn params(params: Vec<ParameterValue>) -> Vec<Value> {
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
        ParameterValue::Uuid(text) => Value::Uuid(text),
        ParameterValue::Jsonb(bytes) => Value::Json(bytes),
        ParameterValue::Decimal(text) => Value::Decimal(text),
        ParameterValue::RangeInt32(range) => Value::RangeInt32(range_in(range)),
        ParameterValue::RangeInt64(range) => Value::RangeInt64(range_in(range)),
        ParameterValue::RangeDecimal(range) => Value::RangeDecimal(range_in(range)),
        ParameterValue::ArrayInt32(list) => Value::ArrayInt32(list),
        ParameterValue::ArrayInt64(list) => Value::ArrayInt64(list),
        ParameterValue::ArrayDecimal(list) => Value::ArrayDecimal(list),
        ParameterValue::ArrayStr(list) => Value::ArrayText(list),
        ParameterValue::Interval(Interval { micros, days, months }) => {
            Value::Interval(sql::Interval { micros, days, months })
        }
        ParameterValue::DbNull => Value::Null,
    }
}

type TheirBound<T> = Option<(T, RangeBoundKind)>;

fn range_in<T>((low, high): (TheirBound<T>, TheirBound<T>)) -> Range<T> {
    let bound =
        |(value, kind): (T, RangeBoundKind)| Bound { value, inclusive: kind == RangeBoundKind::Inclusive };
    (low.map(bound), high.map(bound))
}

fn range_out<T>((low, high): Range<T>) -> (TheirBound<T>, TheirBound<T>) {
    let bound = |bound: Bound<T>| {
        let kind = if bound.inclusive { RangeBoundKind::Inclusive } else { RangeBoundKind::Exclusive };
        (bound.value, kind)
    };
    (low.map(bound), high.map(bound))
}

pub fn columns(columns: Vec<sql::Column>) -> Vec<Column> {
    columns.into_iter().map(|column| Column { name: column.name, data_type: kind(column.kind) }).collect()
}

fn kind(kind: Kind) -> DbDataType {
    match kind {
        Kind::Boolean => DbDataType::Boolean,
        Kind::Int8 => DbDataType::Int8,
        Kind::Int16 => DbDataType::Int16,
        Kind::Int32 => DbDataType::Int32,
        Kind::Int64 => DbDataType::Int64,
        Kind::Float32 => DbDataType::Floating32,
        Kind::Float64 => DbDataType::Floating64,
        Kind::Text => DbDataType::Str,
        Kind::Binary => DbDataType::Binary,
        Kind::Date => DbDataType::Date,
        Kind::Time => DbDataType::Time,
        Kind::DateTime => DbDataType::Datetime,
        Kind::Uuid => DbDataType::Uuid,
        Kind::Json => DbDataType::Jsonb,
        Kind::Decimal => DbDataType::Decimal,
        Kind::RangeInt32 => DbDataType::RangeInt32,
        Kind::RangeInt64 => DbDataType::RangeInt64,
        Kind::RangeDecimal => DbDataType::RangeDecimal,
        Kind::ArrayInt32 => DbDataType::ArrayInt32,
        Kind::ArrayInt64 => DbDataType::ArrayInt64,
        Kind::ArrayDecimal => DbDataType::ArrayDecimal,
        Kind::ArrayText => DbDataType::ArrayStr,
        Kind::Interval => DbDataType::Interval,
        Kind::Other(name) => DbDataType::Other(name),
        // PostgreSQL has no unsigned numbers.
        Kind::Uint8 | Kind::Uint16 | Kind::Uint32 | Kind::Uint64 => DbDataType::Other("unsigned".to_owned()),
    }
}

pub fn row(row: Vec<Value>) -> Vec<DbValue> {
    row.into_iter().map(value).collect()
}

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
        Value::Text(text) => DbValue::Str(text),
        Value::Binary(bytes) => DbValue::Binary(bytes),
        Value::Date(year, month, day) => DbValue::Date((year, month, day)),
        Value::Time(hour, minute, second, nanos) => DbValue::Time((hour, minute, second, nanos)),
        Value::DateTime((year, month, day), (hour, minute, second, nanos)) => {
            DbValue::Datetime((year, month, day, hour, minute, second, nanos))
        }
        Value::Timestamp(seconds) => DbValue::Timestamp(seconds),
        Value::Uuid(text) => DbValue::Uuid(text),
        Value::Json(bytes) => DbValue::Jsonb(bytes),
        Value::Decimal(text) => DbValue::Decimal(text),
        Value::RangeInt32(range) => DbValue::RangeInt32(range_out(range)),
        Value::RangeInt64(range) => DbValue::RangeInt64(range_out(range)),
        Value::RangeDecimal(range) => DbValue::RangeDecimal(range_out(range)),
        Value::ArrayInt32(list) => DbValue::ArrayInt32(list),
        Value::ArrayInt64(list) => DbValue::ArrayInt64(list),
        Value::ArrayDecimal(list) => DbValue::ArrayDecimal(list),
        Value::ArrayText(list) => DbValue::ArrayStr(list),
        Value::Interval(sql::Interval { micros, days, months }) => {
            DbValue::Interval(Interval { micros, days, months })
        }
        Value::Unsupported(bytes) => DbValue::Unsupported(bytes),
        Value::Uint8(_) | Value::Uint16(_) | Value::Uint32(_) | Value::Uint64(_) => {
            DbValue::Unsupported(Vec::new())
        }
    }
}
