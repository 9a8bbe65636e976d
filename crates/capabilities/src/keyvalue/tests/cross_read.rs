//! Data of Dapr is read here, and ours there: rows and hashes exactly as Dapr's statements write them, and exactly
//! its columns and fields in what we write.

use super::suite::text;
use super::*;
use crate::sql::{Connection, Server, Value};
use sampan_app::{SqlBackend, SqlStore};

/// Another client of a store's database.
async fn client(backend: &KeyValueBackend) -> (Connection, String) {
    let (sql, database, schema) = match backend {
        KeyValueBackend::Postgres { database, .. } => {
            (SqlBackend::Postgres { url: database.url.clone() }, database, String::new())
        }
        KeyValueBackend::MySql { schema, database } => {
            (SqlBackend::MySql { url: database.url.clone() }, database, format!("{schema}."))
        }
        other => unreachable!("{other:?} is no database"),
    };
    let store = SqlStore {
        backend: sql,
        lazy: true,
        connections: 1,
        statement_timeout: Duration::from_secs(10),
        init: None,
        ca: None,
    };
    let server = Server::of_manifest(&store).expect("an address");
    (server.connect().await.expect("a connection"), format!("{schema}{}", database.table))
}

async fn rows(at: &Connection, statement: &str) -> Vec<Vec<Value>> {
    at.query(statement.to_owned(), vec![]).await.expect(statement).collect().await.expect(statement)
}

/// Rows of a store's table, whether they have expired or not.
pub async fn count(backend: &KeyValueBackend) -> usize {
    let (at, table) = client(backend).await;
    rows(&at, &format!("SELECT 1 FROM {table}")).await.len()
}

async fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.get(text(key)).await.expect("an answer").map(|entry| entry.value)
}

fn column(rows: &[Vec<Value>]) -> Vec<String> {
    rows.iter()
        .map(|row| if let Value::Text(text) = &row[0] { text.clone() } else { format!("{:?}", row[0]) })
        .collect()
}

#[test]
fn redis_has_daprs_fields() {
    run(async {
        let Some(redis) = sampan_testing::servers::Redis::start() else { return };
        let store = opened(dapr_backend(&redis.url(), "")).await;
        let client = ::redis::Client::open(redis.url()).expect("an address");
        let mut at = client.get_multiplexed_async_connection().await.expect("a connection");
        let mut run = async |words: &[&str]| -> ::redis::Value {
            let mut command = ::redis::cmd(words[0]);
            for word in &words[1..] {
                command.arg(word);
            }
            command.query_async(&mut at).await.expect("an answer")
        };
        // As Dapr's script writes.
        run(&["HSET", "app||k", "data", "{\"a\": 1}", "version", "7"]).await;
        run(&["SET", "app||old", "from before there were versions"]).await;
        run(&["RPUSH", "app||list", "x"]).await;
        let entry = store.get(text("app||k")).await.expect("an answer").expect("a value");
        assert_eq!((entry.value.as_slice(), entry.version.as_deref()), (&b"{\"a\": 1}"[..], Some("7")));
        assert_eq!(get(&store, "app||old").await.as_deref(), Some(&b"from before there were versions"[..]));
        assert_eq!(get(&store, "app||list").await, None);
        let right = Write { condition: entry.unchanged(), ..Write::set(text("app||k"), b"2".to_vec()) };
        assert_eq!(store.write(right).await, Ok(true));
        for key in ["app||old", "app||list", "app||new"] {
            store.set(text(key), b"\"v\"".to_vec()).await.expect("a write over what is there");
        }
        let hash =
            |value: ::redis::Value| -> Vec<String> { ::redis::from_redis_value(value).expect("texts") };
        assert_eq!(hash(run(&["HGETALL", "app||k"]).await), ["data", "2", "version", "8"]);
        for key in ["app||old", "app||list", "app||new"] {
            assert_eq!(hash(run(&["HGETALL", key]).await), ["data", "\"v\"", "version", "1"], "{key}");
        }
        let ttl = Some(Duration::from_secs(60));
        let write = Write { ttl, first_write: true, ..Write::set(text("app||first"), b"1".to_vec()) };
        store.write(write).await.expect("a write");
        let fields = ["data", "1", "first-write", "0", "version", "1"];
        assert_eq!(hash(run(&["HGETALL", "app||first"]).await), fields);
        let seconds: i64 = ::redis::from_redis_value(run(&["TTL", "app||first"]).await).expect("seconds");
        assert!((50..=60).contains(&seconds), "{seconds}");
        // An old string that is counted becomes a record, and keeps its time.
        run(&["SET", "app||count", "41", "EX", "60"]).await;
        assert_eq!(store.increment(text("app||count"), 1).await, Ok(42));
        assert_eq!(hash(run(&["HGETALL", "app||count"]).await), ["data", "42", "version", "1"]);
        let seconds: i64 = ::redis::from_redis_value(run(&["TTL", "app||count"]).await).expect("seconds");
        assert!((50..=60).contains(&seconds), "{seconds}");
        let keys = store.keys().await.expect("keys");
        assert_eq!(keys, ["app||count", "app||first", "app||k", "app||list", "app||new", "app||old"]);
    });
}

