//! Fields of PostgreSQL's rows, from their binary form (PostgreSQL's sources, src/backend/utils/adt: the
//! functions whose names end in `send`).

use super::{Bound, Interval, Kind, Range, Value};
use std::error::Error;
use std::fmt::Write as _;
use tokio_postgres::types::{FromSql, Kind as TypeKind, Type};

type Result<T> = std::result::Result<T, Box<dyn Error + Sync + Send>>;

/// An array has so many elements at most; also what a malformed length may make us reserve.
const ELEMENTS_MAX: usize = 16 << 20;

/// A field.
pub struct Decoded(pub Value);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
        decode(ty, raw).map(Decoded)
    }

    fn from_sql_null(_: &Type) -> Result<Self> {
        Ok(Decoded(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

pub fn kind_of(ty: &Type) -> Kind {
    match *ty {
        Type::BOOL => Kind::Boolean,
        Type::CHAR => Kind::Int8,
        Type::INT2 => Kind::Int16,
        Type::INT4 => Kind::Int32,
        Type::INT8 => Kind::Int64,
        Type::FLOAT4 => Kind::Float32,
        Type::FLOAT8 => Kind::Float64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => Kind::Text,
        Type::BYTEA => Kind::Binary,
        Type::DATE => Kind::Date,
        Type::TIME => Kind::Time,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => Kind::DateTime,
        Type::UUID => Kind::Uuid,
        Type::JSONB => Kind::Json,
        Type::NUMERIC => Kind::Decimal,
        Type::INT4_RANGE => Kind::RangeInt32,
        Type::INT8_RANGE => Kind::RangeInt64,
        Type::NUM_RANGE => Kind::RangeDecimal,
        Type::INT4_ARRAY => Kind::ArrayInt32,
        Type::INT8_ARRAY => Kind::ArrayInt64,
        Type::NUMERIC_ARRAY => Kind::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => Kind::ArrayText,
        Type::INTERVAL => Kind::Interval,
        _ => Kind::Other(ty.name().to_owned()),
    }
}

fn decode(ty: &Type, raw: &[u8]) -> Result<Value> {
    Ok(match *ty {
        Type::BOOL => Value::Boolean(read::<1>(&mut &*raw)? != [0]),
        Type::CHAR => Value::Int8(i8::from_be_bytes(all(raw)?)),
        Type::INT2 => Value::Int16(i16::from_be_bytes(all(raw)?)),
        Type::INT4 => Value::Int32(i32::from_be_bytes(all(raw)?)),
        Type::INT8 => Value::Int64(i64::from_be_bytes(all(raw)?)),
        Type::FLOAT4 => Value::Float32(f32::from_be_bytes(all(raw)?)),
        Type::FLOAT8 => Value::Float64(f64::from_be_bytes(all(raw)?)),
        Type::BYTEA => Value::Binary(raw.to_vec()),
        Type::DATE => date(i32::from_be_bytes(all(raw)?))?,
        Type::TIME => {
            let (hour, minute, second, nanos) = time_of_day(i64::from_be_bytes(all(raw)?))?;
            Value::Time(hour, minute, second, nanos)
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => date_time(i64::from_be_bytes(all(raw)?))?,
        Type::UUID => Value::Uuid(uuid::Uuid::from_bytes(all(raw)?).to_string()),
        Type::JSON => Value::Json(raw.to_vec()),
        // The first byte is the format's version.
        Type::JSONB => Value::Json(raw.strip_prefix(&[1]).ok_or("an unknown form of jsonb")?.to_vec()),
        Type::NUMERIC => Value::Decimal(numeric(raw)?),
        Type::INT4_RANGE => Value::RangeInt32(range(raw, |raw| Ok(i32::from_be_bytes(all(raw)?)))?),
        Type::INT8_RANGE => Value::RangeInt64(range(raw, |raw| Ok(i64::from_be_bytes(all(raw)?)))?),
        Type::NUM_RANGE => Value::RangeDecimal(range(raw, numeric)?),
        Type::INT4_ARRAY => Value::ArrayInt32(array(raw, |raw| Ok(i32::from_be_bytes(all(raw)?)))?),
        Type::INT8_ARRAY => Value::ArrayInt64(array(raw, |raw| Ok(i64::from_be_bytes(all(raw)?)))?),
        Type::NUMERIC_ARRAY => Value::ArrayDecimal(array(raw, numeric)?),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => Value::ArrayText(array(raw, text)?),
        Type::INTERVAL => interval(raw)?,
        _ if is_text(ty) => Value::Text(text(raw)?),
        _ => Value::Unsupported(raw.to_vec()),
    })
}

/// Types whose binary form is their text.
fn is_text(ty: &Type) -> bool {
    let named =
        matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML);
    named || ty.name() == "citext" || matches!(ty.kind(), TypeKind::Enum(_))
}

fn text(raw: &[u8]) -> Result<String> {
    Ok(std::str::from_utf8(raw)?.to_owned())
}

/// The next bytes of a field.
fn read<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk().ok_or("a field is too short")?;
    *rest = tail;
    Ok(*head)
}

/// A field of exactly this length.
fn all<const N: usize>(raw: &[u8]) -> Result<[u8; N]> {
    Ok(<[u8; N]>::try_from(raw)?)
}

/// A part that is preceded by its length.
fn part<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    let length = i32::from_be_bytes(read(rest)?);
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let (head, tail) = rest.split_at_checked(length).ok_or("a field is too short")?;
    *rest = tail;
    Ok(Some(head))
}

/// Days since 2000; the ends of the scale are infinities.
fn date(days: i32) -> Result<Value> {
    let (year, month, day) = calendar(i64::from(days))?;
    Ok(Value::Date(year, month, day))
}

fn calendar(days_since_2000: i64) -> Result<(i32, u8, u8)> {
    use chrono::Datelike;
    let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).ok_or("2000 is a year")?;
    let days = chrono::TimeDelta::try_days(days_since_2000).ok_or("a date out of range")?;
    let date = epoch.checked_add_signed(days).ok_or("a date out of range, as `infinity` is")?;
    Ok((date.year(), u8::try_from(date.month())?, u8::try_from(date.day())?))
}

