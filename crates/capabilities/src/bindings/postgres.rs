//! The output binding of PostgreSQL: a statement with parameters, as Dapr's `bindings.postgresql`
//! (dapr/components-contrib, bindings/postgres/postgres.go).

use super::{BindingError, Invoked, no_such_operation};
use crate::sql::{Bound, Connection, Dialect, Error, Granted, Interval, Range, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::fmt::Display;
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
    let rows: Result<Vec<Vec<Box<RawValue>>>, _> =
        rows.into_iter().map(|row| row.into_iter().map(json).collect()).collect();
    let text = rows.and_then(|rows| serde_json::to_vec(&rows));
    text.map_err(|error| BindingError::Other(format!("error serializing results: {error}")))
}

fn parameters(text: &str) -> Result<Vec<Value>, BindingError> {
    let parsed: Result<Vec<&RawValue>, _> = serde_json::from_str(text);
    let read = parsed.and_then(|params| params.into_iter().map(parameter).collect());
    read.map_err(|error| {
        let what = "invalid metadata property params: failed to unserialize into an array";
        BindingError::Metadata(format!("{what}: {error}"))
    })
}

fn parameter(raw: &RawValue) -> serde_json::Result<Value> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't' | b'f') => Value::Boolean(text == "true"),
        Some(b'"') => Value::Text(serde_json::from_str(text)?),
        Some(b'[' | b'{') => Value::Json(text.as_bytes().to_vec()),
        // The statement decides what a number is; its digits go as they are.
        _ => Value::Decimal(text.to_owned()),
    })
}

/// A field as JSON. Times are in RFC 3339, bytes in base64; what JSON has no form for is text. Numbers and JSON
/// keep their digits.
fn json(value: Value) -> serde_json::Result<Box<RawValue>> {
    match value {
        Value::Null => to_raw_value(&()),
        Value::Boolean(truth) => to_raw_value(&truth),
        Value::Int8(number) => to_raw_value(&number),
        Value::Int16(number) => to_raw_value(&number),
        Value::Int32(number) => to_raw_value(&number),
        Value::Int64(number) => to_raw_value(&number),
        Value::Uint8(number) => to_raw_value(&number),
        Value::Uint16(number) => to_raw_value(&number),
        Value::Uint32(number) => to_raw_value(&number),
        Value::Uint64(number) => to_raw_value(&number),
        Value::Float32(number) => to_raw_value(&number),
        Value::Float64(number) => to_raw_value(&number),
        Value::Text(text) | Value::Uuid(text) => to_raw_value(&text),
        Value::Decimal(digits) => decimal(digits),
        Value::Json(bytes) => RawValue::from_string(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Binary(bytes) | Value::Unsupported(bytes) => to_raw_value(&STANDARD.encode(bytes)),
        Value::Date(..) | Value::DateTime(..) | Value::Timestamp(_) | Value::Time(..) => {
            to_raw_value(&time(&value))
        }
        Value::ArrayInt32(list) => to_raw_value(&list),
        Value::ArrayInt64(list) => to_raw_value(&list),
        Value::ArrayText(list) => to_raw_value(&list),
        Value::ArrayDecimal(list) => {
            let each = list.into_iter().map(|digits| digits.map(decimal).transpose());
            to_raw_value(&each.collect::<serde_json::Result<Vec<_>>>()?)
        }
        Value::Interval(Interval { months, days, micros }) => {
            to_raw_value(&format!("{months} months {days} days {micros} microseconds"))
        }
        Value::RangeInt32(range) => to_raw_value(&range_text(&range)),
        Value::RangeInt64(range) => to_raw_value(&range_text(&range)),
        Value::RangeDecimal(range) => to_raw_value(&range_text(&range)),
    }
}

/// `NaN` and `Infinity` are no numbers in JSON.
fn decimal(digits: String) -> serde_json::Result<Box<RawValue>> {
    RawValue::from_string(digits.clone()).or_else(|_| to_raw_value(&digits))
}

/// As PostgreSQL writes it: `[1,5)`.
fn range_text<T: Display>((low, high): &Range<T>) -> String {
    let end =
        |bound: &Option<Bound<T>>| bound.as_ref().map(|bound| bound.value.to_string()).unwrap_or_default();
    let inclusive = |bound: &Option<Bound<T>>| bound.as_ref().is_some_and(|bound| bound.inclusive);
    let open = if inclusive(low) { '[' } else { '(' };
    let close = if inclusive(high) { ']' } else { ')' };
    format!("{open}{},{}{close}", end(low), end(high))
}

fn time(value: &Value) -> Option<String> {
    let stamp = |year: i32, month: u8, day: u8, (hour, minute, second, nanos): (u8, u8, u8, u32)| {
        let date = NaiveDate::from_ymd_opt(year, month.into(), day.into())?;
        let time = date.and_hms_nano_opt(hour.into(), minute.into(), second.into(), nanos)?;
        Some(time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    };
    match *value {
        Value::Date(year, month, day) => stamp(year, month, day, (0, 0, 0, 0)),
        Value::DateTime((year, month, day), time) => stamp(year, month, day, time),
        Value::Timestamp(seconds) => DateTime::from_timestamp(seconds, 0).map(|time| time.to_rfc3339()),
        Value::Time(hour, minute, second, nanos) => {
            Some(format!("{hour:02}:{minute:02}:{second:02}.{:06}", nanos / 1000))
        }
        _ => None,
    }
}

fn failed(error: Error) -> BindingError {
    match error {
        Error::Connection(why) => BindingError::Unavailable(why),
        other => BindingError::Other(format!("error executing query: {other}")),
    }
}