#[test]
fn postgres_v1_has_daprs_rows() {
    run(async {
        let Some(backend) = postgres_backend(PostgresLayout::V1) else { return };
        let store = opened(backend.clone()).await;
        let (at, table) = client(&backend).await;
        let insert = format!("INSERT INTO {table} (key, value, isbinary, expiredate) VALUES");
        for row in [
            "('app||json', '{\"b\": [1, 2], \"a\": \"x y\"}', false, NULL)",
            "('app||bytes', '\"AP8=\"', true, now() + interval '60 seconds')",
            "('app||over', '1', false, now() - interval '1 seconds')",
            "('app||bad', '\"*\"', true, NULL)",
        ] {
            at.execute(format!("{insert} {row}"), vec![]).await.expect(row);
        }
        assert_eq!(get(&store, "app||json").await.as_deref(), Some(&br#"{"a":"x y","b":[1,2]}"#[..]));
        assert_eq!(get(&store, "app||bytes").await, Some(vec![0, 255]));
        assert_eq!(get(&store, "app||over").await, None);
        assert!(store.get(text("app||bad")).await.is_err_and(|error| error.to_string().contains("base64")));
        let xmin = rows(&at, &format!("SELECT xmin::text FROM {table} WHERE key = 'app||json'")).await;
        let entry = store.get(text("app||json")).await.expect("an answer").expect("a value");
        assert_eq!(entry.version, column(&xmin).pop());
        store.set(text("json"), br#"{"a":1}"#.to_vec()).await.expect("a write");
        store.set(text("bytes"), vec![0, 255]).await.expect("a write");
        let select = "SELECT value::text || ' ' || isbinary || ' ' || (updatedate IS NULL) || ' ' || \
             (expiredate IS NULL)";
        let shown =
            rows(&at, &format!("{select} FROM {table} WHERE key IN ('json', 'bytes') ORDER BY key")).await;
        assert_eq!(column(&shown), ["\"AP8=\" true true true", "{\"a\": 1} false true true"]);
        let KeyValueBackend::Postgres { database, .. } = &backend else { return };
        let level = format!("SELECT value FROM {} WHERE key = 'migrations'", database.metadata_table);
        assert_eq!(column(&rows(&at, &level).await), ["2"]);
        let columns = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
             FROM information_schema.columns WHERE table_name";
        let expected = "key text, value jsonb, isbinary boolean, insertdate timestamp with time zone, \
             updatedate timestamp with time zone, expiredate timestamp with time zone";
        assert_eq!(column(&rows(&at, &format!("{columns} = '{table}'")).await), [expected]);
    });
}

#[test]
fn postgres_v2_has_daprs_rows() {
    run(async {
        let Some(backend) = postgres_backend(PostgresLayout::V2) else { return };
        let store = opened(backend.clone()).await;
        let (at, table) = client(&backend).await;
        let insert = format!("INSERT INTO {table} (key, value, etag, expires_at) VALUES");
        for row in [
            "('app||json', '{\"b\": 1}', gen_random_uuid(), now() + interval '60 seconds')",
            "('app||over', '1', gen_random_uuid(), now() - interval '1 seconds')",
        ] {
            at.execute(format!("{insert} {row}"), vec![]).await.expect(row);
        }
        let entry = store.get(text("app||json")).await.expect("an answer").expect("a value");
        assert_eq!(entry.value, b"{\"b\": 1}");
        assert!(entry.expires.is_some());
        assert_eq!(get(&store, "app||over").await, None);
        let right = Write { condition: entry.unchanged(), ..Write::set(text("app||json"), vec![0, 255]) };
        assert_eq!(store.write(right).await, Ok(true));
        let select =
            "SELECT encode(value, 'hex') || ' ' || (updated_at IS NULL) || ' ' || (expires_at IS NULL)";
        let shown = rows(&at, &format!("{select} FROM {table} WHERE key = 'app||json'")).await;
        assert_eq!(column(&shown), ["00ff false true"]);
        let KeyValueBackend::Postgres { database, .. } = &backend else { return };
        let prefix = table.trim_end_matches("state");
        let level = format!(
            "SELECT value FROM {} WHERE key = 'migrations-state-v2-{prefix}'",
            database.metadata_table
        );
        assert_eq!(column(&rows(&at, &level).await), ["1"]);
        let columns = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
             FROM information_schema.columns WHERE table_name";
        let expected = "key text, value bytea, etag uuid, created_at timestamp with time zone, \
             updated_at timestamp with time zone, expires_at timestamp with time zone";
        assert_eq!(column(&rows(&at, &format!("{columns} = '{table}'")).await), [expected]);
    });
}

#[test]
fn mysql_has_daprs_rows() {
    run(async {
        let Some(backend) = mariadb_backend() else { return };
        let store = opened(backend.clone()).await;
        let (at, table) = client(&backend).await;
        let insert = format!("INSERT INTO {table} (id, value, eTag, isbinary, expiredate) VALUES");
        for row in [
            "('app||json', '{\"b\":1, \"a\":2}', UUID(), false, NULL)",
            "('app||bytes', '\"AP8=\"', UUID(), true, CURRENT_TIMESTAMP + INTERVAL 60 SECOND)",
            "('app||over', '1', UUID(), false, CURRENT_TIMESTAMP - INTERVAL 1 SECOND)",
        ] {
            at.execute(format!("{insert} {row}"), vec![]).await.expect(row);
        }
        assert_eq!(get(&store, "app||json").await.as_deref(), Some(&br#"{"b":1, "a":2}"#[..]));
        let entry = store.get(text("app||bytes")).await.expect("an answer").expect("a value");
        assert_eq!(entry.value, [0, 255]);
        assert!(entry.expires.is_some());
        assert_eq!(get(&store, "app||over").await, None);
        let absent =
            Write { condition: Condition::Absent, ..Write::set(text("app||over"), b"{\"z\": 1.0}".to_vec()) };
        assert_eq!(store.write(absent).await, Ok(true), "what is over is absent");
        store.set(text("app||bytes"), vec![255]).await.expect("a write");
        let select = "SELECT CONCAT(value, ' ', isbinary, ' ', LENGTH(eTag), ' ', expiredate IS NULL)";
        let shown = rows(&at, &format!("{select} FROM {table} ORDER BY id")).await;
        assert_eq!(column(&shown), ["\"/w==\" 1 36 1", "{\"b\":1, \"a\":2} 0 36 1", "{\"z\": 1.0} 0 36 1"]);
        let name = table.rsplit('.').next().expect("a name");
        let columns = format!(
            "SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema.columns \
             WHERE table_name = '{name}'"
        );
        let expected = "id,value,isbinary,insertDate,updateDate,eTag,expiredate";
        assert_eq!(column(&rows(&at, &columns).await), [expected]);
    });
}
