//! What SQLite does not do for a guest.

use crate::with::{app, block_on, grants, handle, one, open_databases, rows, run, sqlite};
use sampan_capabilities::Explain;
use sampan_capabilities::sql::{Dialect, Error, Granted, Value};
use std::sync::Arc;

#[test]
fn no_other_file_is_reached() {
    let database = sqlite();
    let granted = database.granted();
    let outside = sampan_testing::temp_dir();
    let file = outside.path().join("other.db").display().to_string();
    block_on(async {
        let db = handle(&granted, Dialect::Sqlite).await;
        let statements = [
            format!("ATTACH '{file}' AS other"),
            format!("ATTACH 'file:{file}?mode=rwc' AS other"),
            format!("ATTACH ('{file}') AS other"),
            format!("ATTACH '{}' || '' AS other", file),
            format!("VACUUM INTO '{file}'"),
            "ATTACH ':memory:' AS other".to_owned(),
            "SELECT load_extension('/lib/x')".to_owned(),
            "SELECT fts3_tokenizer('simple')".to_owned(),
            "PRAGMA writable_schema = 1".to_owned(),
            "PRAGMA temp_store_directory = '/tmp'".to_owned(),
            "PRAGMA data_store_directory = '/tmp'".to_owned(),
            "PRAGMA database_list".to_owned(),
            "SELECT * FROM pragma_database_list".to_owned(),
            "PRAGMA hard_heap_limit = 1".to_owned(),
            "UPDATE sqlite_schema SET sql = ''".to_owned(),
            "SELECT readfile('/etc/passwd')".to_owned(),
        ];
        for statement in &statements {
            let result = rows(&db, statement, &[]).await;
            assert!(matches!(result, Err(Error::Query(_))), "{statement}: {result:?}");
        }
        for statement in ["ATTACH ? AS other", "VACUUM INTO ?"] {
            let result = rows(&db, statement, &[Value::Text(file.clone())]).await;
            assert!(matches!(result, Err(Error::Query(_))), "{statement}: {result:?}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "a file outside");
        assert_eq!(rows(&db, "SELECT 1", &[]).await.unwrap(), [[Value::Int64(1)]]);
    });
}

#[test]
fn what_programs_usually_do_works() {
    let database = sqlite();
    let granted = database.granted();
    block_on(async {
        let db = handle(&granted, Dialect::Sqlite).await;
        for statement in [
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
            "PRAGMA foreign_keys = ON",
            "PRAGMA user_version = 7",
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
            "CREATE VIRTUAL TABLE words USING fts5(word)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO words VALUES (new.b); END",
            "INSERT INTO t (b) VALUES ('boat')",
            "CREATE TEMPORARY TABLE u AS SELECT * FROM t",
            "SAVEPOINT s",
            "RELEASE s",
            "ALTER TABLE t ADD COLUMN c",
            "CREATE VIEW v AS SELECT * FROM t",
            "ANALYZE",
            "REINDEX",
            "VACUUM",
        ] {
            rows(&db, statement, &[]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let table = [
            ("PRAGMA user_version", Value::Int64(7)),
            ("SELECT word FROM words WHERE words MATCH 'boat'", Value::Text("boat".into())),
            ("SELECT json_extract('{\"a\":2}', '$.a')", Value::Int64(2)),
            // Set by the guest, but ours.
            ("PRAGMA synchronous", Value::Int64(2)),
            ("PRAGMA journal_mode", Value::Text("wal".into())),
        ];
        for (statement, expected) in table {
            assert_eq!(one(&db, statement, &[]).await, Ok(expected), "{statement}");
        }
        let columns = rows(&db, "PRAGMA table_info(t)", &[]).await.unwrap();
        assert_eq!(columns.len(), 3);
    });
}

#[test]
fn the_manifest_prepares_the_database_once() {
    let mut database = sqlite();
    database.store.init = Some("CREATE TABLE t (a); INSERT INTO t VALUES (1);".to_owned());
    database.store.lazy = false;
    let databases = Arc::new(open_databases(&app(&database.store)).unwrap());
    let granted = Granted::new(&databases, &grants(), &Explain::default()).unwrap();
    block_on(async {
        let handles = [handle(&granted, Dialect::Sqlite).await, handle(&granted, Dialect::Sqlite).await];
        for db in handles {
            assert_eq!(one(&db, "SELECT count(*) FROM t", &[]).await, Ok(Value::Int64(1)));
            assert!(rows(&db, "ATTACH 'x' AS y", &[]).await.is_err(), "after init the guest's rules hold");
        }
    });
    database.store.init = Some("CREATE TABEL t".to_owned());
    let error = open_databases(&app(&database.store)).err().expect("a syntax error");
    assert!(error.what.contains("sql.orders") && error.help.unwrap().contains("init"), "{}", error.what);
}

#[test]
fn writers_wait_for_each_other() {
    const WRITERS: usize = 4;
    const EACH: i64 = 50;
    let database = sqlite();
    let granted = Arc::new(database.granted());
    block_on(async {
        run(&handle(&granted, Dialect::Sqlite).await, "CREATE TABLE t (a)").await;
    });
    let threads: Vec<_> = (0..WRITERS)
        .map(|_| {
            let granted = Arc::clone(&granted);
            std::thread::spawn(move || {
                block_on(async {
                    let db = handle(&granted, Dialect::Sqlite).await;
                    for _ in 0..EACH {
                        assert_eq!(run(&db, "INSERT INTO t VALUES (1)").await, 1);
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no writer fails"));
    block_on(async {
        let db = handle(&granted, Dialect::Sqlite).await;
        let count = one(&db, "SELECT count(*) FROM t", &[]).await;
        assert_eq!(count, Ok(Value::Int64(EACH * i64::try_from(WRITERS).unwrap())));
    });
}
