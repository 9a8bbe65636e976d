//! Values as statements take and give them: the union of what the three databases know. Each interface has a
//! part of it.

/// A parameter, or a field of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Uint8(u8),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Float32(f32),
    Float64(f64),
    Text(String),
    Binary(Vec<u8>),
    /// Year, month, day.
    Date(i32, u8, u8),
    /// Hour, minute, second, nanosecond.
    Time(u8, u8, u8, u32),
    /// Date and time, UTC.
    DateTime((i32, u8, u8), (u8, u8, u8, u32)),
    /// Seconds since 1970, UTC.
    Timestamp(i64),
    Uuid(String),
    Json(Vec<u8>),
    /// A number in base 10, `NaN` or `Infinity`.
    Decimal(String),
    RangeInt32(Range<i32>),
    RangeInt64(Range<i64>),
    RangeDecimal(Range<String>),
    ArrayInt32(Vec<Option<i32>>),
    ArrayInt64(Vec<Option<i64>>),
    ArrayDecimal(Vec<Option<String>>),
    ArrayText(Vec<Option<String>>),
    Interval(Interval),
    /// A type that we do not decode, as the server sent it.
    Unsupported(Vec<u8>),
}

/// Lower and upper end; `None` has no end there.
pub type Range<T> = (Option<Bound<T>>, Option<Bound<T>>);

#[derive(Clone, Debug, PartialEq)]
pub struct Bound<T> {
    pub value: T,
    pub inclusive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub micros: i64,
    pub days: i32,
    pub months: i32,
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
    Text,
    Binary,
    Date,
    Time,
    DateTime,
    Uuid,
    Json,
    Decimal,
    RangeInt32,
    RangeInt64,
    RangeDecimal,
    ArrayInt32,
    ArrayInt64,
    ArrayDecimal,
    ArrayText,
    Interval,
    /// The database's name for it.
    Other(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

/// What a row takes in memory, about; the bounds on results count it.
pub fn size(row: &[Value]) -> usize {
    std::mem::size_of_val(row) + row.iter().map(heap_size).sum::<usize>()
}

fn heap_size(value: &Value) -> usize {
    fn texts(list: &[Option<String>]) -> usize {
        list.iter().map(|text| size_of::<Option<String>>() + text.as_ref().map_or(0, String::len)).sum()
    }
    match value {
        Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => text.len(),
        Value::Binary(bytes) | Value::Json(bytes) | Value::Unsupported(bytes) => bytes.len(),
        Value::ArrayInt32(list) => size_of_val(list.as_slice()),
        Value::ArrayInt64(list) => size_of_val(list.as_slice()),
        Value::ArrayDecimal(list) | Value::ArrayText(list) => texts(list),
        Value::RangeDecimal((low, high)) => {
            [low, high].into_iter().flatten().map(|bound| bound.value.len()).sum()
        }
        _ => 0,
    }
}
