//! The tables and statements of the embedded broker. All of them run in the writer's transactions.
//!
//! A group has read its topic up to `position`; what it has been given since, and has not acknowledged, is in
//! `deliveries`, each under a lease until `due_ms`. Numbers of messages grow in the order of commits.

use super::Limits;
use crate::embedded::Failure;
use crate::messaging::{BrokerError, Message};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::{Duration, SystemTime};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS topics (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        messages INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic INTEGER NOT NULL,
        published_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        metadata TEXT,
        data BLOB NOT NULL
    );
    -- An index holds the number of the row too: it is in the topic's order.
    CREATE INDEX IF NOT EXISTS messages_topic ON messages (topic);
    CREATE INDEX IF NOT EXISTS messages_published ON messages (published_ms);
    CREATE TABLE IF NOT EXISTS consumer_groups (
        id INTEGER PRIMARY KEY,
        topic INTEGER NOT NULL,
        name TEXT NOT NULL,
        position INTEGER NOT NULL,
        UNIQUE (topic, name)
    );
    CREATE TABLE IF NOT EXISTS deliveries (
        consumer_group INTEGER NOT NULL,
        message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        PRIMARY KEY (consumer_group, message)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (consumer_group, due_ms);
    CREATE INDEX IF NOT EXISTS deliveries_message ON deliveries (message);";

/// Groups of one topic.
const GROUPS_MAX: i64 = 1000;
/// Messages that are removed at once.
const REMOVED_MAX: i64 = 1000;
/// Rounds of one sweep; the rest waits for the next one.
const SWEEPS_MAX: usize = 20;

pub fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(CREATE)?;
    // A file of another program's, with tables of the same names.
    db.prepare("SELECT id, topic, published_ms, bytes, metadata, data FROM messages LIMIT 0").map(drop)
}

fn failed(error: rusqlite::Error) -> BrokerError {
    BrokerError::sqlite(&error)
}

fn execute(db: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<usize, BrokerError> {
    db.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(failed)
}

fn query<T>(
    db: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, BrokerError> {
    let mut statement = db.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(values, read).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn topic(db: &Connection, name: &str) -> Result<i64, BrokerError> {
    let found = db.prepare_cached("SELECT id FROM topics WHERE name = ?1");
    let found = found.and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional());
    if let Some(id) = found.map_err(failed)? {
        return Ok(id);
    }
    execute(db, "INSERT INTO topics (name) VALUES (?1)", [name])?;
    Ok(db.last_insert_rowid())
}

pub fn publish(
    db: &Connection,
    name: &str,
    messages: &[Message],
    limits: Limits,
) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
    let topic = topic(db, name)?;
    let counted = query(db, "SELECT messages, bytes FROM topics WHERE id = ?1", [topic], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let (mut count, mut bytes) = counted.first().copied().unwrap_or_default();
    let now_ms = now_ms();
    let mut outcomes = Vec::with_capacity(messages.len());
    for message in messages {
        let size = message.bytes() as i64;
        if count >= limits.messages_max || bytes + size > limits.bytes_max {
            let (removed, removed_bytes) = make_room(db, topic)?;
            count = count.saturating_sub(removed);
            bytes = bytes.saturating_sub(removed_bytes);
            if removed == 0 {
                break;
            }
        }
        execute(
            db,
            "INSERT INTO messages (topic, published_ms, bytes, metadata, data) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![topic, now_ms, size, encode(message), &message.data[..]],
        )?;
        count += 1;
        bytes += size;
        outcomes.push(Ok(()));
    }
    execute(db, "UPDATE topics SET messages = ?2, bytes = ?3 WHERE id = ?1", [topic, count, bytes])?;
    // What comes after one that found no room keeps its order, and is not stored either.
    let full = || Err(BrokerError::Full(format!("{count} messages wait for groups that do not read them")));
    outcomes.resize_with(messages.len(), full);
    Ok(outcomes)
}

fn encode(message: &Message) -> Option<String> {
    let metadata = &message.metadata;
    (!metadata.is_empty()).then(|| serde_json::to_string(metadata).expect("text is JSON"))
}

fn decode(metadata: Option<String>, data: Vec<u8>) -> Message {
    // Only this file writes it; what another program has made of it is lost, the message is not.
    let metadata = metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Message { data: data.into(), metadata }
}

/// Removes the oldest messages that every group has done; all count as done where there is no group.
fn make_room(db: &Connection, topic: i64) -> Result<(i64, i64), BrokerError> {
    let first_needed = "SELECT MIN(COALESCE(
            (SELECT MIN(message) FROM deliveries WHERE consumer_group = consumer_groups.id), position + 1))
        FROM consumer_groups WHERE topic = ?1";
    let needed = query(db, first_needed, [topic], |row| row.get::<_, Option<i64>>(0))?;
    let needed = needed.first().copied().flatten().unwrap_or(i64::MAX);
    let remove = "DELETE FROM messages WHERE id IN
            (SELECT id FROM messages WHERE topic = ?1 AND id < ?2 ORDER BY id LIMIT ?3)
        RETURNING bytes";
    let removed = query(db, remove, [topic, needed, REMOVED_MAX], |row| row.get::<_, i64>(0))?;
    Ok((removed.len() as i64, removed.iter().sum()))
}

