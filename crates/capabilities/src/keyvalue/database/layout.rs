//! The tables, and the statements on them: those of Dapr's `state.postgresql` v1 and v2, and of `state.mysql`
//! (dapr/components-contrib, state/postgresql, common/component/postgresql, state/mysql).
//!
//! Names of tables cannot be parameters: they have letters, digits and underscores, and a dot perhaps
//! (`sampan_app::is_table_name`).

use super::json::{self, Column};
use crate::keyvalue::{Entry, StoreError};
use crate::sql::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of MySQL's `TIMESTAMP`, in 2038.
const TIMESTAMP_MAX: u64 = i32::MAX as u64;
/// The longest key of MySQL's table, in characters.
pub const MYSQL_KEY_CHARS_MAX: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PostgresV1,
    PostgresV2,
    MySql(Column),
}

/// One statement for each thing to do. All that read a row select key, value, whether it is base64, version, and
/// milliseconds since 1970 of its end.
pub struct Layout {
    pub kind: Kind,
    pub get: String,
    pub get_many: String,
    pub exists: String,
    pub list: String,
    pub upsert: String,
    /// Where nothing is there that counts.
    pub insert: String,
    pub update: String,
    /// The same, and the value's end stays what it was.
    pub update_keep: String,
    pub delete: String,
    pub delete_version: String,
    pub sweep: String,
    /// PostgreSQL: all of a prefix, with the value as `doc` where it is JSON, and what follows after the conditions.
    pub query: String,
    pub doc_function: String,
}

impl Layout {
    pub fn postgres_v1(table: &str) -> Self {
        let alive = "(expiredate IS NULL OR expiredate > now())";
        let columns = "key, value::text AS value, isbinary, xmin::text AS version, \
             (EXTRACT(EPOCH FROM expiredate) * 1000)::bigint AS ends";
        let ends = "now() + $4::bigint * interval '1 millisecond'";
        let insert = format!(
            "INSERT INTO {table} AS t (key, value, isbinary, expiredate) VALUES ($1, $2::jsonb, $3, {ends})
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, isbinary = excluded.isbinary,
                updatedate = now(), expiredate = excluded.expiredate"
        );
        let update = format!("UPDATE {table} SET value = $2::jsonb, isbinary = $3, updatedate = now()");
        let same = format!("WHERE key = $1 AND xmin::text = $5::text AND {alive}");
        let doc = "CASE WHEN isbinary THEN pg_temp.sampan_doc(value #>> '{}') ELSE value END";
        let body = "convert_from(decode(stored, 'base64'), 'UTF8')::jsonb";
        Layout {
            kind: Kind::PostgresV1,
            insert: format!("{insert} WHERE t.expiredate <= now()"),
            upsert: insert,
            update: format!("{update}, expiredate = {ends} {same}"),
            update_keep: format!("{update}, expiredate = COALESCE({ends}, expiredate) {same}"),
            sweep: format!("DELETE FROM {table} WHERE expiredate <= now()"),
            delete_version: format!(
                "DELETE FROM {table} WHERE key = $1 AND xmin::text = $2::text AND {alive}"
            ),
            ..Layout::postgres(table, alive, columns, doc, ("text", body))
        }
    }

    pub fn postgres_v2(table: &str) -> Self {
        let alive = "(expires_at IS NULL OR expires_at > now())";
        let columns = "key, value, FALSE AS isbinary, etag::text AS version, \
             (EXTRACT(EPOCH FROM expires_at) * 1000)::bigint AS ends";
        let ends = "now() + $3::bigint * interval '1 millisecond'";
        let insert = format!(
            "INSERT INTO {table} AS t (key, value, etag, expires_at) VALUES ($1, $2, gen_random_uuid(), {ends})
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, etag = excluded.etag,
                updated_at = now(), expires_at = excluded.expires_at"
        );
        let update = format!("UPDATE {table} SET value = $2, etag = gen_random_uuid(), updated_at = now()");
        let same = format!("WHERE key = $1 AND etag = $4::uuid AND {alive}");
        Layout {
            kind: Kind::PostgresV2,
            insert: format!("{insert} WHERE t.expires_at <= now()"),
            upsert: insert,
            update: format!("{update}, expires_at = {ends} {same}"),
            update_keep: format!("{update}, expires_at = COALESCE({ends}, expires_at) {same}"),
            sweep: format!("DELETE FROM {table} WHERE expires_at <= now()"),
            delete_version: format!("DELETE FROM {table} WHERE key = $1 AND etag = $2::uuid AND {alive}"),
            ..Layout::postgres(
                table,
                alive,
                columns,
                "pg_temp.sampan_doc(value)",
                ("bytea", "convert_from(stored, 'UTF8')::jsonb"),
            )
        }
    }

