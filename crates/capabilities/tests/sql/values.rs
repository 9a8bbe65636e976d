//! Types of SQLite and MySQL, in and out.

use crate::with::{block_on, databases, handle, one, rows, run, sqlite, table};
use sampan_capabilities::sql::{Dialect, Error, Kind, Value};

#[test]
fn sqlite_values_come_back() {
    let database = sqlite();
    let granted = database.granted();
    block_on(async {
        let db = handle(&granted, Dialect::Sqlite).await;
        let table = [
            Value::Null,
            Value::Int64(i64::MIN),
            Value::Int64(i64::MAX),
            Value::Float64(0.1),
            Value::Float64(f64::INFINITY),
            Value::Text(String::new()),
            Value::Text("a\0é🦀".into()),
            Value::Binary(vec![]),
            Value::Binary(vec![0, 255, 39]),
        ];
        for value in table {
            assert_eq!(one(&db, "SELECT ?", std::slice::from_ref(&value)).await, Ok(value));
        }
        let error = one(&db, "SELECT ?", &[Value::Uuid("x".into())]).await.unwrap_err();
        assert!(matches!(error, Error::Parameter(_)), "{error:?}");
    });
}

#[test]
fn sqlite_counts_what_the_handle_did() {
    let database = sqlite();
    let granted = database.granted();
    block_on(async {
        let db = handle(&granted, Dialect::Sqlite).await;
        run(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await;
        assert_eq!((db.last_insert_rowid(), db.changes()), (0, 0));
        let inserted = rows(&db, "INSERT INTO t (id, a) VALUES (41, 'x'), (42, 'y') RETURNING id", &[]).await;
        assert_eq!(inserted.unwrap(), [[Value::Int64(41)], [Value::Int64(42)]]);
        assert_eq!((db.last_insert_rowid(), db.changes()), (42, 2));
        // The changes are made when the first row comes, and the numbers are right when the last one came.
        rows(&db, "SELECT * FROM t", &[]).await.unwrap();
        assert_eq!((db.last_insert_rowid(), db.changes()), (42, 2));
        let other = handle(&granted, Dialect::Sqlite).await;
        assert_eq!((other.last_insert_rowid(), other.changes()), (0, 0));
    });
}

/// Column type, what goes in, what comes out, as which kind.
fn mysql_table() -> Vec<(&'static str, Value, Value, Kind)> {
    let same = |ty, value: Value, kind| (ty, value.clone(), value, kind);
    let text = |text: &str| Value::Text(text.to_owned());
    vec![
        same("TINYINT", Value::Int8(-128), Kind::Int8),
        same("TINYINT UNSIGNED", Value::Uint8(255), Kind::Uint8),
        same("SMALLINT", Value::Int16(-32768), Kind::Int16),
        same("SMALLINT UNSIGNED", Value::Uint16(65535), Kind::Uint16),
        same("MEDIUMINT", Value::Int32(-8_388_608), Kind::Int32),
        same("MEDIUMINT UNSIGNED", Value::Uint32(16_777_215), Kind::Uint32),
        same("INT", Value::Int32(i32::MIN), Kind::Int32),
        same("INT UNSIGNED", Value::Uint32(u32::MAX), Kind::Uint32),
        same("BIGINT", Value::Int64(i64::MIN), Kind::Int64),
        same("BIGINT UNSIGNED", Value::Uint64(u64::MAX), Kind::Uint64),
        ("BOOLEAN", Value::Boolean(true), Value::Int8(1), Kind::Int8),
        same("FLOAT", Value::Float32(1.5), Kind::Float32),
        same("DOUBLE", Value::Float64(0.1), Kind::Float64),
        same("VARCHAR(20)", text("é🦀'"), Kind::Text),
        same("CHAR(3)", text("abc"), Kind::Text),
        same("TEXT", text(""), Kind::Text),
        same("LONGTEXT", text("long"), Kind::Text),
        same("ENUM('red', 'green')", text("green"), Kind::Text),
        same("JSON", text("{\"a\": 1}"), Kind::Text),
        same("VARBINARY(20)", Value::Binary(vec![0, 255]), Kind::Binary),
        same("BINARY(2)", Value::Binary(vec![1, 0]), Kind::Binary),
        same("BLOB", Value::Binary(vec![]), Kind::Binary),
        same("LONGBLOB", Value::Binary(vec![0, 159, 146, 150]), Kind::Binary),
        ("BIT(9)", Value::Uint64(257), Value::Binary(vec![1, 1]), Kind::Binary),
        same("DECIMAL(30, 10)", text("12345678901234567890.0123456789"), Kind::Text),
        same("DATE", text("2024-02-29"), Kind::Text),
        same("DATETIME", text("2024-02-29 23:59:58"), Kind::Text),
        same("DATETIME(6)", text("2024-02-29 23:59:58.000001"), Kind::Text),
        same("TIMESTAMP", text("2024-02-28 01:02:03"), Kind::Text),
        same("TIME", text("-100:00:01"), Kind::Text),
        same("YEAR", Value::Uint16(2024), Kind::Uint16),
    ]
}

#[test]
fn mysql_values_come_back() {
    let Some(database) = databases().into_iter().find(|database| database.dialect == Dialect::MySql) else {
        return;
    };
    let granted = database.granted();
    block_on(async {
        let db = handle(&granted, Dialect::MySql).await;
        for (ty, value, expected, kind) in mysql_table() {
            let name = table();
            run(&db, &format!("CREATE TABLE {name} (v {ty})")).await;
            for value in [value, Value::Null] {
                db.execute(format!("INSERT INTO {name} VALUES (?)"), vec![value]).await.expect(ty);
            }
            let found = db.query(format!("SELECT v FROM {name} ORDER BY v IS NULL"), Vec::new()).await;
            let found = found.expect(ty);
            assert_eq!(found.columns[0].kind, kind, "{ty}");
            assert_eq!(found.collect().await.expect(ty), [[expected], [Value::Null]], "{ty}");
        }
        let error = one(&db, "SELECT ?", &[Value::Timestamp(1)]).await.unwrap_err();
        assert!(matches!(error, Error::Parameter(_)), "{error:?}");
    });
}
