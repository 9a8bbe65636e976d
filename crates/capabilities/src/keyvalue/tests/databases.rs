//! Stores in databases: what can be wrong with a server, and expired rows.

use super::suite::text;
use super::*;

async fn set(store: &Store) -> Result<(), StoreError> {
    store.set(text("k"), b"v".to_vec()).await
}

#[test]
fn a_server_that_dies_is_an_error_until_it_is_back() {
    run(async {
        let Some(mut server) = Postgres::start() else { return };
        let database = tables(&server.url());
        let store = opened(KeyValueBackend::Postgres { layout: PostgresLayout::V2, database }).await;
        set(&store).await.expect("a write");
        server.kill();
        let error = set(&store).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
        server.restart();
        eventually(async || set(&store).await.ok()).await;
        let Some(mut server) = MariaDb::start() else { return };
        let (schema, database) = (text("mine"), tables(&server.url()));
        let store = opened(KeyValueBackend::MySql { schema, database }).await;
        set(&store).await.expect("a write");
        server.kill();
        let error = set(&store).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
        server.restart();
        eventually(async || set(&store).await.ok()).await;
    });
}

#[test]
fn a_server_that_is_down_or_refuses_is_an_error_at_start_without_the_password() {
    run(async {
        let port = sampan_testing::free_port();
        let layout = PostgresLayout::V2;
        let url = format!("127.0.0.1:{port}/d");
        let database = tables(&format!("postgres://u:hunter2@{url}"));
        let postgres = KeyValueBackend::Postgres { layout, database };
        let database = tables(&format!("mysql://u:hunter2@{url}"));
        let mysql = KeyValueBackend::MySql { schema: text("s"), database };
        let database = tables("postgres://hunter2");
        let wrong = KeyValueBackend::Postgres { layout, database };
        let mut table = vec![
            (postgres.clone(), format!("cannot connect to postgres://127.0.0.1:{port}")),
            (mysql, format!("cannot connect to mysql://127.0.0.1:{port}")),
            (wrong, "the address names no user".to_owned()),
        ];
        if let Some(server) = super::postgres() {
            let database = tables(&format!("postgres://sampan:hunter2@127.0.0.1:{}/postgres", server.port));
            table.push((
                KeyValueBackend::Postgres { layout, database },
                "password authentication failed".to_owned(),
            ));
        }
        for (backend, what) in table {
            let error = open(backend, false).await.err().expect(&what);
            assert!(error.what.contains(&what), "{}", error.what);
            assert!(error.help.is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let lazy =
            open(postgres, true).await.expect("lazy stores wait").store().await.expect("an open store");
        assert!(matches!(set(&lazy).await.unwrap_err(), StoreError::Unavailable(_)));
    });
}

#[test]
fn expired_rows_are_swept() {
    run(async {
        let mut stores = Vec::new();
        for backend in
            [postgres_backend(PostgresLayout::V1), postgres_backend(PostgresLayout::V2), mariadb_backend()]
        {
            let Some(mut backend) = backend else { return };
            let (KeyValueBackend::Postgres { database, .. } | KeyValueBackend::MySql { database, .. }) =
                &mut backend
            else {
                unreachable!("it is a database")
            };
            database.cleanup = Some(Duration::from_millis(10));
            stores.push((opened(backend.clone()).await, backend));
        }
        for (store, backend) in stores {
            let soon = Some(Duration::from_millis(1));
            store.set_if(text("k"), b"1".to_vec(), soon, Condition::Always).await.expect("a write");
            store.set(text("stays"), b"1".to_vec()).await.expect("a write");
            eventually(async || (cross_read::count(&backend).await == 1).then_some(())).await;
        }
    });
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    run(async {
        let Some(backend) = mariadb_backend() else { return };
        let store = opened(backend).await;
        let longest = "ü".repeat(255);
        store.set(longest.clone(), vec![]).await.expect("255 characters");
        let longer = longest + "x";
        let refused = StoreError::TooLarge { what: "a key", bytes: 256, max: 255 };
        assert_eq!(store.set(longer.clone(), vec![]).await, Err(refused.clone()));
        assert_eq!(store.get(longer.clone()).await, Err(refused.clone()));
        assert_eq!(store.get_many(vec![longer]).await, Err(refused));
        let Some(backend) = postgres_backend(PostgresLayout::V2) else { return };
        let error = opened(backend).await.set(text("a\0b"), vec![]).await.unwrap_err();
        assert!(error.to_string().contains("no character 0"), "{error}");
    });
}

#[test]
fn many_that_make_the_tables_at_once_all_can() {
    run(async {
        for backend in
            [postgres_backend(PostgresLayout::V1), postgres_backend(PostgresLayout::V2), mariadb_backend()]
        {
            let Some(backend) = backend else { return };
            let opening = (0..6).map(|_| opened(backend.clone()));
            for store in futures::future::join_all(opening).await {
                set(&store).await.expect("a write");
            }
        }
    });
}

#[test]
fn notes_of_another_table_are_an_error_at_start() {
    run(async {
        let Some(KeyValueBackend::Postgres { layout, mut database }) = postgres_backend(PostgresLayout::V1)
        else {
            return;
        };
        drop(opened(KeyValueBackend::Postgres { layout, database: database.clone() }).await);
        // Dapr's first layout notes how far it is without the name of the table.
        database.table = "never_made".to_owned();
        let error =
            open(KeyValueBackend::Postgres { layout, database }, false).await.err().expect("no such table");
        assert!(error.what.contains("never_made"), "{}", error.what);
    });
}