/// The group's number, which reads from the oldest message on if it is new.
pub fn join(db: &Connection, name: &str, group: &str) -> Result<i64, BrokerError> {
    let topic = topic(db, name)?;
    let find = "SELECT id FROM consumer_groups WHERE topic = ?1 AND name = ?2";
    if let Some(id) = query(db, find, params![topic, group], |row| row.get(0))?.first() {
        return Ok(*id);
    }
    let count = "SELECT COUNT(*) FROM consumer_groups WHERE topic = ?1";
    if query(db, count, [topic], |row| row.get::<_, i64>(0))?
        .first()
        .is_some_and(|count| *count >= GROUPS_MAX)
    {
        return Err(BrokerError::Full(format!("the topic has {GROUPS_MAX} groups")));
    }
    let insert = "INSERT INTO consumer_groups (topic, name, position) VALUES (?1, ?2, 0)";
    execute(db, insert, params![topic, group])?;
    Ok(db.last_insert_rowid())
}

/// What a consumer wants.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    pub group: i64,
    pub owner: i64,
    pub lease: Duration,
    pub messages_max: usize,
    /// One that is larger comes alone.
    pub bytes_max: usize,
}

/// Leases messages: those whose lease has ended, then new ones, each with the number of its delivery.
pub fn fetch(db: &Connection, fetch: Fetch) -> Result<Vec<(i64, u32, Message)>, BrokerError> {
    let Fetch { group, owner, lease, .. } = fetch;
    let now_ms = now_ms();
    let due_ms = now_ms.saturating_add(millis(lease));
    let again = "SELECT message, attempt + 1, metadata, data FROM deliveries
        JOIN messages ON messages.id = deliveries.message
        WHERE consumer_group = ?1 AND due_ms <= ?2 ORDER BY message LIMIT ?3";
    let mut found = Vec::new();
    let bytes = read(db, again, [group, now_ms], fetch, 0, &mut found)?;
    let lease_again = "UPDATE deliveries SET attempt = ?3, owner = ?4, due_ms = ?5
        WHERE consumer_group = ?1 AND message = ?2";
    for (id, attempt, _) in &found {
        execute(db, lease_again, params![group, id, attempt, owner, due_ms])?;
    }
    let old = found.len();
    let position = "SELECT topic, position FROM consumer_groups WHERE id = ?1";
    let position = query(db, position, [group], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?]))?;
    let position =
        position.first().copied().ok_or_else(|| BrokerError::Other("the group is gone".to_owned()))?;
    let new = "SELECT id, 1, metadata, data FROM messages WHERE topic = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    read(db, new, position, fetch, bytes, &mut found)?;
    let insert = "INSERT INTO deliveries (consumer_group, message, attempt, owner, due_ms)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    for (id, attempt, _) in &found[old..] {
        execute(db, insert, params![group, id, attempt, owner, due_ms])?;
    }
    if let Some((id, ..)) = found[old..].last() {
        execute(db, "UPDATE consumer_groups SET position = ?2 WHERE id = ?1", params![group, id])?;
    }
    Ok(found)
}

