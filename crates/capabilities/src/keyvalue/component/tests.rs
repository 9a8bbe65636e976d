//! Component files as Dapr's documents show them.

use super::*;

/// The metadata of a component.
type Metadata<'a> = &'a [(&'a str, &'a str)];

fn read(
    kind: &str,
    version: &str,
    values: &[(&str, &str)],
) -> Result<Option<KeyValueBackend>, PropertyError> {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
    describe(kind, version, &Properties::new("app", values))
}

fn good(kind: &str, version: &str, values: &[(&str, &str)]) -> KeyValueBackend {
    read(kind, version, values).expect("a description").expect("a type of ours")
}

#[test]
fn redis_is_described_in_daprs_layout() {
    let table: [(Metadata<'_>, &str, Option<u64>); 6] = [
        (&[("redisHost", "localhost:6379"), ("redisPassword", "")], "redis://localhost:6379/0", None),
        (&[("redisHost", "h"), ("redisDB", "3"), ("ttlInSeconds", "60")], "redis://h:6379/3", Some(60)),
        (&[("redisHost", "h:1"), ("enableTLS", "true"), ("ttlInSeconds", "-1")], "rediss://h:1/0", None),
        (
            &[("redisHost", "h:1"), ("redisUsername", "us:er"), ("redisPassword", "p@ss/wo rd")],
            "redis://us%3Aer:p%40ss%2Fwo%20rd@h:1/0",
            None,
        ),
        (&[("redisHost", "a:1, b:2"), ("redisType", "node"), ("failover", "false")], "redis://a:1/0", None),
        (
            &[("redisHost", "[::1]:7"), ("poolSize", "20"), ("redisMaxRetries", "5")],
            "redis://[::1]:7/0",
            None,
        ),
    ];
    for (values, expected, seconds) in table {
        let expected = KeyValueBackend::Redis {
            url: Secret::new(expected),
            prefix: String::new(),
            layout: RedisLayout::Dapr,
            ttl: seconds.map(Duration::from_secs),
        };
        assert_eq!(good("state.redis", "v1", values), expected, "{values:?}");
    }
}

#[test]
fn sqlite_is_described_by_its_connection_string() {
    let table = [
        ("data.db", "data.db"),
        ("/var/lib/data.db", "/var/lib/data.db"),
        ("file:data.db?_pragma=busy_timeout(1)", "data.db"),
        ("file:///var/data.db", "/var/data.db"),
        (":memory:", ":memory:"),
        ("file::memory:", ":memory:"),
        ("file:x?mode=memory&cache=shared", ":memory:"),
    ];
    for (written, path) in table {
        let backend = good("state.sqlite", "v1", &[("connectionString", written)]);
        assert_eq!(backend, KeyValueBackend::sqlite(path), "{written}");
    }
    let values = [
        ("connectionString", "a"),
        ("tableName", "things"),
        ("metadataTableName", "notes"),
        ("busyTimeout", "800ms"),
        ("cleanupInterval", "1h"),
    ];
    let expected = KeyValueBackend::Sqlite {
        path: "a".into(),
        table: "things".to_owned(),
        metadata_table: "notes".to_owned(),
        busy_timeout: Duration::from_millis(800),
    };
    assert_eq!(good("state.sqlite", "v1", &values), expected);
}

#[test]
fn postgres_is_described_by_words_a_url_or_fields() {
    let table: [(Metadata<'_>, &str); 5] = [
        (
            &[("connectionString", "host=h user=u password='a \\' b' port=5 connect_timeout=10 database=d")],
            "host='h' user='u' password='a \\' b' port='5' connect_timeout='10' dbname='d'",
        ),
        (
            &[("connectionString", "postgres://u:p@h:5/d?sslmode=disable&pool_max_conns=7")],
            "postgres://u:p@h:5/d?sslmode=disable",
        ),
        (
            &[("connectionString", "host=h user=u pool_max_conns=7"), ("user", "me"), ("password", "it's")],
            "host='h' user='me' password='it\\'s'",
        ),
        (
            &[("connectionString", "postgres://u@h/d"), ("password", "p/w"), ("port", "6")],
            "postgres://u:p%2Fw@h:6/d",
        ),
        (&[("host", "h"), ("user", "u"), ("database", "d")], "host='h' user='u' dbname='d'"),
    ];
    for (values, url) in table {
        let KeyValueBackend::Postgres { layout, database } = good("state.postgresql", "v2", values) else {
            panic!("{values:?}")
        };
        assert_eq!((layout, database.url.reveal()), (PostgresLayout::V2, url), "{values:?}");
        assert_eq!((database.table.as_str(), database.metadata_table.as_str()), ("state", "dapr_metadata"));
        let expected = if values[0].1.contains("pool_max_conns") { 7 } else { 16 };
        assert_eq!(database.connections, expected, "{values:?}");
        crate::sql::Server::of_manifest(&sampan_app::SqlStore {
            backend: sampan_app::SqlBackend::Postgres { url: database.url },
            lazy: true,
            connections: 1,
            statement_timeout: SECOND,
            init: None,
            ca: None,
        })
        .map(drop)
        .expect(url);
    }
    let values = [
        ("connectionString", "user=u"),
        ("tablePrefix", "own.my_"),
        ("timeout", "5"),
        ("cleanupInterval", "-1"),
    ];
    let KeyValueBackend::Postgres { database, .. } = good("state.postgres", "v2", &values) else { panic!() };
    assert_eq!(
        (database.table.as_str(), database.timeout, database.cleanup),
        ("own.my_state", SECOND * 5, None)
    );
    let values =
        [("connectionString", "user=u"), ("tableName", "own.things"), ("cleanupIntervalInSeconds", "60")];
    let KeyValueBackend::Postgres { layout, database } = good("state.postgresql", "v1", &values) else {
        panic!()
    };
    assert_eq!((layout, database.table.as_str()), (PostgresLayout::V1, "own.things"));
    assert_eq!(database.cleanup, Some(SECOND * 60));
}

#[test]
fn mysql_is_described_by_gos_form() {
    let table = [
        ("root:pass@tcp(h:3307)/?allowNativePasswords=true", "mysql://root:pass@h:3307/?ssl-mode=disabled"),
        ("root:p@s/s:@tcp(h)/db", "mysql://root:p%40s%2Fs%3A@h/?ssl-mode=disabled"),
        ("u@tcp([::1]:1)/?tls=true", "mysql://u@[::1]:1/?ssl-mode=verify-identity"),
        ("u@tcp(h:1)/?a=b&tls=skip-verify", "mysql://u@h:1/?ssl-mode=required"),
        ("u@/", "mysql://u@127.0.0.1:3306/?ssl-mode=disabled"),
        ("mysql://u@h/x", "mysql://u@h/x"),
    ];
    for (written, url) in table {
        let values = [("connectionString", written)];
        let KeyValueBackend::MySql { schema, database } = good("state.mysql", "v1", &values) else {
            panic!()
        };
        assert_eq!(database.url.reveal(), url, "{written}");
        assert_eq!((schema.as_str(), database.table.as_str()), ("dapr_state_store", "state"));
    }
    let values =
        [("connectionString", "u@tcp(h)/?tls=custom"), ("pemPath", "/ca.pem"), ("schemaName", "mine")];
    let KeyValueBackend::MySql { schema, database } = good("state.mysql", "", &values) else { panic!() };
    assert!(database.url.reveal().ends_with("ssl-mode=verify-ca"));
    assert_eq!((schema.as_str(), database.ca), ("mine", Some(PathBuf::from("/ca.pem"))));
}

#[test]
fn what_cannot_be_is_said_and_secrets_are_not() {
    let host = ("redisHost", "h:1");
    let words = ("connectionString", "user=u password=hunter2");
    let table: [(&str, &str, Metadata<'_>, &str, &str); 18] = [
        ("state.redis", "v1", &[], "redisHost", "lacks"),
        ("state.redis", "v2", &[host], "version", "there is no version \"v2\" of state.redis"),
        ("state.redis", "v1", &[host, ("redisType", "cluster")], "redisType", "nothing else is supported"),
        ("state.redis", "v1", &[host, ("failover", "true")], "failover", "Sentinel"),
        ("state.redis", "v1", &[host, ("sentinelMasterName", "m")], "sentinelMasterName", "Sentinel"),
        ("state.redis", "v1", &[host, ("clientCert", "hunter2")], "clientCert", "not supported"),
        ("state.redis", "v1", &[host, ("redisDB", "one")], "redisDB", "no whole number"),
        ("state.redis", "v1", &[host, ("ttlInSeconds", "soon")], "ttlInSeconds", "no whole number"),
        ("state.redis", "v1", &[("redisHost", ":hunter2@h:1")], "redisHost", "no address"),
        ("state.sqlite", "v1", &[("connectionString", "a"), ("tableName", "a;b")], "tableName", "no name"),
        ("state.sqlite", "v1", &[("connectionString", "file:a?mode=ro")], "connectionString", "only read"),
        ("state.postgresql", "v1", &[], "connectionString", "lacks"),
        ("state.postgresql", "v2", &[words, ("tablePrefix", "a b")], "tablePrefix", "no name"),
        ("state.postgresql", "v2", &[words, ("useAzureAD", "true")], "useAzureAD", "not supported"),
        ("state.postgresql", "v2", &[words, ("timeout", "10ms")], "timeout", "less than a second"),
        ("state.postgresql", "v2", &[("connectionString", "'hunter2")], "connectionString", "no address"),
        ("state.mysql", "v1", &[("connectionString", "u:hunter2@unix(/s)/")], "connectionString", "protocol"),
        ("state.mysql", "v1", &[("connectionString", "hunter2")], "connectionString", "lacks a `/`"),
    ];
    for (kind, version, values, name, what) in table {
        let error = read(kind, version, values).expect_err(what);
        assert_eq!(error.name, name, "{values:?}");
        assert!(error.what.contains(what), "{values:?}: {}", error.what);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(read("state.etcd", "v1", &[]), Ok(None));
    assert_eq!(read("pubsub.redis", "v1", &[]), Ok(None));
}
