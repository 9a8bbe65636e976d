//! `rdbms-types`, which several interfaces have under their own names: one conversion for all.

/// Functions between the types of `$types` and ours: `param`, `column`, `row`.
macro_rules! rdbms_types {
    ($types:path) => {
        mod convert {
            use super::super::super::{self as sql, Kind, Value};
            use $types::{Column, DbDataType, DbValue, ParameterValue};

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
                    ParameterValue::Uint8(value) => Value::Uint8(value),
                    ParameterValue::Uint16(value) => Value::Uint16(value),
                    ParameterValue::Uint32(value) => Value::Uint32(value),
                    ParameterValue::Uint64(value) => Value::Uint64(value),
                    ParameterValue::Floating32(value) => Value::Float32(value),
                    ParameterValue::Floating64(value) => Value::Float64(value),
                    ParameterValue::Str(text) => Value::Text(text),
                    ParameterValue::Binary(bytes) => Value::Binary(bytes),
                    ParameterValue::DbNull => Value::Null,
                }
            }

            pub fn columns(columns: Vec<sql::Column>) -> Vec<Column> {
                let column =
                    |column: sql::Column| Column { name: column.name, data_type: kind(&column.kind) };
                columns.into_iter().map(column).collect()
            }

            fn kind(kind: &Kind) -> DbDataType {
                match kind {
                    Kind::Boolean => DbDataType::Boolean,
                    Kind::Int8 => DbDataType::Int8,
                    Kind::Int16 => DbDataType::Int16,
                    Kind::Int32 => DbDataType::Int32,
                    Kind::Int64 => DbDataType::Int64,
                    Kind::Uint8 => DbDataType::Uint8,
                    Kind::Uint16 => DbDataType::Uint16,
                    Kind::Uint32 => DbDataType::Uint32,
                    Kind::Uint64 => DbDataType::Uint64,
                    Kind::Float32 => DbDataType::Floating32,
                    Kind::Float64 => DbDataType::Floating64,
                    Kind::Text | Kind::Uuid | Kind::Json | Kind::Decimal => DbDataType::Str,
                    Kind::Binary => DbDataType::Binary,
                    _ => DbDataType::Other,
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
                    Value::Uint8(value) => DbValue::Uint8(value),
                    Value::Uint16(value) => DbValue::Uint16(value),
                    Value::Uint32(value) => DbValue::Uint32(value),
                    Value::Uint64(value) => DbValue::Uint64(value),
                    Value::Float32(value) => DbValue::Floating32(value),
                    Value::Float64(value) => DbValue::Floating64(value),
                    Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => DbValue::Str(text),
                    Value::Json(bytes) => match String::from_utf8(bytes) {
                        Ok(text) => DbValue::Str(text),
                        Err(_) => DbValue::Unsupported,
                    },
                    Value::Binary(bytes) => DbValue::Binary(bytes),
                    _ => DbValue::Unsupported,
                }
            }
        }
    };
}

/// `$name`: our error as one of the variants that these interfaces share; `$other` is the name of the last.
macro_rules! rdbms_error {
    ($name:ident, $error:path, $other:ident) => {
        fn $name(error: super::super::Error) -> $error {
            use super::super::Error as Ours;
            use $error as Theirs;
            match error {
                Ours::Connection(text) | Ours::Denied(text) => Theirs::ConnectionFailed(text),
                Ours::Parameter(text) => Theirs::BadParameter(text),
                Ours::Query(error) => Theirs::QueryFailed(error.text),
                Ours::Conversion(text) => Theirs::ValueConversionFailed(text),
                other => Theirs::$other(other.to_string()),
            }
        }
    };
}

pub(super) use {rdbms_error, rdbms_types};
