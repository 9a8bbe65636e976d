//! Connections: shared, bounded, cleaned, and given up when nobody waits for them.

use crate::with::{block_on, databases, eventually, handle, one, rows, run, table};
use sampan_capabilities::sql::{Connection, Dialect, Error, Value};
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

#[test]
fn a_dropped_handle_leaves_nothing_to_the_next() {
    for mut database in databases() {
        // One connection, so that the next handle gets the same.
        database.store.connections = 1;
        let (granted, dialect, table) = (database.granted(), database.dialect, table());
        block_on(async {
            let db = handle(&granted, dialect).await;
            run(&db, &format!("CREATE TABLE {table} (a INTEGER)")).await;
            run(&db, "CREATE TEMPORARY TABLE mine (a INTEGER)").await;
            match dialect {
                Dialect::Postgres => run(&db, "SET application_name = 'mine'").await,
                Dialect::MySql => run(&db, "SET @mine = 1, SESSION sql_mode = ''").await,
                Dialect::Sqlite => run(&db, "PRAGMA recursive_triggers = 1").await,
            };
            run(&db, "BEGIN").await;
            run(&db, &format!("INSERT INTO {table} VALUES (1)")).await;
            drop(db);

            let db = handle(&granted, dialect).await;
            let count = one(&db, &format!("SELECT COUNT(*) FROM {table}"), &[]).await;
            assert_eq!(count, Ok(Value::Int64(0)), "{dialect:?}: the transaction was rolled back");
            assert!(rows(&db, "SELECT * FROM mine", &[]).await.is_err(), "{dialect:?}: no temporary table");
            let (statement, expected) = match dialect {
                Dialect::Postgres => ("SHOW application_name", Value::Text("sampan".into())),
                Dialect::MySql => ("SELECT @mine", Value::Null),
                Dialect::Sqlite => ("PRAGMA recursive_triggers", Value::Int64(0)),
            };
            assert_eq!(one(&db, statement, &[]).await, Ok(expected), "{dialect:?}");
        });
    }
}

#[test]
fn connections_are_bounded_and_so_is_the_wait() {
    for mut database in databases() {
        database.store.connections = 2;
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let (first, _second) = (handle(&granted, dialect).await, handle(&granted, dialect).await);
            let Err(Error::Connection(text)) = granted.open(dialect, "db", None).await else {
                panic!("{dialect:?}: a third connection");
            };
            assert!(text.contains("all 2 connections") && !text.contains("s3cret"), "{text}");
            // A handle that goes lets a waiting one in.
            let waiting = granted.open(dialect, "db", None);
            let (third, ()) = futures::join(waiting, async { drop(first) }).await;
            assert_eq!(rows(&third.expect("a connection"), "SELECT 1", &[]).await.unwrap().len(), 1);
        });
    }
}

mod futures {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    /// Both, at once.
    pub async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
        let (mut a, mut b) = (pin!(a), pin!(b));
        let (mut first, mut second) = (None, None);
        poll_fn(|cx| {
            if first.is_none()
                && let Poll::Ready(value) = a.as_mut().poll(cx)
            {
                first = Some(value);
            }
            if second.is_none()
                && let Poll::Ready(value) = b.as_mut().poll(cx)
            {
                second = Some(value);
            }
            if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        (first.expect("ready"), second.expect("ready"))
    }
}

#[test]
fn a_statement_has_a_time_limit() {
    for mut database in databases() {
        database.store.statement_timeout = Duration::from_secs(2);
        database.store.connections = 1;
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let db = handle(&granted, dialect).await;
            let error = rows(&db, database.endless(), &[]).await.unwrap_err();
            let Error::Query(error) = error else { panic!("{dialect:?}: {error:?}") };
            assert!(error.text.contains("took longer than 2s"), "{dialect:?}: {}", error.text);
            // The only connection is free again for a new handle, though the old one is still there.
            let next = handle(&granted, dialect).await;
            assert_eq!(rows(&next, "SELECT 1", &[]).await.unwrap().len(), 1, "{dialect:?}");
            assert!(matches!(rows(&db, "SELECT 1", &[]).await, Err(Error::Connection(_))), "{dialect:?}");
        });
    }
}

/// Statements that the server runs for others than the one who asks, and that mention sleeping.
async fn asleep(observer: &Connection, dialect: Dialect, marker: &str) -> usize {
    let list = match dialect {
        Dialect::Postgres => "SELECT query FROM pg_stat_activity WHERE state = 'active'",
        _ => "SELECT info FROM information_schema.processlist WHERE info IS NOT NULL",
    };
    let listed = rows(observer, list, &[]).await.expect("a list");
    listed.iter().filter(|row| matches!(&row[0], Value::Text(text) if text.contains(marker))).count()
}

#[test]
fn a_statement_that_nobody_waits_for_ends_on_the_server() {
    for database in databases() {
        let (granted, dialect) = (database.granted(), database.dialect);
        if dialect == Dialect::Sqlite {
            continue;
        }
        block_on(async {
            let (observer, db) = (handle(&granted, dialect).await, handle(&granted, dialect).await);
            let marker = format!("/* {} */", table());
            let statement = format!("{marker} {}", database.endless());
            let mut waiting = Box::pin(db.query(statement, Vec::new()));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            eventually(1, async || asleep(&observer, dialect, &marker).await).await;
            drop(waiting);
            eventually(0, async || asleep(&observer, dialect, &marker).await).await;
        });
    }
}

#[test]
fn rows_that_nobody_reads_free_the_connection() {
    for mut database in databases() {
        database.store.connections = 1;
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            for _ in 0..3 {
                let db = handle(&granted, dialect).await;
                let mut many = db.query(database.many(100_000, 1000), Vec::new()).await.unwrap();
                assert!(many.next().await.unwrap().is_ok(), "{dialect:?}");
                // First the handle, then the rows.
                drop(db);
                assert!(many.next().await.unwrap().is_ok(), "{dialect:?}");
            }
        });
    }
}

#[test]
fn statements_that_wait_for_their_turn_are_bounded() {
    for database in databases() {
        let (granted, dialect) = (database.granted(), database.dialect);
        block_on(async {
            let db = handle(&granted, dialect).await;
            let mut started = Vec::new();
            let mut refused = None;
            for _ in 0..40 {
                let mut statement = Box::pin(db.query(database.endless().to_owned(), Vec::new()));
                match statement.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    std::task::Poll::Pending => started.push(statement),
                    std::task::Poll::Ready(result) => refused = Some(result),
                }
            }
            assert!(matches!(refused, Some(Err(Error::Other(_)))), "{dialect:?}: {refused:?}");
            drop(started);
            let large = Value::Binary(vec![0; 33 << 20]);
            let statement = format!("SELECT {}", database.parameter(1));
            let error = rows(&handle(&granted, dialect).await, &statement, &[large]).await.unwrap_err();
            assert!(matches!(error, Error::Parameter(_)), "{dialect:?}: {error:?}");
        });
    }
}
