//! A value of each type of `spin:postgres@4.0.0`, there and back.

use crate::pg4::{Connection, Interval, ParameterValue as P, RangeBoundKind};

pub fn all(address: &str) {
    let db = Connection::open(address).expect("a connection");
    let (with, without) = (RangeBoundKind::Inclusive, RangeBoundKind::Exclusive);
    let table = [
        ("bool", P::Boolean(true)),
        ("int2", P::Int8(-8)),
        ("int2", P::Int16(16)),
        ("int4", P::Int32(32)),
        ("int8", P::Int64(64)),
        ("float4", P::Floating32(0.5)),
        ("float8", P::Floating64(0.25)),
        ("text", P::Str("é".to_owned())),
        ("bytea", P::Binary(vec![0, 255])),
        ("date", P::Date((2024, 2, 29))),
        ("time", P::Time((1, 2, 3, 4000))),
        ("timestamp", P::Datetime((2024, 2, 29, 1, 2, 3, 4000))),
        ("timestamptz", P::Timestamp(86_400)),
        ("uuid", P::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned())),
        ("jsonb", P::Jsonb(b"{\"a\": 1}".to_vec())),
        ("numeric", P::Decimal("1.50".to_owned())),
        ("int4range", P::RangeInt32((Some((1, with)), Some((9, without))))),
        ("int8range", P::RangeInt64((None, Some((9, without))))),
        ("numrange", P::RangeDecimal((Some(("1.5".to_owned(), without)), None))),
        ("int4[]", P::ArrayInt32(vec![Some(1), None])),
        ("int8[]", P::ArrayInt64(vec![Some(2)])),
        ("numeric[]", P::ArrayDecimal(vec![Some("0.1".to_owned())])),
        ("text[]", P::ArrayStr(vec![Some("a,b".to_owned()), None])),
        ("interval", P::Interval(Interval { micros: 1, days: 2, months: 3 })),
        ("text", P::DbNull),
    ];
    for (ty, value) in table {
        match db.query(&format!("SELECT $1::{ty} AS v"), &[value]) {
            Ok(set) => println!("{ty}: {:?} {:?}", set.columns[0].data_type, set.rows[0][0]),
            Err(error) => println!("{ty}: error: {error:?}"),
        }
    }
}
