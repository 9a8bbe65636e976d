//! The embedded store: its file, its errors, its neighbours.

use super::*;
use rusqlite::Connection;
use sampan_testing::temp_dir;

fn backend(path: &Path) -> KeyValueBackend {
    KeyValueBackend::sqlite(path)
}

async fn error(path: &Path) -> crate::GrantError {
    open(backend(path), false).await.err().expect("an error")
}

#[test]
fn the_file_and_its_folder_are_made_and_kept() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("a/b/state.sqlite");
        opened(backend(&path)).await.set("k".to_owned(), b"v".to_vec()).await.expect("a write");
        let entry = opened(backend(&path)).await.get("k".to_owned()).await.expect("an answer");
        assert_eq!(entry.expect("a value").value, b"v");
    });
}

#[test]
fn the_layout_is_daprs() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        let store = opened(backend(&path)).await;
        store.set("text".to_owned(), b"plain".to_vec()).await.expect("a write");
        store.set("bytes".to_owned(), vec![0, 255]).await.expect("a write");
        let db = Connection::open(&path).expect("another connection");
        let row = |key: &str| {
            let sql =
                "SELECT value, is_binary, length(etag), expiration_time IS NULL FROM state WHERE key = ?1";
            db.query_row(sql, [key], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, bool>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, bool>(3)?,
                ))
            })
            .expect("a row")
        };
        assert_eq!(row("text"), ("plain".to_owned(), false, 36, true));
        assert_eq!(row("bytes"), ("AP8=".to_owned(), true, 36, true));
        // As Dapr writes: whole seconds, base64 for bytes, JSON for the rest.
        db.execute_batch(
            "INSERT INTO state (key, value, is_binary, etag) VALUES ('app||json', '{\"a\":1}', 0, 'x');
         INSERT INTO state (key, value, is_binary, etag, expiration_time)
            VALUES ('app||bytes', 'AQI=', 1, 'y', DATETIME(CURRENT_TIMESTAMP, '+3600 seconds'));
         INSERT INTO state (key, value, is_binary, etag, expiration_time)
            VALUES ('app||old', 'x', 0, 'z', DATETIME(CURRENT_TIMESTAMP, '-1 seconds'));
         INSERT INTO state (key, value, is_binary, etag) VALUES ('bad', '*', 1, 'x');",
        )
        .expect("rows");
        let get =
            async |key: &str| store.get(key.to_owned()).await.map(|entry| entry.map(|entry| entry.value));
        assert_eq!(get("app||json").await, Ok(Some(b"{\"a\":1}".to_vec())));
        assert_eq!(get("app||bytes").await, Ok(Some(vec![1, 2])));
        assert_eq!(get("app||old").await, Ok(None), "expired rows are invisible at once");
        assert!(get("bad").await.is_err_and(|error| error.to_string().contains("base64")));
        let keys = store.keys().await.expect("keys");
        assert_eq!(keys, ["app||bytes", "app||json", "bad", "bytes", "text"]);
    });
}

#[test]
fn expired_rows_are_swept_when_the_store_is_opened() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        drop(opened(backend(&path)).await);
        let db = Connection::open(&path).expect("another connection");
        db.execute_batch(
            "INSERT INTO state (key, value, is_binary, etag, expiration_time)
         VALUES ('old', 'x', 0, 'z', DATETIME(CURRENT_TIMESTAMP, '-1 seconds'))",
        )
        .expect("a row");
        let _store = opened(backend(&path)).await;
        let rows =
            || db.query_row("SELECT count(*) FROM state", [], |row| row.get::<_, u32>(0)).expect("a count");
        eventually(async || (rows() == 0).then_some(())).await;
    });
}

