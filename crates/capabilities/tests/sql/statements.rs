//! What is true of statements on every database.

use crate::with::{block_on, databases, handle, one, rows, run, table};
use sampan_capabilities::sql::{Error, Value};

#[test]
fn nulls_and_counts() {
    for database in databases() {
        let (granted, dialect, table) = (database.granted(), database.dialect, table());
        block_on(async {
            let db = handle(&granted, dialect).await;
            run(&db, &format!("CREATE TABLE {table} (a INTEGER, b VARCHAR(100))")).await;
            let (first, second) = (database.parameter(1), database.parameter(2));
            let insert = format!("INSERT INTO {table} VALUES ({first}, {second})");
            for params in [vec![Value::Null, Value::Null], vec![Value::Int32(1), Value::Text("é".into())]] {
                assert_eq!(db.execute(insert.clone(), params).await.unwrap().affected, 1, "{dialect:?}");
            }
            let all = rows(&db, &format!("SELECT a, b FROM {table} ORDER BY a IS NOT NULL"), &[]).await;
            let all = all.unwrap();
            assert_eq!(all[0], [Value::Null, Value::Null], "{dialect:?}");
            assert_eq!(all[1][1], Value::Text("é".into()), "{dialect:?}");
            assert_eq!(run(&db, &format!("UPDATE {table} SET a = 2")).await, 2, "{dialect:?}");
            let none = db.query(format!("SELECT a FROM {table} WHERE a = 9"), Vec::new()).await.unwrap();
            assert_eq!(none.columns[0].name, "a", "{dialect:?}");
            assert_eq!(none.collect().await.unwrap(), Vec::<Vec<Value>>::new(), "{dialect:?}");
        });
    }
}

#[test]
fn errors_leave_the_handle_usable() {
    for database in databases() {
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let db = handle(&granted, dialect).await;
            let statement = format!("SELECT {}", database.parameter(1));
            let error = rows(&db, &statement, &[]).await.unwrap_err();
            assert!(matches!(error, Error::Parameter(_)), "{dialect:?}: {error:?}");
            for statement in ["SELECT FROM WHERE", "SELECT * FROM no_such_table"] {
                let error = rows(&db, statement, &[]).await.unwrap_err();
                assert!(matches!(error, Error::Query(_)), "{dialect:?}: {error:?}");
            }
            let long = format!("SELECT 1 -- {}", "x".repeat(2 << 20));
            assert!(matches!(rows(&db, &long, &[]).await, Err(Error::Query(_))), "{dialect:?}");
            assert_eq!(rows(&db, "SELECT 1", &[]).await.unwrap().len(), 1, "{dialect:?}");
        });
    }
}

#[test]
fn a_parameter_is_never_part_of_the_statement() {
    for database in databases() {
        let (granted, dialect, table) = (database.granted(), database.dialect, table());
        block_on(async {
            let db = handle(&granted, dialect).await;
            run(&db, &format!("CREATE TABLE {table} (name VARCHAR(200))")).await;
            let insert = format!("INSERT INTO {table} VALUES ({})", database.parameter(1));
            let select = format!("SELECT name FROM {table} WHERE name = {}", database.parameter(1));
            let attacks = [
                format!("x'); DROP TABLE {table}; --"),
                format!("\\'; DROP TABLE {table}; --"),
                "' OR '1'='1".to_owned(),
                "\" OR \"\"=\"".to_owned(),
                "$1 ? :name @x %s".to_owned(),
            ];
            for attack in &attacks {
                let value = Value::Text(attack.clone());
                db.execute(insert.clone(), vec![value.clone()]).await.expect(attack);
                assert_eq!(one(&db, &select, std::slice::from_ref(&value)).await, Ok(value), "{dialect:?}");
            }
            let all = rows(&db, &format!("SELECT name FROM {table}"), &[]).await.unwrap();
            assert_eq!(all.len(), attacks.len(), "{dialect:?}");
        });
    }
}