const MICROS_A_DAY: i64 = 86_400_000_000;

fn time_of_day(micros: i64) -> Result<(u8, u8, u8, u32)> {
    let seconds = micros / 1_000_000;
    let nanos = u32::try_from(micros % 1_000_000)? * 1000;
    Ok((u8::try_from(seconds / 3600)?, u8::try_from(seconds / 60 % 60)?, u8::try_from(seconds % 60)?, nanos))
}

/// Microseconds since 2000, UTC.
fn date_time(micros: i64) -> Result<Value> {
    let date = calendar(micros.div_euclid(MICROS_A_DAY))?;
    Ok(Value::DateTime(date, time_of_day(micros.rem_euclid(MICROS_A_DAY))?))
}

fn interval(raw: &[u8]) -> Result<Value> {
    let mut rest = raw;
    Ok(Value::Interval(Interval {
        micros: i64::from_be_bytes(read(&mut rest)?),
        days: i32::from_be_bytes(read(&mut rest)?),
        months: i32::from_be_bytes(read(&mut rest)?),
    }))
}

/// A number in groups of four decimal digits: `weight` is the exponent of the first group, `scale` the
/// digits after the point that are shown (numeric_send).
fn numeric(raw: &[u8]) -> Result<String> {
    let mut rest = raw;
    let count = usize::from(u16::from_be_bytes(read(&mut rest)?));
    let weight = i16::from_be_bytes(read(&mut rest)?);
    let sign = u16::from_be_bytes(read(&mut rest)?);
    let scale = usize::from(u16::from_be_bytes(read(&mut rest)?));
    let mut out = match sign {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        _ => return Err("an unknown form of numeric".into()),
    };
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        groups.push(u16::from_be_bytes(read(&mut rest)?));
    }
    // Groups that are zero are not sent.
    let group = |exponent: i16| {
        let index = i32::from(weight) - i32::from(exponent);
        usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    if weight < 0 {
        out.push('0');
    }
    for exponent in (0..=weight).rev() {
        let group = group(exponent);
        let _ = if exponent == weight { write!(out, "{group}") } else { write!(out, "{group:04}") };
    }
    if scale > 0 {
        let mut digits = String::new();
        let mut exponent = -1;
        while digits.len() < scale {
            let _ = write!(digits, "{:04}", group(exponent));
            exponent -= 1;
        }
        digits.truncate(scale);
        let _ = write!(out, ".{digits}");
    }
    Ok(out)
}

/// Flags (rangetypes.h), then the ends that there are.
fn range<T>(raw: &[u8], decode: impl Fn(&[u8]) -> Result<T>) -> Result<Range<T>> {
    const EMPTY: u8 = 0x01;
    const LOW_INCLUSIVE: u8 = 0x02;
    const HIGH_INCLUSIVE: u8 = 0x04;
    const LOW_INFINITE: u8 = 0x08;
    const HIGH_INFINITE: u8 = 0x10;
    let mut rest = raw;
    let [flags] = read(&mut rest)?;
    if flags & EMPTY != 0 {
        return Err("an empty range has no ends".into());
    }
    let mut end = |infinite: u8, inclusive: u8| {
        if flags & infinite != 0 {
            return Ok(None);
        }
        let value = decode(part(&mut rest)?.ok_or("an end of a range is null")?)?;
        Ok::<_, Box<dyn Error + Sync + Send>>(Some(Bound { value, inclusive: flags & inclusive != 0 }))
    };
    let low = end(LOW_INFINITE, LOW_INCLUSIVE)?;
    Ok((low, end(HIGH_INFINITE, HIGH_INCLUSIVE)?))
}

/// Dimensions, whether there are nulls, the type; for each dimension its length and first index (array_send).
fn array<T>(raw: &[u8], decode: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<Option<T>>> {
    let mut rest = raw;
    let dimensions = i32::from_be_bytes(read(&mut rest)?);
    let _nulls_and_type: [u8; 8] = read(&mut rest)?;
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    if dimensions != 1 {
        return Err("an array of more than one dimension".into());
    }
    let count = usize::try_from(i32::from_be_bytes(read(&mut rest)?))?;
    let _first_index: [u8; 4] = read(&mut rest)?;
    if count > ELEMENTS_MAX {
        return Err("an array with too many elements".into());
    }
    // Each element has at least its length.
    let mut list = Vec::with_capacity(count.min(rest.len() / 4));
    for _ in 0..count {
        list.push(part(&mut rest)?.map(&decode).transpose()?);
    }
    Ok(list)
}