/// Adds rows until there are enough; returns the bytes of all.
fn read(
    db: &Connection,
    sql: &str,
    values: [i64; 2],
    fetch: Fetch,
    mut bytes: usize,
    found: &mut Vec<(i64, u32, Message)>,
) -> Result<usize, BrokerError> {
    let left = fetch.messages_max - found.len();
    let mut statement = db.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([values[0], values[1], left as i64]).map_err(failed)?;
    while bytes < fetch.bytes_max
        && let Some(row) = rows.next().map_err(failed)?
    {
        let entry = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, decode(row.get(2)?, row.get(3)?)));
        let (id, attempt, message) = entry(row).map_err(failed)?;
        bytes += message.bytes();
        found.push((id, attempt, message));
    }
    Ok(bytes)
}

pub fn renew(db: &Connection, group: i64, owner: i64, lease: Duration) -> Result<(), BrokerError> {
    let due_ms = now_ms().saturating_add(millis(lease));
    let sql = "UPDATE deliveries SET due_ms = ?3 WHERE consumer_group = ?1 AND owner = ?2";
    execute(db, sql, params![group, owner, due_ms]).map(drop)
}

/// Hands back what a consumer holds.
pub fn abandon(db: &Connection, group: i64, owner: i64) -> Result<(), BrokerError> {
    let sql = "UPDATE deliveries SET due_ms = 0, owner = 0 WHERE consumer_group = ?1 AND owner = ?2";
    execute(db, sql, [group, owner]).map(drop)
}

pub fn ack(db: &Connection, group: i64, id: i64) -> Result<(), BrokerError> {
    let sql = "DELETE FROM deliveries WHERE consumer_group = ?1 AND message = ?2";
    execute(db, sql, params![group, id]).map(drop)
}

/// Ends the lease, unless the message is another consumer's by now.
pub fn release(db: &Connection, group: i64, id: i64, attempt: u32) -> Result<(), BrokerError> {
    let sql = "UPDATE deliveries SET due_ms = 0, owner = 0
        WHERE consumer_group = ?1 AND message = ?2 AND attempt = ?3";
    execute(db, sql, params![group, id, attempt]).map(drop)
}

/// Removes what is older than the retention, and topics of which nothing is left.
pub fn sweep(db: &Connection, retention: Duration) -> Result<(), BrokerError> {
    let before_ms = now_ms().saturating_sub(millis(retention));
    for _ in 0..SWEEPS_MAX {
        db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        let swept = sweep_some(db, before_ms);
        let end = if swept.is_ok() { "COMMIT" } else { "ROLLBACK" };
        db.execute_batch(end).map_err(failed)?;
        if swept? < REMOVED_MAX as usize {
            break;
        }
    }
    Ok(())
}

fn sweep_some(db: &Connection, before_ms: i64) -> Result<usize, BrokerError> {
    let remove = "DELETE FROM messages WHERE id IN
            (SELECT id FROM messages WHERE published_ms < ?1 ORDER BY published_ms LIMIT ?2)
        RETURNING topic, bytes";
    let removed = query(db, remove, [before_ms, REMOVED_MAX], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let count = "UPDATE topics SET messages = messages - 1, bytes = bytes - ?2 WHERE id = ?1";
    for (topic, bytes) in &removed {
        execute(db, count, [topic, bytes])?;
    }
    let empty = "DELETE FROM topics WHERE messages <= 0
        AND NOT EXISTS (SELECT 1 FROM consumer_groups WHERE consumer_groups.topic = topics.id)";
    execute(db, empty, [])?;
    Ok(removed.len())
}