    /// What both have in common.
    fn postgres(table: &str, alive: &str, columns: &str, doc: &str, function: (&str, &str)) -> Self {
        let (stored, body) = function;
        Layout {
            kind: Kind::PostgresV2,
            get: format!("SELECT {columns} FROM {table} WHERE key = $1 AND {alive}"),
            get_many: format!("SELECT {columns} FROM {table} WHERE key = ANY($1::text[]) AND {alive}"),
            exists: format!("SELECT 1 FROM {table} WHERE key = $1 AND {alive}"),
            list: format!(
                "SELECT key FROM {table} WHERE starts_with(key, $1) AND ($2::text IS NULL OR key > $2) AND {alive}
                ORDER BY key LIMIT $3::bigint"
            ),
            delete: format!("DELETE FROM {table} WHERE key = $1"),
            // Without the fence the function would run again for each condition.
            query: format!(
                "SELECT key, value, isbinary, version, ends FROM (SELECT {columns}, {doc} AS doc FROM {table}
                WHERE starts_with(key, $1) AND {alive} OFFSET 0) AS found"
            ),
            doc_function: format!(
                "CREATE OR REPLACE FUNCTION pg_temp.sampan_doc(stored {stored}) RETURNS jsonb
                LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN {body};
                EXCEPTION WHEN others THEN RETURN NULL; END $$"
            ),
            upsert: String::new(),
            insert: String::new(),
            update: String::new(),
            update_keep: String::new(),
            delete_version: String::new(),
            sweep: String::new(),
        }
    }

    /// `table` with its schema.
    pub fn mysql(table: &str, column: Column) -> Self {
        let alive = "(expiredate IS NULL OR expiredate > CURRENT_TIMESTAMP)";
        let over = "expiredate IS NOT NULL AND expiredate <= CURRENT_TIMESTAMP";
        let columns = "id, value, isbinary, eTag, CAST(UNIX_TIMESTAMP(expiredate) AS SIGNED) * 1000";
        let ends = "CURRENT_TIMESTAMP + INTERVAL ? SECOND";
        let insert = format!(
            "INSERT INTO {table} (id, value, isbinary, eTag, expiredate) VALUES (?, ?, ?, UUID(), {ends})
            ON DUPLICATE KEY UPDATE"
        );
        let update = format!("UPDATE {table} SET value = ?, isbinary = ?, eTag = UUID()");
        let same = format!("WHERE id = ? AND eTag = ? AND {alive}");
        Layout {
            kind: Kind::MySql(column),
            get: format!("SELECT {columns} FROM {table} WHERE id = ? AND {alive}"),
            // With as many places as there are keys.
            get_many: format!("SELECT {columns} FROM {table} WHERE {alive} AND id IN "),
            exists: format!("SELECT 1 FROM {table} WHERE id = ? AND {alive}"),
            list: format!(
                "SELECT id FROM {table} WHERE id LIKE ? ESCAPE '|' AND (? IS NULL OR id > ?) AND {alive}
                ORDER BY id LIMIT ?"
            ),
            upsert: format!(
                "{insert} value = VALUES(value), isbinary = VALUES(isbinary), eTag = VALUES(eTag),
                expiredate = VALUES(expiredate)"
            ),
            // The end is set last, because what is set first is seen by what follows.
            insert: format!(
                "{insert} value = IF({over}, VALUES(value), value),
                isbinary = IF({over}, VALUES(isbinary), isbinary), eTag = IF({over}, VALUES(eTag), eTag),
                expiredate = IF({over}, VALUES(expiredate), expiredate)"
            ),
            update: format!("{update}, expiredate = {ends} {same}"),
            update_keep: format!("{update}, expiredate = COALESCE({ends}, expiredate) {same}"),
            delete: format!("DELETE FROM {table} WHERE id = ?"),
            delete_version: format!("DELETE FROM {table} WHERE id = ? AND eTag = ? AND {alive}"),
            sweep: format!("DELETE FROM {table} WHERE {over}"),
            query: String::new(),
            doc_function: String::new(),
        }
    }

    /// The parameters of `upsert` and `insert`; with a version, those of the updates.
    pub fn params(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
        version: Option<String>,
    ) -> Vec<Value> {
        let key = Value::Text(key);
        let version = version.map(Value::Text);
        let ends = ttl.map_or(Value::Null, |ttl| ends(self.kind, ttl));
        let json = |value, column| {
            let (stored, is_binary) = json::encode(value, column);
            (Value::Text(stored), Value::Boolean(is_binary))
        };
        match (self.kind, version) {
            (Kind::PostgresV1, version) => {
                let (stored, is_binary) = json(value, Column::Parsed);
                [key, stored, is_binary, ends].into_iter().chain(version).collect()
            }
            (Kind::PostgresV2, version) => {
                [key, Value::Binary(value), ends].into_iter().chain(version).collect()
            }
            (Kind::MySql(column), None) => {
                let (stored, is_binary) = json(value, column);
                vec![key, stored, is_binary, ends]
            }
            (Kind::MySql(column), Some(version)) => {
                let (stored, is_binary) = json(value, column);
                vec![stored, is_binary, ends, key, version]
            }
        }
    }

    /// Whether a value can have this version at all.
    pub fn check_version(&self, version: &str) -> Result<(), StoreError> {
        let valid = match self.kind {
            Kind::PostgresV1 => version.parse::<u32>().is_ok(),
            Kind::PostgresV2 => uuid::Uuid::parse_str(version).is_ok(),
            // Dapr compares whatever a client sends.
            Kind::MySql(_) => true,
        };
        if valid { Ok(()) } else { Err(StoreError::InvalidVersion(version.to_owned())) }
    }

    /// Key and entry of a row.
    pub fn entry(&self, row: Vec<Value>) -> Result<(String, Entry), StoreError> {
        let odd = || StoreError::Other("a row of the store is not as it should be".to_owned());
        let row: [Value; 5] = row.try_into().map_err(|_| odd())?;
        let [Value::Text(key), value, is_binary, Value::Text(version), ends] = row else { return Err(odd()) };
        let is_binary = match is_binary {
            Value::Boolean(is_binary) => is_binary,
            Value::Int8(number) => number != 0,
            _ => return Err(odd()),
        };
        let value = match (value, self.kind) {
            (Value::Binary(bytes), Kind::PostgresV2) => bytes,
            (Value::Text(stored), Kind::PostgresV1) => json::decode(stored, is_binary, Column::Parsed)?,
            (Value::Text(stored), Kind::MySql(column)) => json::decode(stored, is_binary, column)?,
            _ => return Err(odd()),
        };
        let expires = match ends {
            Value::Int64(ms) => Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            _ => None,
        };
        Ok((key, Entry { value, version: Some(version), expires }))
    }
}

/// Milliseconds, or MySQL's seconds: its column has no parts of them, and no time after 2038.
fn ends(kind: Kind, ttl: Duration) -> Value {
    if !matches!(kind, Kind::MySql(_)) {
        return Value::Int64(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1));
    }
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match now.checked_add(seconds) {
        Some(end) if end < TIMESTAMP_MAX => Value::Int64(seconds.max(1) as i64),
        _ => Value::Null,
    }
}
