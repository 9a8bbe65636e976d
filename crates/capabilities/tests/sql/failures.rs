//! Servers that are not there, go away, come back, or do not know us; and grants that do not cover a server.

use crate::with::{Database, app, at, block_on, eventually, grants, handle, open_databases, rows};
use sampan_app::{Grants, Origin, PortPattern};
use sampan_capabilities::sql::{Databases, Dialect, Error, Granted};
use sampan_capabilities::{Explain, GrantError};
use sampan_testing::free_port;
use sampan_testing::servers::{MariaDb, Postgres};
use std::sync::Arc;

fn started(database: &Database) -> Result<Databases, GrantError> {
    let mut store = database.store.clone();
    store.lazy = false;
    open_databases(&app(&store))
}

#[test]
fn a_server_that_is_down_at_start_is_an_error_unless_it_may_be() {
    let port = free_port();
    for (dialect, url) in [
        (Dialect::Postgres, format!("postgres://u:s3cret@127.0.0.1:{port}/d")),
        (Dialect::MySql, format!("mysql://u:s3cret@127.0.0.1:{port}/d")),
    ] {
        let database = at(dialect, &url);
        let error = started(&database).err().expect("nobody listens");
        assert!(error.what.contains("sql.orders") && error.what.contains(&port.to_string()), "{error}");
        assert!(error.help.as_ref().unwrap().contains("lazy = true"), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        let granted = database.granted();
        let opened = block_on(granted.open(dialect, "db", None));
        let Err(Error::Connection(text)) = opened else { panic!("{dialect:?}: {opened:?}") };
        assert!(!text.contains("s3cret"), "{text}");
    }
    let database = at(Dialect::Sqlite, "/proc/no/such/folder/x.db");
    let error = started(&database).err().expect("no such folder");
    assert!(error.what.contains("/proc/no/such"), "{error}");
}

#[test]
fn wrong_credentials_are_said_without_the_password() {
    let mut cases = Vec::new();
    if let Some(server) = crate::with::postgres() {
        let port = server.port;
        cases.push((
            Dialect::Postgres,
            format!("postgres://sampan:wr0ng@127.0.0.1:{port}/postgres"),
            "password",
        ));
        cases.push((Dialect::Postgres, server.url().replace("/postgres", "/nowhere"), "nowhere"));
    }
    if let Some(server) = crate::with::mariadb() {
        let port = server.port;
        cases.push((Dialect::MySql, format!("mysql://sampan:wr0ng@127.0.0.1:{port}/test"), "Access denied"));
        cases.push((Dialect::MySql, server.url().replace("/test", "/nowhere"), "nowhere"));
    }
    for (dialect, url, said) in cases {
        let error = started(&at(dialect, &url)).err().expect("not let in");
        assert!(error.what.contains(said), "{error}");
        assert!(error.help.as_ref().unwrap().contains("check user, password and database"), "{error:?}");
        let all = format!("{error:?}");
        assert!(!all.contains("wr0ng") && !all.contains("s3cret"), "{all}");
    }
}

/// Kills the server under open handles, and starts it again.
fn dies_and_comes_back(dialect: Dialect, url: &str, mut kill: impl FnMut(), mut restart: impl FnMut()) {
    let granted = at(dialect, url).granted();
    block_on(async {
        let (used, idle) = (handle(&granted, dialect).await, handle(&granted, dialect).await);
        rows(&used, "SELECT 1", &[]).await.unwrap();
        // One connection in the pool, one in use, one in use that was not used yet.
        drop(handle(&granted, dialect).await);
        kill();
        for db in [&used, &idle] {
            let error = rows(db, "SELECT 1", &[]).await.unwrap_err();
            assert!(matches!(error, Error::Connection(_) | Error::Query(_)), "{error:?}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        eventually(true, async || {
            matches!(granted.open(dialect, "db", None).await, Err(Error::Connection(_)))
        })
        .await;
        drop((used, idle));
        restart();
        eventually(true, async || match granted.open(dialect, "db", None).await {
            Ok(db) => rows(&db, "SELECT 1", &[]).await.is_ok(),
            Err(_) => false,
        })
        .await;
        // From now on every connection works: none of the dead ones is left.
        let mut handles = Vec::new();
        for _ in 0..4 {
            handles.push(handle(&granted, dialect).await);
        }
        for db in &handles {
            rows(db, "SELECT 1", &[]).await.unwrap();
        }
    });
}

#[test]
fn postgres_dies_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let url = server.url();
    let server = std::cell::RefCell::new(server);
    dies_and_comes_back(
        Dialect::Postgres,
        &url,
        || server.borrow_mut().kill(),
        || server.borrow_mut().restart(),
    );
}

