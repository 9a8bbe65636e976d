//! Parameters for PostgreSQL.
//!
//! They go in the text form, which the server reads as whatever type the statement wants there: an `int32`
//! for a `bigint` or a `numeric`, a string for a `uuid` or an enumeration. Bytes for `bytea` go as they are.
//! A parameter stays a value in every case: it is never part of the statement.

use super::{Bound, Error, Interval, Range, Value};
use bytes::BytesMut;
use std::fmt::Display;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

#[derive(Debug)]
pub enum Param {
    Null,
    Text(String),
    Bytes(Vec<u8>),
}

impl Param {
    pub fn new(value: &Value, ty: &Type) -> Result<Param, Error> {
        let text = match value {
            Value::Null => return Ok(Param::Null),
            Value::Binary(bytes) if *ty == Type::BYTEA => return Ok(Param::Bytes(bytes.clone())),
            Value::Binary(bytes) | Value::Unsupported(bytes) => utf8(bytes, ty)?,
            Value::Boolean(value) => value.to_string(),
            Value::Int8(value) => value.to_string(),
            Value::Int16(value) => value.to_string(),
            Value::Int32(value) => value.to_string(),
            Value::Int64(value) => value.to_string(),
            Value::Uint8(value) => value.to_string(),
            Value::Uint16(value) => value.to_string(),
            Value::Uint32(value) => value.to_string(),
            Value::Uint64(value) => value.to_string(),
            Value::Float32(value) => float(f64::from(*value), &value.to_string()),
            Value::Float64(value) => float(*value, &value.to_string()),
            Value::Text(text) if *ty == Type::BYTEA => return Ok(Param::Bytes(text.clone().into_bytes())),
            Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => text.clone(),
            Value::Json(bytes) => utf8(bytes, ty)?,
            Value::Date(year, month, day) => date(*year, *month, *day)?,
            Value::Time(hour, minute, second, nanos) => time(*hour, *minute, *second, *nanos)?,
            Value::DateTime((year, month, day), (hour, minute, second, nanos)) => {
                let (date, time) = (date(*year, *month, *day)?, time(*hour, *minute, *second, *nanos)?);
                with_zone(&date, &time)
            }
            Value::Timestamp(seconds) => instant(*seconds)?,
            Value::RangeInt32(range) => self::range(range),
            Value::RangeInt64(range) => self::range(range),
            Value::RangeDecimal(range) => self::range(range),
            Value::ArrayInt32(list) => array(list),
            Value::ArrayInt64(list) => array(list),
            Value::ArrayDecimal(list) | Value::ArrayText(list) => array(list),
            Value::Interval(interval) => self::interval(interval),
        };
        if text.contains('\0') {
            return Err(Error::Parameter("PostgreSQL has no character 0 in texts".to_owned()));
        }
        Ok(Param::Text(text))
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Param::Null => return Ok(IsNull::Yes),
            Param::Text(text) => out.extend_from_slice(text.as_bytes()),
            Param::Bytes(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Param::Text(_) => Format::Text,
            Param::Null | Param::Bytes(_) => Format::Binary,
        }
    }

    to_sql_checked!();
}

fn utf8(bytes: &[u8], ty: &Type) -> Result<String, Error> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| Error::Parameter(format!("bytes that are no UTF-8 text cannot become {ty}")))
}

fn float(value: f64, text: &str) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        _ => text.to_owned(),
    }
}

/// There is no year 0; the one before 1 is 1 BC.
fn date(year: i32, month: u8, day: u8) -> Result<String, Error> {
    if chrono::NaiveDate::from_ymd_opt(year, month.into(), day.into()).is_none() {
        return Err(Error::Parameter(format!("{year}-{month}-{day} is no date")));
    }
    Ok(if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} BC", 1 - i64::from(year))
    })
}

fn time(hour: u8, minute: u8, second: u8, nanos: u32) -> Result<String, Error> {
    if hour > 23 || minute > 59 || second > 59 || nanos > 999_999_999 {
        return Err(Error::Parameter(format!("{hour}:{minute}:{second}.{nanos:09} is no time of the day")));
    }
    Ok(format!("{hour:02}:{minute:02}:{second:02}.{nanos:09}"))
}

/// The zone is ignored where the column has none, and keeps the session's zone out where it has one.
fn with_zone(date: &str, time: &str) -> String {
    match date.strip_suffix(" BC") {
        Some(date) => format!("{date} {time}+00 BC"),
        None => format!("{date} {time}+00"),
    }
}

fn instant(seconds: i64) -> Result<String, Error> {
    use chrono::{Datelike, Timelike};
    let instant = chrono::DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| Error::Parameter(format!("{seconds} seconds are no date")))?;
    let small = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let date = date(instant.year(), small(instant.month()), small(instant.day()))?;
    Ok(with_zone(&date, &time(small(instant.hour()), small(instant.minute()), small(instant.second()), 0)?))
}

/// PostgreSQL's documentation, 8.17.5 "Range Input/Output".
fn range<T: Display>((low, high): &Range<T>) -> String {
    let end = |bound: &Option<Bound<T>>| {
        bound.as_ref().map_or_else(String::new, |bound| quoted(&bound.value.to_string()))
    };
    let inclusive = |bound: &Option<Bound<T>>| bound.as_ref().is_some_and(|bound| bound.inclusive);
    let open = if inclusive(low) { '[' } else { '(' };
    let close = if inclusive(high) { ']' } else { ')' };
    format!("{open}{},{}{close}", end(low), end(high))
}

/// PostgreSQL's documentation, 8.15.6 "Array Input and Output Syntax".
fn array<T: Display>(list: &[Option<T>]) -> String {
    let items: Vec<String> = list
        .iter()
        .map(|item| item.as_ref().map_or_else(|| "NULL".to_owned(), |item| quoted(&item.to_string())))
        .collect();
    format!("{{{}}}", items.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn interval(interval: &Interval) -> String {
    let Interval { micros, days, months } = interval;
    format!("{months} mons {days} days {micros} microseconds")
}
