//! Values between MySQL and us.

use super::{Column, Error, Kind, Value};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{FromValueError, Value as MyValue, from_value_opt};

pub fn encode(value: Value) -> Result<MyValue, Error> {
    Ok(match value {
        Value::Null => MyValue::NULL,
        Value::Boolean(value) => MyValue::Int(value.into()),
        Value::Int8(value) => MyValue::Int(value.into()),
        Value::Int16(value) => MyValue::Int(value.into()),
        Value::Int32(value) => MyValue::Int(value.into()),
        Value::Int64(value) => MyValue::Int(value),
        Value::Uint8(value) => MyValue::UInt(value.into()),
        Value::Uint16(value) => MyValue::UInt(value.into()),
        Value::Uint32(value) => MyValue::UInt(value.into()),
        Value::Uint64(value) => MyValue::UInt(value),
        Value::Float32(value) => MyValue::Float(value),
        Value::Float64(value) => MyValue::Double(value),
        Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => MyValue::Bytes(text.into_bytes()),
        Value::Binary(bytes) | Value::Json(bytes) => MyValue::Bytes(bytes),
        other => return Err(Error::Parameter(format!("MySQL has no such parameter: {other:?}"))),
    })
}

pub fn column(column: &mysql_async::Column) -> Column {
    Column { name: column.name_str().into_owned(), kind: kind(column) }
}

/// Types that the interfaces do not have (dates, decimals, JSON, enumerations) are texts.
fn kind(column: &mysql_async::Column) -> Kind {
    use ColumnType as T;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    // The character set `binary` (63) tells bytes from text; the flag alone also marks some texts.
    let binary = column.character_set() == 63;
    match (column.column_type(), unsigned) {
        (T::MYSQL_TYPE_TINY, false) => Kind::Int8,
        (T::MYSQL_TYPE_TINY, true) => Kind::Uint8,
        (T::MYSQL_TYPE_SHORT, false) => Kind::Int16,
        (T::MYSQL_TYPE_SHORT | T::MYSQL_TYPE_YEAR, _) => Kind::Uint16,
        (T::MYSQL_TYPE_LONG | T::MYSQL_TYPE_INT24, false) => Kind::Int32,
        (T::MYSQL_TYPE_LONG | T::MYSQL_TYPE_INT24, true) => Kind::Uint32,
        (T::MYSQL_TYPE_LONGLONG, false) => Kind::Int64,
        (T::MYSQL_TYPE_LONGLONG, true) => Kind::Uint64,
        (T::MYSQL_TYPE_FLOAT, _) => Kind::Float32,
        (T::MYSQL_TYPE_DOUBLE, _) => Kind::Float64,
        (T::MYSQL_TYPE_BIT | T::MYSQL_TYPE_GEOMETRY, _) => Kind::Binary,
        (
            T::MYSQL_TYPE_STRING
            | T::MYSQL_TYPE_VAR_STRING
            | T::MYSQL_TYPE_VARCHAR
            | T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB,
            _,
        ) if binary => Kind::Binary,
        _ => Kind::Text,
    }
}

/// `None` is a field that the driver has taken out, which does not happen here.
pub fn decode(value: Option<MyValue>, column: &mysql_async::Column) -> Result<Value, Error> {
    let value = value.unwrap_or(MyValue::NULL);
    if value == MyValue::NULL {
        return Ok(Value::Null);
    }
    let decoded = match kind(column) {
        Kind::Int8 => from_value_opt(value).map(Value::Int8),
        Kind::Int16 => from_value_opt(value).map(Value::Int16),
        Kind::Int32 => from_value_opt(value).map(Value::Int32),
        Kind::Int64 => from_value_opt(value).map(Value::Int64),
        Kind::Uint8 => from_value_opt(value).map(Value::Uint8),
        Kind::Uint16 => from_value_opt(value).map(Value::Uint16),
        Kind::Uint32 => from_value_opt(value).map(Value::Uint32),
        Kind::Uint64 => from_value_opt(value).map(Value::Uint64),
        Kind::Float32 => from_value_opt(value).map(Value::Float32),
        Kind::Float64 => from_value_opt(value).map(Value::Float64),
        Kind::Binary => from_value_opt(value).map(Value::Binary),
        _ => text(value).map(Value::Text),
    };
    let name = column.name_str();
    decoded.map_err(|error| Error::Conversion(format!("the column {name}: {error}")))
}

fn text(value: MyValue) -> Result<String, FromValueError> {
    let (text, micros) = match value {
        MyValue::Date(year, month, day, 0, 0, 0, 0) => {
            return Ok(format!("{year:04}-{month:02}-{day:02}"));
        }
        MyValue::Date(year, month, day, hour, minute, second, micros) => {
            (format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"), micros)
        }
        MyValue::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = days * 24 + u32::from(hours);
            (format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"), micros)
        }
        other => return from_value_opt(other),
    };
    Ok(if micros == 0 { text } else { format!("{text}.{micros:06}") })
}
