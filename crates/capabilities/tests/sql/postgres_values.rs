//! PostgreSQL's types, in and out.

use crate::with::{at, block_on, handle, one, postgres, rows, run};
use sampan_capabilities::sql::{Bound, Dialect, Error, Interval, Kind, Value};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn bound<T>(value: T, inclusive: bool) -> Option<Bound<T>> {
    Some(Bound { value, inclusive })
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.to_owned())
}

/// Types that are sent and received as the same value.
fn same() -> Vec<(&'static str, Value)> {
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    vec![
        ("bool", Value::Boolean(true)),
        ("bool", Value::Boolean(false)),
        ("\"char\"", text("A")),
        ("int2", Value::Int16(i16::MIN)),
        ("int4", Value::Int32(i32::MAX)),
        ("int8", Value::Int64(i64::MIN)),
        ("float4", Value::Float32(1.1)),
        ("float8", Value::Float64(1e-300)),
        ("float8", Value::Float64(f64::NEG_INFINITY)),
        ("text", text("é🦀 '\\ $1")),
        ("varchar(10)", text("")),
        ("bytea", Value::Binary(vec![0, 255, b'\\'])),
        ("bytea", Value::Binary(vec![])),
        ("date", Value::Date(2024, 2, 29)),
        ("date", Value::Date(-43, 3, 15)),
        ("time", Value::Time(23, 59, 58, 1000)),
        ("timestamp", Value::DateTime((2024, 2, 29), (23, 59, 58, 999_999_000))),
        ("timestamp", Value::DateTime((1969, 12, 31), (23, 59, 59, 1000))),
        ("timestamptz", Value::DateTime((2024, 7, 1), (12, 0, 0, 0))),
        ("uuid", Value::Uuid(uuid.to_owned())),
        ("jsonb", Value::Json(br#"{"a": [1, null]}"#.to_vec())),
        ("json", Value::Json(br#"{ "a":1}"#.to_vec())),
        ("numeric", decimal("0")),
        ("numeric", decimal("-0.00012300")),
        ("numeric", decimal("10000")),
        ("numeric", decimal("123456789012345678901234567890.000000000000000000000000000001")),
        ("numeric", decimal("NaN")),
        ("int4range", Value::RangeInt32((bound(1, true), bound(10, false)))),
        ("int4range", Value::RangeInt32((None, bound(10, false)))),
        ("int8range", Value::RangeInt64((bound(i64::MIN, true), None))),
        ("numrange", Value::RangeDecimal((bound("-1.5".to_owned(), false), bound("2.50".to_owned(), true)))),
        ("numrange", Value::RangeDecimal((None, None))),
        ("int4[]", Value::ArrayInt32(vec![Some(1), None, Some(-3)])),
        ("int8[]", Value::ArrayInt64(vec![])),
        ("numeric[]", Value::ArrayDecimal(vec![Some("1.10".to_owned()), None])),
        ("text[]", Value::ArrayText(vec![Some("a\"b\\c,{}".to_owned()), None, Some("NULL".to_owned())])),
        ("interval", Value::Interval(Interval { micros: -5, days: 3, months: -14 })),
    ]
}

/// Types that a value fits without being of it, and what comes back.
fn fitted() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("int8", Value::Int8(-7), Value::Int64(-7)),
        ("int2", Value::Int64(7), Value::Int16(7)),
        ("numeric", Value::Int32(5), decimal("5")),
        ("float8", Value::Float32(0.5), Value::Float64(0.5)),
        ("int4", text("42"), Value::Int32(42)),
        (
            "uuid",
            text("67E55044-10B1-426F-9247-BB680E5FE0C8"),
            Value::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
        ),
        ("date", text("2024-02-29"), Value::Date(2024, 2, 29)),
        ("timestamptz", Value::Timestamp(86_400), Value::DateTime((1970, 1, 2), (0, 0, 0, 0))),
        ("timestamp", Value::Timestamp(-1), Value::DateTime((1969, 12, 31), (23, 59, 59, 0))),
        ("mood", text("happy"), text("happy")),
        (
            "int4range",
            Value::RangeInt32((bound(1, false), bound(10, true))),
            Value::RangeInt32((bound(2, true), bound(11, false))),
        ),
        ("varchar[]", Value::ArrayText(vec![Some("x".into())]), Value::ArrayText(vec![Some("x".into())])),
        ("inet", text("10.0.0.1"), Value::Unsupported(vec![2, 32, 0, 4, 10, 0, 0, 1])),
    ]
}

#[test]
fn values_come_back() {
    let Some(server) = postgres() else { return };
    let granted = at(Dialect::Postgres, &server.url()).granted();
    block_on(async {
        let db = handle(&granted, Dialect::Postgres).await;
        run(&db, "CREATE TYPE mood AS ENUM ('sad', 'happy')").await;
        // Another zone than UTC must make no difference.
        run(&db, "SET timezone = 'America/New_York'").await;
        let table = same().into_iter().map(|(ty, value)| (ty, value.clone(), value)).chain(fitted());
        for (ty, value, expected) in table {
            let expected = if ty == "\"char\"" { Value::Int8(65) } else { expected };
            let statement = format!("SELECT $1::{ty}");
            assert_eq!(
                one(&db, &statement, std::slice::from_ref(&value)).await,
                Ok(expected),
                "{ty} {value:?}"
            );
            assert_eq!(one(&db, &statement, &[Value::Null]).await, Ok(Value::Null), "{ty}");
        }
        let nan = one(&db, "SELECT $1::float8", &[Value::Float64(f64::NAN)]).await;
        assert!(matches!(nan, Ok(Value::Float64(value)) if value.is_nan()), "{nan:?}");
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    let Some(server) = postgres() else { return };
    let granted = at(Dialect::Postgres, &server.url()).granted();
    block_on(async {
        let db = handle(&granted, Dialect::Postgres).await;
        let parameters = [
            ("date", Value::Date(2023, 2, 29)),
            ("time", Value::Time(24, 0, 0, 0)),
            ("timestamp", Value::DateTime((2024, 1, 1), (0, 0, 60, 0))),
            ("timestamp", Value::Timestamp(i64::MAX)),
            ("text", Value::Binary(vec![0xff])),
            ("text", text("a\0b")),
        ];
        for (ty, value) in parameters {
            let error =
                one(&db, &format!("SELECT $1::{ty}"), std::slice::from_ref(&value)).await.unwrap_err();
            assert!(matches!(error, Error::Parameter(_)), "{ty} {value:?}: {error:?}");
        }
        for (ty, value, code) in [
            ("int4", text("forty"), "22P02"),
            ("int2", Value::Int32(70_000), "22003"),
            ("uuid", Value::Uuid("no".into()), "22P02"),
            ("jsonb", Value::Json(b"{".to_vec()), "22P02"),
            ("numeric", decimal("1; DROP TABLE x"), "22P02"),
        ] {
            let error =
                one(&db, &format!("SELECT $1::{ty}"), std::slice::from_ref(&value)).await.unwrap_err();
            let Error::Query(error) = error else { panic!("{ty}: {error:?}") };
            assert_eq!(error.details.expect("the server's words").code, code, "{ty} {value:?}");
        }
        for statement in
            ["SELECT 'infinity'::date", "SELECT '{{1},{2}}'::int4[]", "SELECT 'empty'::int4range"]
        {
            let error = rows(&db, statement, &[]).await.unwrap_err();
            assert!(matches!(error, Error::Conversion(_)), "{statement}: {error:?}");
        }
        assert_eq!(one(&db, "SELECT 1", &[]).await, Ok(Value::Int32(1)));
    });
}

#[test]
fn errors_have_their_parts() {
    let Some(server) = postgres() else { return };
    let granted = at(Dialect::Postgres, &server.url()).granted();
    block_on(async {
        let db = handle(&granted, Dialect::Postgres).await;
        run(&db, "CREATE TABLE parts (id INT CONSTRAINT only_one PRIMARY KEY)").await;
        run(&db, "INSERT INTO parts VALUES (1)").await;
        let Err(Error::Query(error)) = db.execute("INSERT INTO parts VALUES (1)".into(), vec![]).await else {
            panic!("a second row");
        };
        let details = error.details.expect("the server's words");
        assert_eq!((&*details.severity, &*details.code), ("ERROR", "23505"));
        assert_eq!(details.detail.as_deref(), Some("Key (id)=(1) already exists."));
        assert!(details.extras.contains(&("constraint".into(), "only_one".into())), "{:?}", details.extras);
        assert!(error.text.contains("only_one"), "{}", error.text);
    });
}

#[test]
fn columns_have_their_types() {
    let Some(server) = postgres() else { return };
    let granted = at(Dialect::Postgres, &server.url()).granted();
    block_on(async {
        let db = handle(&granted, Dialect::Postgres).await;
        let statement = "SELECT 1::int2 a, 'x'::text b, '10.0.0.1'::inet c, '1'::json d, now() e";
        let found = db.query(statement.to_owned(), Vec::new()).await.unwrap();
        let columns: Vec<_> =
            found.columns.iter().map(|column| (column.name.as_str(), &column.kind)).collect();
        let other = |name: &str| Kind::Other(name.to_owned());
        let (inet, json) = (other("inet"), other("json"));
        assert_eq!(
            columns,
            [("a", &Kind::Int16), ("b", &Kind::Text), ("c", &inet), ("d", &json), ("e", &Kind::DateTime)]
        );
    });
}

#[test]
fn a_table_that_changes_does_not_break_prepared_statements() {
    let Some(server) = postgres() else { return };
    let granted = at(Dialect::Postgres, &server.url()).granted();
    block_on(async {
        let db = handle(&granted, Dialect::Postgres).await;
        run(&db, "CREATE TABLE changing (a INT)").await;
        run(&db, "INSERT INTO changing VALUES (1)").await;
        assert_eq!(rows(&db, "SELECT * FROM changing", &[]).await.unwrap(), [[Value::Int32(1)]]);
        run(&db, "ALTER TABLE changing ADD COLUMN b TEXT DEFAULT 'x'").await;
        assert_eq!(rows(&db, "SELECT * FROM changing", &[]).await.unwrap(), [[Value::Int32(1), text("x")]]);
        run(&db, "DEALLOCATE ALL").await;
        assert_eq!(rows(&db, "SELECT * FROM changing", &[]).await.unwrap(), [[Value::Int32(1), text("x")]]);
    });
}