#[test]
fn mariadb_dies_and_comes_back() {
    let Some(server) = MariaDb::start() else { return };
    let url = server.url();
    let server = std::cell::RefCell::new(server);
    dies_and_comes_back(
        Dialect::MySql,
        &url,
        || server.borrow_mut().kill(),
        || server.borrow_mut().restart(),
    );
}

fn reaching(origins: &[(&str, u16)]) -> Granted {
    let origin = |(scheme, port): &(&str, u16)| Origin {
        scheme: Some((*scheme).to_owned()),
        host: "127.0.0.1".parse().unwrap(),
        port: PortPattern::One(*port),
    };
    let databases = Arc::new(open_databases(&sampan_app::App::default()).unwrap());
    let grants = Grants { services: origins.iter().map(origin).collect(), ..Grants::default() };
    Granted::new(&databases, &grants, &Explain::default()).unwrap()
}

#[test]
fn an_address_must_be_granted() {
    let Some(server) = crate::with::postgres() else { return };
    let url = server.url();
    let refusing = [reaching(&[]), reaching(&[("mysql", server.port)]), reaching(&[("postgres", 1)])];
    let granted = reaching(&[("postgres", server.port)]);
    block_on(async {
        for granted in refusing {
            let opened = granted.open(Dialect::Postgres, &url, None).await;
            let Err(Error::Denied(text)) = opened else { panic!("{opened:?}") };
            assert!(text.contains("127.0.0.1") && !text.contains("s3cret"), "{text}");
        }
        let words =
            format!("host=127.0.0.1 port={} user=sampan password='s3cret/päss' dbname=postgres", server.port);
        for address in [&url, &words] {
            let db = granted.open(Dialect::Postgres, address, None).await.expect("granted");
            rows(&db, "SELECT 1", &[]).await.unwrap();
        }
        let opened = granted.open(Dialect::MySql, &url.replace("postgres:", "mysql:"), None).await;
        assert!(matches!(opened, Err(Error::Denied(_))), "{opened:?}");
    });
}

#[test]
fn names_must_be_granted_and_of_the_right_kind() {
    let database = crate::with::sqlite();
    let granted = database.granted();
    block_on(async {
        let opened = granted.open(Dialect::Sqlite, "default", None).await;
        assert!(matches!(opened, Err(Error::Denied(_))), "{opened:?}");
        let opened = granted.open(Dialect::Postgres, "db", None).await;
        assert!(matches!(opened, Err(Error::NoSuchDatabase)), "{opened:?}");
        let opened = granted.open(Dialect::MySql, "db2", None).await;
        assert!(matches!(opened, Err(Error::Connection(_))), "{opened:?}");
    });
    let databases = Arc::new(open_databases(&sampan_app::App::default()).unwrap());
    let error = Granted::new(&databases, &grants(), &Explain::default()).err().expect("no such store");
    assert!(error.what.contains("orders") && error.help.unwrap().contains("[sql.orders]"), "{}", error.what);
}

#[test]
fn transfers_between_the_server_and_the_client_are_refused() {
    let mut cases = Vec::new();
    cases.extend(crate::with::postgres().map(|server| {
        (Dialect::Postgres, server.url(), vec!["COPY transfer FROM STDIN", "COPY transfer TO STDOUT"])
    }));
    cases.extend(crate::with::mariadb().map(|server| {
        (Dialect::MySql, server.url(), vec!["LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE transfer"])
    }));
    for (dialect, url, statements) in cases {
        let granted = at(dialect, &url).granted();
        block_on(async {
            let db = handle(&granted, dialect).await;
            crate::with::run(&db, "CREATE TABLE transfer (a TEXT)").await;
            for statement in statements {
                let db = handle(&granted, dialect).await;
                assert!(rows(&db, statement, &[]).await.is_err(), "{statement}");
                drop(db);
            }
            let db = handle(&granted, dialect).await;
            assert_eq!(rows(&db, "SELECT a FROM transfer", &[]).await.unwrap().len(), 0, "{dialect:?}");
        });
    }
}
