//! The output binding of PostgreSQL: a statement with parameters, as Dapr's `bindings.postgresql`
//! (dapr/components-contrib, bindings/postgres/postgres.go).

use super::{BindingError, Invoked, no_such_operation};
use crate::sql::{Connection, Dialect, Error, Granted, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub const OPERATIONS: &[&str] = &["exec", "query", "close"];

/// The name of the one database that is granted here.
pub const DATABASE: &str = "binding";

pub struct Postgres(Mutex<Option<Arc<Granted>>>);

impl Postgres {
    pub fn new(granted: Granted) -> Self {
        Postgres(Mutex::new(Some(Arc::new(granted))))
    }

    pub async fn invoke(
        &self,
        operation: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Invoked, BindingError> {
        if operation == "close" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Ok(Invoked::default());
        }
        let granted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let granted = granted.ok_or_else(|| BindingError::Other("component is closed".to_owned()))?;
        let sql = metadata.get("sql").filter(|sql| !sql.is_empty());
        let sql = sql.ok_or_else(|| BindingError::Metadata("required metadata not set: sql".to_owned()))?;
        let params = match metadata.get("params").filter(|params| !params.is_empty()) {
            Some(params) => parameters(params)?,
            None => Vec::new(),
        };
        if !OPERATIONS.contains(&operation) {
            return Err(no_such_operation(operation, OPERATIONS));
        }
        let (began, start) = (Utc::now(), Instant::now());
        let connection = granted.open(Dialect::Postgres, DATABASE, None).await.map_err(failed)?;
        let mut told = BTreeMap::new();
        let data = if operation == "exec" {
            let done = connection.execute(sql.clone(), params).await.map_err(failed)?;
            told.insert("rows-affected".to_owned(), done.affected.to_string());
            None
        } else {
            Some(query(&connection, sql.clone(), params).await?)
        };
        told.insert("operation".to_owned(), operation.to_owned());
        told.insert("sql".to_owned(), sql.clone());
        told.insert("start-time".to_owned(), began.to_rfc3339_opts(SecondsFormat::Nanos, true));
        told.insert("end-time".to_owned(), Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true));
        told.insert("duration".to_owned(), format!("{:?}", start.elapsed()));
        Ok(Invoked { data, metadata: told })
    }
}

/// The rows as JSON, each an array of its fields.
async fn query(connection: &Connection, sql: String, params: Vec<Value>) -> Result<Vec<u8>, BindingError> {
    let rows = connection.query(sql, params).await.map_err(failed)?.collect().await.map_err(failed)?;
    let rows: Vec<Vec<serde_json::Value>> =
        rows.into_iter().map(|row| row.into_iter().map(json).collect()).collect();
    serde_json::to_vec(&rows).map_err(|error| BindingError::Other(error.to_string()))
}

fn parameters(text: &str) -> Result<Vec<Value>, BindingError> {
    let parsed: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        let what = "invalid metadata property params: failed to unserialize into an array";
        BindingError::Metadata(format!("{what}: {error}"))
    })?;
    Ok(parsed.into_iter().map(parameter).collect())
}

fn parameter(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Boolean(truth),
        serde_json::Value::String(text) => Value::Text(text),
        // The statement decides what a number is; its digits go as they are.
        serde_json::Value::Number(number) => Value::Decimal(number.to_string()),
        composed => Value::Json(composed.to_string().into_bytes()),
    }
}

/// A field as JSON. Times are in RFC 3339, bytes in base64; what JSON has no form for is text.
fn json(value: Value) -> serde_json::Value {
    let of_list = |list: Vec<Option<serde_json::Value>>| {
        list.into_iter().map(|item| item.unwrap_or_default()).collect::<serde_json::Value>()
    };
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(truth) => truth.into(),
        Value::Int8(number) => number.into(),
        Value::Int16(number) => number.into(),
        Value::Int32(number) => number.into(),
        Value::Int64(number) => number.into(),
        Value::Uint8(number) => number.into(),
        Value::Uint16(number) => number.into(),
        Value::Uint32(number) => number.into(),
        Value::Uint64(number) => number.into(),
        Value::Float32(number) => number.into(),
        Value::Float64(number) => number.into(),
        Value::Text(text) | Value::Uuid(text) => text.into(),
        // Digits beyond what a JSON reader keeps are the reader's loss, as with Dapr.
        Value::Decimal(digits) => serde_json::from_str(&digits).unwrap_or(serde_json::Value::String(digits)),
        Value::Json(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Value::Binary(bytes) | Value::Unsupported(bytes) => STANDARD.encode(bytes).into(),
        Value::Date(..) | Value::DateTime(..) | Value::Timestamp(_) | Value::Time(..) => time(&value),
        Value::ArrayInt32(list) => of_list(list.into_iter().map(|one| one.map(Into::into)).collect()),
        Value::ArrayInt64(list) => of_list(list.into_iter().map(|one| one.map(Into::into)).collect()),
        Value::ArrayText(list) => of_list(list.into_iter().map(|one| one.map(Into::into)).collect()),
        Value::ArrayDecimal(list) => {
            of_list(list.into_iter().map(|one| one.map(|digits| json(Value::Decimal(digits)))).collect())
        }
        Value::Interval(interval) => {
            format!("{} months {} days {} microseconds", interval.months, interval.days, interval.micros)
                .into()
        }
        range @ (Value::RangeInt32(_) | Value::RangeInt64(_) | Value::RangeDecimal(_)) => {
            format!("{range:?}").into()
        }
    }
}

fn time(value: &Value) -> serde_json::Value {
    let stamp = |year: i32, month: u8, day: u8, (hour, minute, second, nanos): (u8, u8, u8, u32)| {
        let date = NaiveDate::from_ymd_opt(year, month.into(), day.into())?;
        let time = date.and_hms_nano_opt(hour.into(), minute.into(), second.into(), nanos)?;
        Some(time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    };
    let text = match *value {
        Value::Date(year, month, day) => stamp(year, month, day, (0, 0, 0, 0)),
        Value::DateTime((year, month, day), time) => stamp(year, month, day, time),
        Value::Timestamp(seconds) => DateTime::from_timestamp(seconds, 0).map(|time| time.to_rfc3339()),
        Value::Time(hour, minute, second, nanos) => {
            Some(format!("{hour:02}:{minute:02}:{second:02}.{:06}", nanos / 1000))
        }
        _ => None,
    };
    text.map_or(serde_json::Value::Null, Into::into)
}

fn failed(error: Error) -> BindingError {
    match error {
        Error::Connection(why) => BindingError::Unavailable(why),
        other => BindingError::Other(format!("error executing query: {other}")),
    }
}