#[test]
fn a_transaction_stays_on_its_handle() {
    for database in databases() {
        let (granted, dialect, table) = (database.granted(), database.dialect, table());
        block_on(async {
            let (writer, reader) = (handle(&granted, dialect).await, handle(&granted, dialect).await);
            run(&writer, &format!("CREATE TABLE {table} (a INTEGER)")).await;
            let count = format!("SELECT COUNT(*) FROM {table}");
            for (end, expected) in [("ROLLBACK", 0), ("COMMIT", 1)] {
                run(&writer, "BEGIN").await;
                run(&writer, &format!("INSERT INTO {table} VALUES (1)")).await;
                assert_eq!(one(&writer, &count, &[]).await, Ok(Value::Int64(1)), "{dialect:?}");
                assert_eq!(one(&reader, &count, &[]).await, Ok(Value::Int64(0)), "{dialect:?}");
                run(&writer, end).await;
                assert_eq!(one(&reader, &count, &[]).await, Ok(Value::Int64(expected)), "{dialect:?} {end}");
            }
        });
    }
}

#[test]
fn large_results_are_refused_where_they_are_collected_and_stream_where_not() {
    const MIB: usize = 1 << 20;
    for database in databases() {
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let db = handle(&granted, dialect).await;
            let large = database.many(60, MIB);
            let error = rows(&db, &large, &[]).await.unwrap_err();
            assert!(
                matches!(&error, Error::Other(text) if text.contains("32 MiB")),
                "{dialect:?}: {error:?}"
            );
            // Giving up may have cost the handle its connection; another one has a new connection.
            let db = handle(&granted, dialect).await;
            let mut streamed = db.query(large, Vec::new()).await.unwrap();
            let mut count = 0;
            while let Some(row) = streamed.next().await {
                assert!(matches!(&row.unwrap()[..], [Value::Text(text)] if text.len() == MIB), "{dialect:?}");
                count += 1;
            }
            assert_eq!(count, 60, "{dialect:?}");
        });
    }
}

#[test]
fn a_transaction_survives_rows_that_are_not_read() {
    for database in databases() {
        let (granted, dialect, table) = (database.granted(), database.dialect, table());
        block_on(async {
            let db = handle(&granted, dialect).await;
            run(&db, &format!("CREATE TABLE {table} (a INTEGER)")).await;
            run(&db, "BEGIN").await;
            run(&db, &format!("INSERT INTO {table} VALUES (1)")).await;
            let mut many = db.query(database.many(2000, 1000), Vec::new()).await.unwrap();
            assert!(many.next().await.unwrap().is_ok());
            drop(many);
            run(&db, "COMMIT").await;
            let count = one(&db, &format!("SELECT COUNT(*) FROM {table}"), &[]).await;
            assert_eq!(count, Ok(Value::Int64(1)), "{dialect:?}");
        });
    }
}

#[test]
fn statements_between_the_rows_of_another() {
    for database in databases() {
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let db = handle(&granted, dialect).await;
            // More than is read ahead.
            let mut many = db.query(database.many(2000, 1000), Vec::new()).await.unwrap();
            assert!(many.next().await.unwrap().is_ok());
            assert_eq!(rows(&db, "SELECT 1", &[]).await.unwrap().len(), 1, "{dialect:?}");
            assert_eq!(many.collect().await.unwrap().len(), 1999, "{dialect:?}");
            // And more than may be kept for that.
            let mut many = db.query(database.many(60, 1 << 20), Vec::new()).await.unwrap();
            assert!(many.next().await.unwrap().is_ok());
            let _ = rows(&db, "SELECT 1", &[]).await;
            let mut last = Ok(Vec::new());
            while let Some(row) = many.next().await {
                last = row;
            }
            assert!(matches!(last, Err(Error::Other(_))), "{dialect:?}: {last:?}");
        });
    }
}

#[test]
fn the_statements_of_the_manifest_run_before_the_first_handle() {
    for mut database in databases() {
        let (dialect, table) = (database.dialect, table());
        database.store.init =
            Some(format!("CREATE TABLE {table} (a INTEGER); INSERT INTO {table} VALUES (7);"));
        let granted = database.granted();
        block_on(async {
            let handles = [handle(&granted, dialect).await, handle(&granted, dialect).await];
            for db in handles {
                let found = rows(&db, &format!("SELECT a FROM {table}"), &[]).await.unwrap();
                assert_eq!(found.len(), 1, "{dialect:?}");
            }
        });
    }
}