#[test]
fn what_is_no_store_is_said_with_help() {
    run(async {
        let folder = temp_dir();
        let garbage = folder.path().join("garbage");
        std::fs::write(&garbage, "this is no database, and long enough to tell ".repeat(40)).expect("a file");
        let file = folder.path().join("garbage/state.sqlite");
        let foreign = folder.path().join("foreign");
        let db = Connection::open(&foreign).expect("a database");
        db.execute_batch("CREATE TABLE state (key TEXT, city TEXT)").expect("a table");
        let table: [(&Path, &str, &str); 4] = [
            (&garbage, "is not a SQLite database, or it is damaged", "move it away"),
            (&file, "cannot create the folder", "name a file in a folder"),
            (folder.path(), "cannot open the store", "it must be a file"),
            (&foreign, "whose table is not a key-value store: no such column: value", "name another file"),
        ];
        for (path, what, help) in table {
            let error = error(path).await;
            assert!(error.what.contains(what), "{}: {}", path.display(), error.what);
            assert!(error.help.as_ref().is_some_and(|text| text.contains(help)), "{:?}", error.help);
        }
        assert!(
            std::fs::read_to_string(&garbage).expect("the file").starts_with("this is no"),
            "nothing is lost"
        );
    });
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_start() {
    run(async {
        use std::os::unix::fs::PermissionsExt;
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        drop(opened(backend(&path)).await);
        for (path, mode) in [(path.as_path(), 0o444), (folder.path(), 0o555)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        }
        if rustix::process::geteuid().is_root() {
            // Modes are nothing to root: no test without them.
            return;
        }
        let error = error(&path).await;
        assert!(error.what.contains("cannot be written to"), "{}", error.what);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    });
}

#[test]
fn a_lazy_store_is_opened_by_its_first_use() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("file/state.sqlite");
        std::fs::write(folder.path().join("file"), "").expect("a file in the way");
        let slot = open(backend(&path), true).await.expect("nothing is opened yet");
        let error = slot.store().await.err().expect("it cannot be opened");
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("cannot create the folder")));
        std::fs::remove_file(folder.path().join("file")).expect("the file is removed");
        slot.store().await.expect("it opens now").set("k".to_owned(), vec![]).await.expect("a write");
    });
}

#[test]
fn two_that_share_a_file_see_each_others_writes() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        let stores = [opened(backend(&path)).await, opened(backend(&path)).await];
        let tasks = (0..16).map(|number: usize| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    store.increment("n".to_owned(), 1).await.expect("no lock error");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        for store in stores {
            let entry = store.get("n".to_owned()).await.expect("an answer").expect("a value");
            assert_eq!(entry.value, b"160");
        }
    });
}

#[test]
fn a_failed_write_spoils_nobody_elses() {
    run(async {
        let folder = temp_dir();
        let store = opened(backend(&folder.path().join("state.sqlite"))).await;
        store.set("text".to_owned(), b"no number".to_vec()).await.expect("a write");
        let tasks = (0..64).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    store.increment("text".to_owned(), 1).await.map(drop)
                } else {
                    store.set(format!("key{number}"), b"v".to_vec()).await
                }
            })
        });
        for (number, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(task.await.expect("a task").is_ok(), number % 2 == 1, "{number}");
        }
        assert_eq!(store.keys().await.expect("keys").len(), 33);
    });
}

#[test]
fn many_that_open_a_new_file_at_once_all_can() {
    let folder = temp_dir();
    let settings = crate::keyvalue::sqlite::Settings {
        path: folder.path().join("state.sqlite"),
        table: "state".to_owned(),
        metadata_table: "metadata".to_owned(),
        busy_timeout: Duration::from_secs(5),
    };
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                Sqlite::open(&settings).map(drop).expect("a store");
            });
        }
    });
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    run(async {
        let folder = temp_dir();
        let store = Store::new(Sqlite::open_small(&folder.path().join("state.sqlite"), 64));
        let value = || vec![b'x'; 20_000];
        let mut written = 0;
        let error = loop {
            // Several at once, so that they share a transaction.
            let writes = (0..4).map(|one| store.set(format!("{written}-{one}"), value()));
            let done = futures::future::join_all(writes).await;
            match done.into_iter().find_map(Result::err) {
                Some(error) => break error,
                None => written += 1,
            }
        };
        assert_eq!(error, StoreError::Unavailable("the disk is full".to_owned()));
        assert!(written > 0);
        for number in 0..written {
            for one in 0..4 {
                let entry = store.get(format!("{number}-{one}")).await.expect("an answer");
                assert_eq!(entry.expect("what was acknowledged").value, value());
            }
        }
        for one in 0..4 {
            store.delete(format!("0-{one}")).await.expect("a deletion makes room");
        }
        store.set("again".to_owned(), value()).await.expect("a write");
    });
}
