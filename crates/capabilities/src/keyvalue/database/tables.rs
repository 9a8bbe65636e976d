//! Making the tables as Dapr makes them, with its notes of what is made, so that it accepts them, and its own are
//! accepted here (components-contrib, common/component/sql/migrations; state/mysql).

use super::failed;
use crate::keyvalue::StoreError;
use crate::sql::{Connection, Error, Value};
use sampan_app::PostgresLayout;

/// Others may make the same table at the same time.
const ATTEMPTS_MAX: usize = 3;
/// The SQLSTATEs by which PostgreSQL says so, depending on how far the other is: unique_violation in its catalog,
/// duplicate_object (the table's row type), duplicate_table.
const RACES: [&str; 3] = ["23505", "42710", "42P07"];

/// Where Dapr notes how far a store is, and what it writes there when all is made.
struct Level {
    key: String,
    done: u32,
}

pub async fn make_postgres(
    connection: &Connection,
    layout: PostgresLayout,
    table: &str,
    metadata_table: &str,
) -> Result<(), StoreError> {
    let metadata = format!(
        "CREATE TABLE IF NOT EXISTS {metadata_table} (key text NOT NULL PRIMARY KEY, value text NOT NULL)"
    );
    let mut attempt = 1;
    loop {
        match connection.execute(metadata.clone(), vec![]).await {
            Ok(_) => break,
            Err(error) if attempt < ATTEMPTS_MAX && is_race(&error) => attempt += 1,
            Err(error) => return Err(failed(&error)),
        }
    }
    let lock = format!(
        "INSERT INTO {metadata_table} (key, value) VALUES ('lock', 'lock') ON CONFLICT (key) DO NOTHING"
    );
    run(connection, &lock, vec![]).await?;
    // Held until the end of the transaction: Dapr waits there for its turn too.
    run(connection, "BEGIN", vec![]).await?;
    run(connection, &format!("SELECT value FROM {metadata_table} WHERE key = 'lock' FOR UPDATE"), vec![])
        .await?;
    let level = match layout {
        PostgresLayout::V1 => Level { key: "migrations".to_owned(), done: 2 },
        PostgresLayout::V2 => {
            let prefix = table.strip_suffix("state").unwrap_or(table);
            Level { key: format!("migrations-state-v2-{prefix}"), done: 1 }
        }
    };
    let select = format!("SELECT value FROM {metadata_table} WHERE key = $1");
    let found = connection.query(select, vec![Value::Text(level.key.clone())]).await;
    let rows = found.map_err(|error| failed(&error))?.collect().await.map_err(|error| failed(&error))?;
    let now = match rows.first().and_then(|row| row.first()) {
        Some(Value::Text(text)) => text.parse::<u32>().unwrap_or(0),
        _ => 0,
    };
    if now < level.done {
        for statement in missing(layout, table, now) {
            run(connection, &statement, vec![]).await?;
        }
        let note = format!(
            "INSERT INTO {metadata_table} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2"
        );
        let params = vec![Value::Text(level.key), Value::Text(level.done.to_string())];
        run(connection, &note, params).await?;
    }
    run(connection, "COMMIT", vec![]).await
}

/// The statements from this level on.
fn missing(layout: PostgresLayout, table: &str, level: u32) -> Vec<String> {
    match layout {
        PostgresLayout::V1 => {
            let create = format!(
                "CREATE TABLE IF NOT EXISTS {table} (
                    key text NOT NULL PRIMARY KEY,
                    value jsonb NOT NULL,
                    isbinary boolean NOT NULL,
                    insertdate timestamp with time zone NOT NULL DEFAULT now(),
                    updatedate timestamp with time zone NULL
                )"
            );
            let expiry = format!("ALTER TABLE {table} ADD expiredate timestamp with time zone");
            [create, expiry].into_iter().skip(level as usize).collect()
        }
        PostgresLayout::V2 => vec![
            format!(
                "CREATE TABLE {table} (
                    key text NOT NULL PRIMARY KEY,
                    value bytea NOT NULL,
                    etag uuid NOT NULL DEFAULT gen_random_uuid(),
                    created_at timestamp with time zone NOT NULL DEFAULT now(),
                    updated_at timestamp with time zone,
                    expires_at timestamp with time zone
                )"
            ),
            format!("CREATE INDEX ON {table} (expires_at)"),
        ],
    }
}

/// The tables of MySQL; `is_mariadb` names its own collations.
///
/// Unlike Dapr's, the key's column tells capital letters and trailing spaces apart: to Dapr that is the same column,
/// and on a table that Dapr has made, keys are equal that its collation takes for equal.
pub async fn make_mysql(
    connection: &Connection,
    schema: &str,
    table: &str,
    metadata_table: &str,
    is_mariadb: bool,
) -> Result<(), StoreError> {
    let exists = "SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME = ?".to_owned();
    let found = connection.query(exists, vec![Value::Text(schema.to_owned())]).await;
    let rows = found.map_err(|error| failed(&error))?.collect().await.map_err(|error| failed(&error))?;
    // Who may not make one can still use it.
    if rows.is_empty() {
        run(connection, &format!("CREATE DATABASE IF NOT EXISTS {schema}"), vec![]).await?;
    }
    let collation = if is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
    let statements = [
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{table} (
                id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL PRIMARY KEY,
                value JSON NOT NULL,
                isbinary BOOLEAN NOT NULL,
                insertDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
                updateDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
                eTag VARCHAR(36) NOT NULL,
                expiredate TIMESTAMP NULL,
                INDEX expiredate_idx(expiredate)
            )"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{metadata_table} (
                id VARCHAR(255) NOT NULL PRIMARY KEY, value TEXT NOT NULL)"
        ),
    ];
    for statement in statements {
        run(connection, &statement, vec![]).await?;
    }
    Ok(())
}

async fn run(connection: &Connection, statement: &str, params: Vec<Value>) -> Result<(), StoreError> {
    let done = connection.execute(statement.to_owned(), params).await;
    done.map(drop).map_err(|error| failed(&error))
}

fn is_race(error: &Error) -> bool {
    let Error::Query(query) = error else { return false };
    query.details.as_ref().is_some_and(|details| RACES.contains(&details.code.as_str()))
}
